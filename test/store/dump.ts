import sqlite3 from "sqlite3";
import { Connection } from "../../src/store/database.ts";

type Row = Readonly<Record<string, string | number | null>>;

/** Everything a catalog says, without the keys it gave itself. */
export interface Dump {
  readonly root: readonly Row[];
  readonly stream: readonly Row[];
  readonly run: readonly Row[];
  readonly segment: readonly Row[];
  readonly gap: readonly Row[];
  readonly deletion: readonly Row[];
  readonly coverage_hour: readonly Row[];
}

const STREAM = "stream.camera, stream.kind, stream.name";
const TABLES: Readonly<Record<keyof Dump, string>> = {
  root: "SELECT root_id, path, segments, bytes FROM root ORDER BY root_id",
  stream: "SELECT camera, kind, channel, name, longest_segment_ms, longest_run_ms, longest_gap_ms FROM stream ORDER BY camera, kind, name",
  run: `SELECT uuid, ${STREAM}, start_utc_ms, start_mono_ms, clock_trusted, boot, shift_ms, end_utc_ms, end_cause
    FROM run JOIN stream USING (stream_id) ORDER BY start_utc_ms, uuid`,
  segment: `SELECT uuid, sequence, ${STREAM}, root_id, state, segment.start_utc_ms, segment.end_utc_ms, bytes, file, hex(crc64) AS crc64,
    hex(blake3) AS blake3, damage FROM segment JOIN run USING (run_id) JOIN stream ON stream.stream_id = segment.stream_id ORDER BY uuid, sequence`,
  gap: `SELECT ${STREAM}, from_utc_ms, to_utc_ms, cause, detail FROM gap JOIN stream USING (stream_id) ORDER BY name, camera, from_utc_ms`,
  deletion: `SELECT ${STREAM}, from_utc_ms, to_utc_ms, rule FROM deletion JOIN stream USING (stream_id) ORDER BY name, camera, from_utc_ms`,
  coverage_hour: `SELECT ${STREAM}, hour, hex(minutes) AS minutes, recorded_ms, bytes FROM coverage_hour JOIN stream USING (stream_id)
    ORDER BY name, camera, hour`,
};

export async function dumpCatalog(path: string): Promise<Dump> {
  const connection = await Connection.open(path, sqlite3.OPEN_READONLY);
  try {
    const dump: Record<string, Row[]> = {};
    for (const [table, sql] of Object.entries(TABLES)) dump[table] = await connection.all<Row>(sql);
    return dump as unknown as Dump;
  } finally {
    await connection.close();
  }
}
