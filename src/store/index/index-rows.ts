import { JOIN_MS } from "../../media/types.ts";
import { placeOf, type StoredSegment } from "../catalog.ts";
import { BY_ID, dropEmptyRun, ensureStream } from "../catalog-rows.ts";
import { hoursOf, updateHour } from "../coverage.ts";
import type { Transaction } from "../database.ts";
import { segmentKey } from "../leases.ts";
import { SEGMENT_CLOSED, SEGMENT_DELETING } from "../schema.ts";
import type { SegmentDamage, SegmentId, StreamPlace } from "../types.ts";

/** A closed segment as its file tells it, to be entered among many. */
export interface IndexEntry extends SegmentId {
  readonly place: StreamPlace;
  readonly root: number;
  readonly file: string;
  /** As the catalog has them: shifted where the run is. */
  readonly startUtcMs: number;
  readonly endUtcMs: number;
  readonly startMonoMs: number;
  readonly clockTrusted: boolean;
  readonly shiftMs: number;
  readonly bytes: number;
  /** Lower-case hex. */
  readonly crc64: string | null;
  readonly blake3: string | null;
}

export interface RunEntry {
  readonly run: string;
  readonly place: StreamPlace;
  readonly startUtcMs: number;
  readonly startMonoMs: number;
  readonly clockTrusted: boolean;
  readonly boot: string | null;
  readonly shiftMs: number;
  readonly endUtcMs: number | null;
  readonly endCause: string | null;
  /** False if only its segments speak of it: it began with the first of them that is found. */
  readonly journalled: boolean;
}

/** Rows go in by the hundred as one JSON text each: one statement costs as much as a row. */
const RUNS = `INSERT INTO run (uuid, stream_id, start_utc_ms, start_mono_ms, clock_trusted, boot, shift_ms, end_utc_ms, end_cause)
  SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
    value ->> 8 FROM json_each(?) WHERE TRUE
  ON CONFLICT (uuid) DO UPDATE SET`;
const JOURNALLED_RUNS = `${RUNS} stream_id = excluded.stream_id, start_utc_ms = excluded.start_utc_ms, start_mono_ms = excluded.start_mono_ms,
    clock_trusted = excluded.clock_trusted, boot = excluded.boot, shift_ms = excluded.shift_ms
  WHERE (stream_id, start_utc_ms, start_mono_ms, clock_trusted, boot, shift_ms) IS NOT
    (excluded.stream_id, excluded.start_utc_ms, excluded.start_mono_ms, excluded.clock_trusted, excluded.boot, excluded.shift_ms)`;
const OTHER_RUNS = `${RUNS} stream_id = excluded.stream_id, start_utc_ms = min(start_utc_ms, excluded.start_utc_ms),
    start_mono_ms = iif(excluded.start_utc_ms < start_utc_ms, excluded.start_mono_ms, start_mono_ms)
  WHERE stream_id <> excluded.stream_id OR start_utc_ms > excluded.start_utc_ms`;
const SEGMENTS = `INSERT INTO segment (run_id, sequence, stream_id, root_id, state, start_utc_ms, end_utc_ms, bytes, file, crc64, blake3)
  SELECT run_id, value ->> 1, stream_id, value ->> 2, ${SEGMENT_CLOSED}, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
    unhex(value ->> 7), unhex(value ->> 8)
  FROM json_each(?) CROSS JOIN run ON run.uuid = value ->> 0 WHERE TRUE
  ON CONFLICT (run_id, sequence) DO UPDATE SET stream_id = excluded.stream_id, root_id = excluded.root_id, state = excluded.state,
    start_utc_ms = excluded.start_utc_ms, end_utc_ms = excluded.end_utc_ms, bytes = excluded.bytes, file = excluded.file,
    crc64 = excluded.crc64, blake3 = excluded.blake3
  WHERE segment.state <> ${SEGMENT_DELETING}`;

const DAMAGES = `UPDATE segment SET damage = told.damage FROM (
    SELECT run_id, value ->> 1 AS sequence, value ->> 2 AS damage FROM json_each(?) CROSS JOIN run ON run.uuid = value ->> 0) AS told
  WHERE segment.run_id = told.run_id AND segment.sequence = told.sequence AND segment.damage IS NOT told.damage`;

/** Keys of streams by place, added where they are new. One for each transaction: a rolled-back key is none. */
export async function streamIds(transaction: Transaction, places: Iterable<StreamPlace>): Promise<ReadonlyMap<string, number>> {
  const ids = new Map<string, number>();
  for (const place of places) {
    const key = placeKey(place);
    if (!ids.has(key)) ids.set(key, await ensureStream(transaction, place));
  }
  return ids;
}

export const placeKey = ({ camera, name }: StreamPlace): string => `${camera}/${name}`;

/** Enters segments that have not gone meanwhile, with their runs. Where a row says something else, the file is right. */
export async function enterSegments(
  transaction: Transaction,
  entries: readonly IndexEntry[],
  runs: readonly RunEntry[],
  gone: ReadonlySet<string>,
): Promise<number> {
  const present = entries.filter((entry) => !gone.has(segmentKey(entry)));
  if (present.length === 0) return 0;
  const ids = await streamIds(
    transaction,
    runs.map(({ place }) => place),
  );
  for (const journalled of [true, false]) {
    const rows = runs.filter((run) => run.journalled === journalled).map((run) => runValues(run, ids));
    if (rows.length > 0) await transaction.run(journalled ? JOURNALLED_RUNS : OTHER_RUNS, [JSON.stringify(rows)]);
  }
  const rows = present.map(({ run, sequence, root, startUtcMs, endUtcMs, bytes, file, crc64, blake3 }) => {
    return [run, sequence, root, startUtcMs, endUtcMs, bytes, file, crc64, blake3];
  });
  const changed = await transaction.run(SEGMENTS, [JSON.stringify(rows)]);
  const longest = new Map<string, number>();
  for (const { place, startUtcMs, endUtcMs } of present) {
    const key = placeKey(place);
    longest.set(key, Math.max(longest.get(key) ?? 0, endUtcMs - startUtcMs));
  }
  for (const [key, lengthMs] of longest) {
    await transaction.run("UPDATE stream SET longest_segment_ms = ?1 WHERE stream_id = ?2 AND longest_segment_ms < ?1", [
      lengthMs,
      ids.get(key) ?? 0,
    ]);
  }
  return changed;
}

/** Marks segments as journals tell; those that are not there are passed over. */
export async function enterDamages(transaction: Transaction, damages: readonly SegmentDamage[]): Promise<void> {
  if (damages.length === 0) return;
  await transaction.run(DAMAGES, [JSON.stringify(damages.map(({ run, sequence, damage }) => [run, sequence, damage]))]);
}

/** Counts the hours again that these stretches have a part in. */
export async function coverAgain(transaction: Transaction, stretches: readonly Pick<IndexEntry, "place" | "startUtcMs" | "endUtcMs">[]) {
  const hours = new Map<string, { readonly place: StreamPlace; readonly hours: Set<number> }>();
  for (const { place, startUtcMs, endUtcMs } of stretches) {
    const key = placeKey(place);
    const known = hours.get(key) ?? { place, hours: new Set() };
    for (const hour of hoursOf(startUtcMs, endUtcMs)) known.hours.add(hour);
    hours.set(key, known);
  }
  for (const { place, hours: touched } of hours.values()) {
    const stream = await ensureStream(transaction, place);
    for (const hour of touched) await updateHour(transaction, stream, hour);
  }
}

function runValues(run: RunEntry, ids: ReadonlyMap<string, number>): readonly (string | number | null)[] {
  const { startUtcMs, startMonoMs, clockTrusted, boot, shiftMs, endUtcMs, endCause } = run;
  const end = endUtcMs === null ? null : Math.max(startUtcMs, endUtcMs);
  return [run.run, ids.get(placeKey(run.place)) ?? 0, startUtcMs, startMonoMs, clockTrusted ? 1 : 0, boot, shiftMs, end, endCause];
}

/** Puts runs right that are there and journals tell otherwise of. */
export async function correctRuns(transaction: Transaction, runs: readonly RunEntry[]): Promise<void> {
  const present = await transaction.all<{ uuid: string }>("SELECT uuid FROM json_each(?) CROSS JOIN run ON run.uuid = value", [
    JSON.stringify(runs.map(({ run }) => run)),
  ]);
  const known = new Set(present.map(({ uuid }) => uuid));
  const rows = runs.filter(({ run }) => known.has(run));
  if (rows.length === 0) return;
  const ids = await streamIds(
    transaction,
    rows.map(({ place }) => place),
  );
  await transaction.run(JOURNALLED_RUNS, [JSON.stringify(rows.map((run) => runValues(run, ids)))]);
}

/** Takes rows out whose files are not there, with the runs that have none left. */
export async function dropRows(transaction: Transaction, rows: readonly StoredSegment[]): Promise<void> {
  for (const { run, sequence } of rows) {
    await transaction.run(`DELETE FROM segment WHERE ${BY_ID}`, [run, sequence]);
    await dropEmptyRun(transaction, run);
  }
  await coverAgain(
    transaction,
    rows.map((row) => ({ place: placeOf(row), startUtcMs: row.startUtcMs, endUtcMs: row.endUtcMs })),
  );
}

const SUMS = `(SELECT root.root_id, count(segment.run_id) AS segments, ifnull(sum(segment.bytes), 0) AS bytes
  FROM root LEFT JOIN segment USING (root_id) GROUP BY root.root_id) AS counted`;
const WRONG_SUM = "counted.root_id = root.root_id AND (root.segments, root.bytes) IS NOT (counted.segments, counted.bytes)";
const LONGEST_SEGMENTS = `(SELECT stream_id, max(end_utc_ms - start_utc_ms) AS longest FROM segment WHERE state = ${SEGMENT_CLOSED}
  GROUP BY stream_id) AS found`;
const TOO_SHORT = "found.stream_id = stream.stream_id AND found.longest > stream.longest_segment_ms";
const EMPTY_HOUR = `NOT EXISTS (SELECT 1 FROM segment AS s WHERE s.stream_id = c.stream_id
  AND s.state = ${SEGMENT_CLOSED} AND s.start_utc_ms <= (c.hour + 1) * 3600000 + ${JOIN_MS} AND s.end_utc_ms >= c.hour * 3600000 - ${JOIN_MS}
  AND s.start_utc_ms >= c.hour * 3600000 - ${JOIN_MS} - (SELECT longest_segment_ms FROM stream WHERE stream_id = c.stream_id))`;

/** Whether `countAgain` would change anything. Reads every row, so ask a connection of your own. */
export const COUNTS_WRONG = `SELECT EXISTS (SELECT 1 FROM root, ${SUMS} WHERE ${WRONG_SUM})
  OR EXISTS (SELECT 1 FROM stream, ${LONGEST_SEGMENTS} WHERE ${TOO_SHORT})
  OR EXISTS (SELECT 1 FROM coverage_hour AS c WHERE ${EMPTY_HOUR}) AS wrong`;

/** Counts again what triggers and searches go by: longest rows, hours without segments, sums of roots. */
export async function countAgain(transaction: Transaction): Promise<void> {
  await transaction.run(`UPDATE stream SET longest_segment_ms = found.longest FROM ${LONGEST_SEGMENTS} WHERE ${TOO_SHORT}`);
  await transaction.run(`DELETE FROM coverage_hour AS c WHERE ${EMPTY_HOUR}`);
  await transaction.run(`UPDATE root SET segments = counted.segments, bytes = counted.bytes FROM ${SUMS} WHERE ${WRONG_SUM}`);
}

/** Statements of the end, once all segments are in. */
const RUN_ENDS = `UPDATE run SET end_utc_ms = told.end_utc_ms, end_cause = told.end_cause FROM (
    SELECT run_id, value ->> 2 AS end_cause, max(run.start_utc_ms, (value ->> 1) + iif(value ->> 3, shift_ms, 0),
      ifnull((SELECT max(end_utc_ms) FROM segment WHERE segment.run_id = run.run_id AND state = ${SEGMENT_CLOSED}), 0)) AS end_utc_ms
    FROM json_each(?) CROSS JOIN run ON run.uuid = value ->> 0) AS told
  WHERE run.run_id = told.run_id AND (run.end_utc_ms, run.end_cause) IS NOT (told.end_utc_ms, told.end_cause)`;
const LONGEST = `UPDATE stream SET
    longest_run_ms = max(longest_run_ms, ifnull((SELECT max(end_utc_ms - start_utc_ms) FROM run WHERE run.stream_id = stream.stream_id), 0)),
    longest_gap_ms = max(longest_gap_ms, ifnull((SELECT max(to_utc_ms - from_utc_ms) FROM gap WHERE gap.stream_id = stream.stream_id), 0))`;

/** `unmoved`: the time is as the run's files say, and is moved with it. */
export type RunEnd = readonly [run: string, atUtcMs: number, cause: string, unmoved: boolean];

/** Ends runs as journals tell, not before their last media. */
export async function endRuns(transaction: Transaction, ends: readonly RunEnd[]): Promise<void> {
  await transaction.run(RUN_ENDS, [JSON.stringify(ends)]);
}

/** How far before a range searches have to begin. */
export async function measureLongest(transaction: Transaction): Promise<void> {
  await transaction.run(LONGEST);
}
