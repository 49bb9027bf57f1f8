import type { GapCause, StreamKind } from "../media/types.ts";
import { BY_ID, claimRoot, dropEmptyRun, endGap, ensureRun, ensureStream, INSERT_RUN, runValues } from "./catalog-rows.ts";
import type { BootShift, Stamp } from "./clock/boot-shift.ts";
import { updateCoverage } from "./coverage.ts";
import type { Reader, Transaction } from "./database.ts";
import { addDeletion, removeDeletion } from "./deletions.ts";
import type { Writable } from "./index/live-database.ts";
import type { DeletionRule } from "./journal.ts";
import { segmentKey } from "./leases.ts";
import { parseStreamName, stampAsUtcMs } from "./paths.ts";
import { SEGMENT_CLOSED, SEGMENT_DELETING, SEGMENT_OPEN } from "./schema.ts";
import type { RunStart, SegmentDamage, SegmentId, StreamPlace } from "./types.ts";

/** A row of `segment` with the names behind its keys. `root` is the catalog's own key. */
export interface StoredSegment extends SegmentId {
  readonly root: number;
  readonly camera: string;
  readonly stream: StreamKind;
  readonly name: string;
  readonly state: number;
  readonly startUtcMs: number;
  readonly endUtcMs: number;
  readonly bytes: number;
  readonly file: string;
  /** What is wrong with the file's bytes; null if nothing is known. */
  readonly damage: string | null;
}

export interface StoredStream extends StreamPlace {
  readonly id: number;
}

export interface OpenGap {
  readonly fromUtcMs: number;
  readonly cause: GapCause;
  readonly detail: string | null;
}

/** The newest of what accounts for a stream's time. */
export interface LastAccounted {
  readonly endUtcMs: number;
  readonly runEndUtcMs: number | null;
  readonly runCause: string | null;
  readonly gapGoesOn: number;
}

/** What a finished file says of itself. Hashes are lower-case hex. */
export interface ClosedSegment {
  readonly root: number;
  readonly file: string;
  readonly startUtcMs: number;
  readonly endUtcMs: number;
  readonly bytes: number;
  readonly crc64: string | null;
  readonly blake3: string | null;
}

/** Columns of a `StoredSegment`; the query names `segment AS s`, and joins run and stream. */
export const SEGMENT_COLUMNS = `run.uuid AS run, s.sequence, s.root_id AS root, stream.camera, stream.kind AS stream, stream.name, s.state,
  s.start_utc_ms AS startUtcMs, s.end_utc_ms AS endUtcMs, s.bytes, s.file, s.damage`;
export const SEGMENT_JOINS = "JOIN run ON run.run_id = s.run_id JOIN stream ON stream.stream_id = s.stream_id";
const STREAM_COLUMNS = "stream_id AS id, camera, kind AS stream, channel, name";

/** A row of a day folder; hashes are upper-case hex. */
export interface FolderRow extends StoredSegment {
  readonly crc64: string;
  readonly blake3: string;
}

export interface WalkKey {
  readonly runId: number;
  readonly sequence: number;
}

const DAY_MS = 86_400_000;

/** What happened to the catalog while somebody read files, by `segmentKey` and run. */
export interface Meanwhile {
  /** Segments whose files go or have gone. */
  readonly gone: Set<string>;
  readonly ended: Map<string, { readonly atUtcMs: number; readonly cause: string }>;
  readonly damaged: Map<string, SegmentDamage>;
  /** Deletions that were under way at the beginning. */
  readonly deleting: readonly { readonly segment: StoredSegment; readonly rule: DeletionRule }[];
}

/** A start that is further ahead than this is of a clock that was wrong. */
const AHEAD_MS = 60_000;

/** The rows of `catalog.db`. Holds no decision about files; every write is one transaction. */
export class Catalog {
  readonly shift: BootShift;
  readonly #database: Writable;
  readonly #watchers = new Set<Meanwhile>();
  /** What is between Delete 1 and 6. */
  readonly #deleting = new Map<string, { readonly segment: StoredSegment; readonly rule: DeletionRule }>();

  /** `shift`: by how much runs of this boot are moved. Times of a run are given as its files say, and moved as they are written. */
  constructor(database: Writable, shift: BootShift) {
    this.#database = database;
    this.shift = shift;
  }

  /** Rows are changed together, in the order asked for among all writes. */
  write<T>(work: (transaction: Transaction) => Promise<T>, durable = false): Promise<T> {
    return this.#database.transaction(work, durable);
  }

  /** By how much later than its files say the times of a run are; 0 for one that is not known. */
  async runShiftMs(run: string): Promise<number> {
    const row = await this.#database.get<{ shiftMs: number }>("SELECT shift_ms AS shiftMs FROM run WHERE uuid = ?", [run]);
    return row?.shiftMs ?? 0;
  }

  /** Notes from now on what files that were read already cannot tell. */
  watch(): Meanwhile {
    const meanwhile: Meanwhile = {
      gone: new Set(this.#deleting.keys()),
      ended: new Map(),
      damaged: new Map(),
      deleting: [...this.#deleting.values()],
    };
    this.#watchers.add(meanwhile);
    return meanwhile;
  }

  unwatch(meanwhile: Meanwhile): void {
    this.#watchers.delete(meanwhile);
  }

  get reader(): Reader {
    return this.#database;
  }

  /** The catalog's key of a root with this identity, or, if nothing is known of that, of the one that was at this path last; null for neither. */
  async rootId(uuid: string | null, path: string): Promise<number | null> {
    const row = await this.#database.get<{ id: number }>(
      "SELECT root_id AS id FROM root WHERE uuid = ?1 OR (?1 IS NULL AND path = ?2) ORDER BY uuid IS NULL LIMIT 1",
      [uuid, path],
    );
    return row?.id ?? null;
  }

  async rootUuids(): Promise<readonly string[]> {
    const rows = await this.#database.all<{ uuid: string }>("SELECT uuid FROM root WHERE uuid IS NOT NULL");
    return rows.map(({ uuid }) => uuid);
  }

  claimRoot(uuid: string, path: string, recordings: boolean): Promise<number> {
    return this.#database.transaction((transaction) => claimRoot(transaction, uuid, path, recordings));
  }

  /** Takes over the keys that another catalog gave to the roots: the process goes by them. */
  async takeRoots(roots: readonly { readonly id: number; readonly path: string; readonly uuid: string | null }[]): Promise<void> {
    await this.#database.transaction(async (transaction) => {
      for (const { id, path, uuid } of roots) {
        await transaction.run("INSERT INTO root (root_id, path, uuid) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", [id, path, uuid]);
      }
    });
  }

  roots(): Promise<{ readonly id: number; readonly path: string; readonly uuid: string | null }[]> {
    return this.#database.all("SELECT root_id AS id, path, uuid FROM root");
  }

  /** A deletion that is under way while this catalog is filled. */
  async noteDeletion(segment: StoredSegment, rule: DeletionRule): Promise<void> {
    await this.#database.transaction(async (transaction) => {
      const stream = await ensureStream(transaction, placeOf(segment));
      await addDeletion(transaction, stream, segment.startUtcMs, segment.endUtcMs, rule);
    });
  }

  totals(): Promise<{ root: number; segments: number; bytes: number }[]> {
    return this.#database.all("SELECT root_id AS root, segments, bytes FROM root");
  }

  streams(camera: string | null, stream: StreamKind | null): Promise<StoredStream[]> {
    const where = "(?1 IS NULL OR camera = ?1) AND (?2 IS NULL OR kind = ?2)";
    return this.#database.all(`SELECT ${STREAM_COLUMNS} FROM stream WHERE ${where} ORDER BY channel, kind, stream_id`, [camera, stream]);
  }

  /** Who records under this folder name; the newest if the channel changed hands. */
  streamByName(name: string): Promise<StoredStream | undefined> {
    return this.#database.get(`SELECT ${STREAM_COLUMNS} FROM stream WHERE name = ? ORDER BY stream_id DESC LIMIT 1`, [name]);
  }

  beginRun(run: RunStart): Promise<void> {
    return this.#database.transaction(async (transaction) => {
      const stream = await ensureStream(transaction, run);
      await transaction.run(
        `${INSERT_RUN} ON CONFLICT DO UPDATE SET start_utc_ms = excluded.start_utc_ms, start_mono_ms = excluded.start_mono_ms,
           clock_trusted = excluded.clock_trusted, boot = excluded.boot, shift_ms = excluded.shift_ms`,
        runValues(run, stream, this.shift),
      );
    });
  }

  /** Ends a run, unless it has ended; one that left no segment leaves no row. `endUtcMs` as its files say. */
  endRun(run: string, endUtcMs: number, cause: string): Promise<void> {
    for (const { ended } of this.#watchers) ended.set(run, { atUtcMs: endUtcMs, cause });
    return this.#database.transaction(async (transaction) => {
      const changed = await transaction.run(
        "UPDATE run SET end_utc_ms = max(start_utc_ms, ? + shift_ms), end_cause = ? WHERE uuid = ? AND end_utc_ms IS NULL",
        [endUtcMs, cause, run],
      );
      if (changed === 0) return;
      await transaction.run(
        `UPDATE stream SET longest_run_ms = max(longest_run_ms, run.end_utc_ms - run.start_utc_ms)
         FROM run WHERE run.uuid = ? AND stream.stream_id = run.stream_id`,
        [run],
      );
      await dropEmptyRun(transaction, run);
    });
  }

  /** `startUtcMs` as the file says. */
  openSegment(run: RunStart, sequence: number, root: number, file: string, startUtcMs: number): Promise<void> {
    return this.#database.transaction(async (transaction) => {
      const { runId, stream, shiftMs } = await ensureRun(transaction, run, this.shift);
      await transaction.run(
        `INSERT INTO segment (run_id, sequence, stream_id, root_id, state, start_utc_ms, end_utc_ms, bytes, file)
         VALUES (?1, ?2, ?3, ?4, ${SEGMENT_OPEN}, ?5, ?5, 0, ?6) ON CONFLICT DO NOTHING`,
        [runId, sequence, stream, root, startUtcMs + shiftMs, file],
      );
    });
  }

  /** How far an open segment has got that cannot be finished now; its end as the file says. */
  noteProgress(id: SegmentId, bytes: number, endUtcMs: number): Promise<void> {
    return this.#database.transaction(async (transaction) => {
      await transaction.run(
        `UPDATE segment SET bytes = ?3, end_utc_ms = max(start_utc_ms, ?4 + (SELECT shift_ms FROM run WHERE uuid = ?1))
         WHERE state = ${SEGMENT_OPEN} AND run_id = (SELECT run_id FROM run WHERE uuid = ?1) AND sequence = ?2`,
        [id.run, id.sequence, bytes, endUtcMs],
      );
    });
  }

  /** Close 6. Adds the row where the open one, or its run, never made it to the disk. Times as the file says. */
  closeSegment(run: RunStart, sequence: number, closed: ClosedSegment): Promise<void> {
    const { root, file, bytes } = closed;
    const crc64 = closed.crc64 === null ? null : Buffer.from(closed.crc64, "hex");
    const blake3 = closed.blake3 === null ? null : Buffer.from(closed.blake3, "hex");
    return this.#database.transaction(async (transaction) => {
      const { runId, stream, shiftMs } = await ensureRun(transaction, run, this.shift);
      const [startUtcMs, endUtcMs] = [closed.startUtcMs + shiftMs, closed.endUtcMs + shiftMs];
      await transaction.run(
        `INSERT INTO segment (run_id, sequence, stream_id, root_id, state, start_utc_ms, end_utc_ms, bytes, file, crc64, blake3)
         VALUES (?, ?, ?, ?, ${SEGMENT_CLOSED}, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET state = excluded.state, start_utc_ms = excluded.start_utc_ms, end_utc_ms = excluded.end_utc_ms,
           bytes = excluded.bytes, file = excluded.file, crc64 = excluded.crc64, blake3 = excluded.blake3`,
        [runId, sequence, stream, root, startUtcMs, endUtcMs, bytes, file, crc64, blake3],
      );
      await transaction.run("UPDATE stream SET longest_segment_ms = max(longest_segment_ms, ?) WHERE stream_id = ?", [
        endUtcMs - startUtcMs,
        stream,
      ]);
      await transaction.run("UPDATE run SET end_utc_ms = max(end_utc_ms, ?) WHERE run_id = ? AND end_utc_ms IS NOT NULL", [
        endUtcMs,
        runId,
      ]);
      await updateCoverage(transaction, stream, startUtcMs, endUtcMs);
    });
  }

  /** Delete 1 and 2. Durable, since the file goes next: a row that came back after a power loss would name nothing. False if there is no closed row. */
  async markDeleting(segment: StoredSegment, rule: DeletionRule): Promise<boolean> {
    const key = segmentKey(segment);
    this.#deleting.set(key, { segment, rule });
    for (const { gone } of this.#watchers) gone.add(key);
    const { run, sequence, startUtcMs, endUtcMs } = segment;
    const marked = await this.#database.transaction(async (transaction, mirrored) => {
      const row = await transaction.get<{ stream_id: number }>(
        `UPDATE segment SET state = ${SEGMENT_DELETING} WHERE state = ${SEGMENT_CLOSED} AND ${BY_ID} RETURNING stream_id`,
        [run, sequence],
      );
      if (row === undefined && !mirrored) return false;
      const stream = row?.stream_id ?? (await ensureStream(transaction, placeOf(segment)));
      await addDeletion(transaction, stream, startUtcMs, endUtcMs, rule);
      await updateCoverage(transaction, stream, startUtcMs, endUtcMs);
      return row !== undefined;
    }, true);
    if (!marked) this.#kept(key);
    return marked;
  }

  /** Takes Delete 1 and 2 back: the disk kept the file. */
  async unmarkDeleting(segment: StoredSegment): Promise<void> {
    const { run, sequence, startUtcMs, endUtcMs } = segment;
    await this.#database.transaction(async (transaction, mirrored) => {
      const row = await transaction.get<{ stream_id: number }>(
        `UPDATE segment SET state = ${SEGMENT_CLOSED} WHERE state = ${SEGMENT_DELETING} AND ${BY_ID} RETURNING stream_id`,
        [run, sequence],
      );
      if (row === undefined && !mirrored) return;
      const stream = row?.stream_id ?? (await ensureStream(transaction, placeOf(segment)));
      await removeDeletion(transaction, stream, startUtcMs, endUtcMs);
      await updateCoverage(transaction, stream, startUtcMs, endUtcMs);
    });
    this.#kept(segmentKey(segment));
  }

  /** Delete 6; also for a row whose file never was. The run goes with its last segment. */
  async dropSegment(id: SegmentId): Promise<void> {
    const key = segmentKey(id);
    for (const { gone } of this.#watchers) gone.add(key);
    await this.#database.transaction(async (transaction) => {
      await transaction.run(`DELETE FROM segment WHERE ${BY_ID}`, [id.run, id.sequence]);
      await dropEmptyRun(transaction, id.run);
    });
    this.#deleting.delete(key);
  }

  /** What is wrong with a closed segment's bytes, null if they are right after all. False if it says so already, or is not closed (any more). */
  markDamage({ run, sequence }: SegmentId, damage: string | null): Promise<boolean> {
    for (const { damaged } of this.#watchers) damaged.set(segmentKey({ run, sequence }), { run, sequence, damage });
    return this.#database.transaction(async (transaction) => {
      const changed = await transaction.run(
        `UPDATE segment SET damage = ?1 WHERE state = ${SEGMENT_CLOSED} AND damage IS NOT ?1 AND ${BY_ID}`,
        [damage, run, sequence],
      );
      return changed > 0;
    });
  }

  /** Closed segments whose bytes are not right, by root. */
  damagedByRoot(): Promise<{ root: number; segments: number }[]> {
    return this.#database.all(
      `SELECT root_id AS root, count(*) AS segments FROM segment WHERE damage IS NOT NULL AND state = ${SEGMENT_CLOSED} GROUP BY root_id`,
    );
  }

  segment(id: SegmentId): Promise<StoredSegment | undefined> {
    return this.#database.get(
      `SELECT ${SEGMENT_COLUMNS} FROM run JOIN segment AS s USING (run_id) JOIN stream ON stream.stream_id = s.stream_id
      WHERE run.uuid = ? AND s.sequence = ?`,
      [id.run, id.sequence],
    );
  }

  /** Closed segments of a run, in order. */
  segmentsOf(run: string): Promise<StoredSegment[]> {
    return this.#database.all(
      `SELECT ${SEGMENT_COLUMNS} FROM run JOIN segment AS s USING (run_id) JOIN stream ON stream.stream_id = s.stream_id
       WHERE run.uuid = ? AND s.state = ${SEGMENT_CLOSED} ORDER BY s.sequence`,
      [run],
    );
  }

  /**
   * Closed segments of a root, oldest first. By their start; those that a clock that was ahead put into the future were recorded before the
   * next run whose time can be: else they would outlive everything recorded since.
   */
  async oldest(root: number, limit: number, nowUtcMs: number): Promise<StoredSegment[]> {
    const select = (columns: string, where: string) =>
      `SELECT ${SEGMENT_COLUMNS}${columns} FROM segment AS s ${SEGMENT_JOINS} WHERE s.state = ${SEGMENT_CLOSED} AND s.root_id = ?1 AND ${where}
       ORDER BY s.start_utc_ms LIMIT ?2`;
    const parameters = [root, limit, nowUtcMs + AHEAD_MS];
    const past = await this.#database.all<StoredSegment>(select("", "s.start_utc_ms <= ?3"), parameters);
    const began = `(SELECT start_utc_ms FROM run AS next WHERE next.run_id > s.run_id AND next.start_utc_ms <= ?3 ORDER BY next.run_id LIMIT 1)`;
    const future = await this.#database.all<StoredSegment & { readonly beforeUtcMs: number }>(
      select(`, ifnull(${began}, ?3) AS beforeUtcMs`, "s.start_utc_ms > ?3"),
      parameters,
    );
    const placed = [
      ...past.map((segment) => ({ segment, atUtcMs: segment.startUtcMs })),
      ...future.map(({ beforeUtcMs, ...segment }) => ({ segment, atUtcMs: beforeUtcMs - 1 })),
    ];
    return placed
      .sort((a, b) => a.atUtcMs - b.atUtcMs)
      .slice(0, limit)
      .map(({ segment }) => segment);
  }

  /** Segments whose open or delete procedure is not over. */
  unsettled(): Promise<StoredSegment[]> {
    return this.#database.all(`SELECT ${SEGMENT_COLUMNS} FROM segment AS s ${SEGMENT_JOINS} WHERE s.state <> ${SEGMENT_CLOSED}`);
  }

  /** The newest closed segments of a stream, newest first. */
  newest(stream: number, limit: number): Promise<StoredSegment[]> {
    return this.#database.all(
      `SELECT ${SEGMENT_COLUMNS} FROM segment AS s ${SEGMENT_JOINS} WHERE s.stream_id = ? AND s.state = ${SEGMENT_CLOSED}
       ORDER BY s.start_utc_ms DESC LIMIT ?`,
      [stream, limit],
    );
  }

  /** Files of a folder name whose segments start in a range of time: what day folders ought to hold. */
  filesBetween(name: string, root: number, range: { fromUtcMs: number; toUtcMs: number }): Promise<{ file: string }[]> {
    return this.#database.all(
      `SELECT s.file FROM stream CROSS JOIN segment AS s ON s.stream_id = stream.stream_id
       WHERE stream.name = ? AND s.root_id = ? AND s.start_utc_ms >= ? AND s.start_utc_ms < ?`,
      [name, root, range.fromUtcMs, range.toUtcMs],
    );
  }

  /** Everything known of a day folder: closed and deleting segments, and those whose times cannot be right. A day begins up to 14 h before its UTC namesake. */
  folderRows(name: string, root: number, day: string): Promise<FolderRow[]> {
    const begin = stampAsUtcMs(`${day}000000`);
    return this.#database.all(
      `SELECT ${SEGMENT_COLUMNS}, hex(s.crc64) AS crc64, hex(s.blake3) AS blake3 FROM stream CROSS JOIN segment AS s ON s.stream_id = stream.stream_id
       JOIN run ON run.run_id = s.run_id
       WHERE stream.name = ? AND s.root_id = ? AND s.start_utc_ms >= ? AND s.start_utc_ms < ? AND substr(s.file, 1, 9) = ?`,
      [name, root, begin - DAY_MS, begin + 2 * DAY_MS, `${day}/`],
    );
  }

  /** Closed segments behind (run, sequence), by these keys of the catalog's own, for a walk through all. */
  walk(after: WalkKey, limit: number): Promise<(StoredSegment & WalkKey)[]> {
    return this.#database.all(
      `SELECT ${SEGMENT_COLUMNS}, s.run_id AS runId FROM segment AS s ${SEGMENT_JOINS}
       WHERE (s.run_id, s.sequence) > (?, ?) AND s.state = ${SEGMENT_CLOSED} ORDER BY s.run_id, s.sequence LIMIT ?`,
      [after.runId, after.sequence, limit],
    );
  }

  /** Runs that have not ended, with the end of their last closed media (their start if there is none). */
  runsGoingOn(): Promise<(StoredStream & { run: string; lastUtcMs: number; shiftMs: number })[]> {
    return this.#database.all(
      `SELECT stream.stream_id AS id, camera, kind AS stream, channel, name, run.uuid AS run, run.shift_ms AS shiftMs,
         ifnull((SELECT max(end_utc_ms) FROM segment WHERE segment.run_id = run.run_id), run.start_utc_ms) AS lastUtcMs
       FROM run JOIN stream ON stream.stream_id = run.stream_id WHERE run.end_utc_ms IS NULL`,
    );
  }

  /** What accounts for the time of a stream last; undefined where nothing does. `gapGoesOn`: everything up to now is accounted for. */
  async lastAccounted(stream: number): Promise<LastAccounted | undefined> {
    const newest = (column: string, table: string, where: string, order: string) =>
      `(SELECT ${column} FROM ${table} WHERE stream_id = ?1 AND ${where} ORDER BY ${order} DESC LIMIT 1)`;
    const row = await this.#database.get<Omit<LastAccounted, "endUtcMs"> & { gapEndUtcMs: number | null; deletedUtcMs: number | null }>(
      `SELECT ${newest("end_utc_ms", "run", "end_utc_ms IS NOT NULL", "start_utc_ms")} AS runEndUtcMs,
         ${newest("end_cause", "run", "end_utc_ms IS NOT NULL", "start_utc_ms")} AS runCause,
         ${newest("to_utc_ms", "gap", "to_utc_ms IS NOT NULL", "from_utc_ms")} AS gapEndUtcMs,
         ${newest("to_utc_ms", "deletion", "TRUE", "from_utc_ms")} AS deletedUtcMs,
         EXISTS (SELECT 1 FROM gap WHERE stream_id = ?1 AND to_utc_ms IS NULL) AS gapGoesOn`,
      [stream],
    );
    const ends = [row?.runEndUtcMs, row?.gapEndUtcMs, row?.deletedUtcMs].filter((end) => end != null);
    return row === undefined || ends.length === 0 ? undefined : { ...row, endUtcMs: Math.max(...ends) };
  }

  /** End of the newest row of any stream, by start, which is where the indexes are; 0 if there is none. */
  async newestUtcMs(): Promise<number> {
    const newest = (columns: string, table: string, order: string) =>
      `(SELECT ${columns} FROM ${table} WHERE stream_id = stream.stream_id ORDER BY ${order} DESC LIMIT 1)`;
    const row = await this.#database.get<{ newest: number | null }>(
      `SELECT max(max(ifnull(${newest("end_utc_ms", "segment", "start_utc_ms")}, 0), ifnull(${newest("ifnull(end_utc_ms, start_utc_ms)", "run", "start_utc_ms")}, 0),
         ifnull(${newest("ifnull(to_utc_ms, from_utc_ms)", "gap", "from_utc_ms")}, 0), ifnull(${newest("to_utc_ms", "deletion", "from_utc_ms")}, 0))) AS newest
       FROM stream`,
    );
    return row?.newest ?? 0;
  }

  /** `mediaUtcMs`: where media begins that was recorded since the gap was opened; null where there is none, as it should be. */
  openGaps(): Promise<(OpenGap & StreamPlace & { readonly mediaUtcMs: number | null })[]> {
    return this.#database.all(
      `SELECT from_utc_ms AS fromUtcMs, cause, detail, camera, kind AS stream, channel, name,
         (SELECT min(start_utc_ms) FROM segment WHERE segment.stream_id = gap.stream_id AND start_utc_ms >= gap.from_utc_ms) AS mediaUtcMs
       FROM gap JOIN stream USING (stream_id) WHERE to_utc_ms IS NULL`,
    );
  }

  /** Opens a gap; an open one of another cause ends where this one begins. */
  openGap(place: StreamPlace, from: Stamp | number, cause: GapCause, detail: string | null): Promise<void> {
    return this.#database.transaction(async (transaction) => {
      const fromUtcMs = rowOf(from);
      const stream = await ensureStream(transaction, place);
      await endGap(transaction, stream, fromUtcMs);
      await transaction.run("INSERT INTO gap (stream_id, from_utc_ms, cause, detail) VALUES (?, ?, ?, ?)", [
        stream,
        fromUtcMs,
        cause,
        detail,
      ]);
    });
  }

  closeGap(place: StreamPlace, to: Stamp | number): Promise<void> {
    return this.#database.transaction(async (transaction) => endGap(transaction, await ensureStream(transaction, place), rowOf(to)));
  }

  /** The segment stays after all. */
  #kept(key: string): void {
    this.#deleting.delete(key);
    for (const { gone } of this.#watchers) gone.delete(key);
  }
}

/** The folder name tells the channel. */
export function placeOf({ camera, stream, name }: StoredSegment): StreamPlace {
  return { camera, stream, name, channel: parseStreamName(name)?.channel ?? 0 };
}

/** A number is a time as rows have it. */
const rowOf = (time: Stamp | number): number => (typeof time === "number" ? time : time.row());
