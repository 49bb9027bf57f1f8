import type { Heartbeat } from "../../base/clock-watch.ts";
import { JOIN_MS } from "../../media/types.ts";
import { BY_ID } from "../catalog-rows.ts";
import { HOUR_MS, updateHour } from "../coverage.ts";
import type { Reader, Transaction } from "../database.ts";
import type { SegmentId } from "../types.ts";

/** What a boot recorded by a clock that was not trusted, and by how much later it was recorded in truth. Times by that clock. */
export interface Shift {
  readonly boot: string;
  readonly sinceUtcMs: number;
  readonly untilUtcMs: number;
  readonly byMs: number;
}

/** A shift that is under way, as `meta` keeps it. `entered`: the rows are moved. */
export interface ShiftState extends Shift {
  readonly entered: boolean;
}

const PREFIX = "shift ";

export async function readShifts(reader: Reader): Promise<ShiftState[]> {
  const rows = await reader.all<{ value: string }>(`SELECT value FROM meta WHERE key LIKE '${PREFIX}%'`);
  return rows.map(({ value }) => JSON.parse(value));
}

export async function writeShift(transaction: Transaction, state: ShiftState): Promise<void> {
  await transaction.run("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", [
    PREFIX + state.boot,
    JSON.stringify(state),
  ]);
}

export async function dropShift(transaction: Transaction, boot: string): Promise<void> {
  await transaction.run("DELETE FROM meta WHERE key = ?", [PREFIX + boot]);
}

/** End of what other boots have recorded up to an instant; 0 if nothing. */
export async function endOfOthers(reader: Reader, { boot, sinceUtcMs }: Shift, untilUtcMs: number): Promise<number> {
  const row = await reader.get<{ endUtcMs: number }>(
    `SELECT max(ifnull((SELECT max(end_utc_ms) FROM run WHERE boot IS NOT ?1 AND end_utc_ms <= ?2), 0),
       ifnull((SELECT max(to_utc_ms) FROM deletion WHERE to_utc_ms <= min(?2, ?3)), 0)) AS endUtcMs`,
    [boot, untilUtcMs, sinceUtcMs],
  );
  return row?.endUtcMs ?? 0;
}

/** Shift 3: runs, their segments, gaps, deletions and hours, as if they had been stamped right. Rows of other boots end before `sinceUtcMs`. */
export async function shiftRows(transaction: Transaction, shift: Shift): Promise<void> {
  const { boot, byMs, sinceUtcMs, untilUtcMs } = shift;
  const mine = "boot = ?1 AND clock_trusted = 0";
  const streams = await transaction.all<{ id: number; fromUtcMs: number; toUtcMs: number }>(
    `SELECT stream_id AS id, min(start_utc_ms) AS fromUtcMs, max(end_utc_ms) AS toUtcMs FROM segment
     WHERE run_id IN (SELECT run_id FROM run WHERE ${mine}) GROUP BY stream_id`,
    [boot],
  );
  await transaction.run(
    `UPDATE segment SET start_utc_ms = start_utc_ms + ?2, end_utc_ms = end_utc_ms + ?2 WHERE run_id IN (SELECT run_id FROM run WHERE ${mine})`,
    [boot, byMs],
  );
  await transaction.run(
    `UPDATE run SET start_utc_ms = start_utc_ms + ?2, end_utc_ms = end_utc_ms + ?2, shift_ms = shift_ms + ?2, clock_trusted = 1 WHERE ${mine}`,
    [boot, byMs],
  );
  if (byMs === 0) return;
  await transaction.run(
    `UPDATE gap SET from_utc_ms = from_utc_ms + iif(from_utc_ms >= ?2, ?1, 0), to_utc_ms = to_utc_ms + iif(to_utc_ms >= ?2, ?1, 0)
     WHERE from_utc_ms BETWEEN ?2 AND ?3 OR to_utc_ms BETWEEN ?2 AND ?3`,
    [byMs, sinceUtcMs, untilUtcMs],
  );
  await transaction.run(
    `UPDATE stream SET longest_gap_ms =
       max(longest_gap_ms, ifnull((SELECT max(to_utc_ms - from_utc_ms) FROM gap WHERE gap.stream_id = stream.stream_id), 0))`,
  );
  await shiftDeletions(transaction, shift);
  for (const stream of streams) await coverAgain(transaction, stream.id, stream.fromUtcMs, stream.toUtcMs, byMs);
}

interface Deletion {
  readonly stream_id: number;
  readonly from_utc_ms: number;
  readonly to_utc_ms: number;
  readonly rule: string;
}

/** One that began in a boot before is parted where this one began. */
async function shiftDeletions(transaction: Transaction, { byMs, sinceUtcMs, untilUtcMs }: Shift): Promise<void> {
  const rows = await transaction.all<Deletion>("SELECT * FROM deletion WHERE to_utc_ms > ?1 AND from_utc_ms <= ?2", [
    sinceUtcMs,
    untilUtcMs,
  ]);
  for (const row of rows)
    await transaction.run("DELETE FROM deletion WHERE stream_id = ? AND from_utc_ms = ?", [row.stream_id, row.from_utc_ms]);
  const insert = (row: Deletion, from: number, to: number) =>
    transaction.run(
      `INSERT INTO deletion (stream_id, from_utc_ms, to_utc_ms, rule) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET to_utc_ms = max(to_utc_ms, excluded.to_utc_ms)`,
      [row.stream_id, from, to, row.rule],
    );
  for (const row of rows) {
    const began = Math.max(row.from_utc_ms, sinceUtcMs);
    if (row.from_utc_ms < began) await insert(row, row.from_utc_ms, began);
    await insert(row, began + byMs, row.to_utc_ms + byMs);
  }
}

/** Hours that held media by either clock. */
async function coverAgain(transaction: Transaction, stream: number, fromUtcMs: number, toUtcMs: number, byMs: number): Promise<void> {
  const hour = (utcMs: number) => Math.floor(utcMs / HOUR_MS);
  const before = await transaction.all<{ hour: number }>("SELECT hour FROM coverage_hour WHERE stream_id = ? AND hour BETWEEN ? AND ?", [
    stream,
    hour(fromUtcMs - JOIN_MS),
    hour(toUtcMs + JOIN_MS),
  ]);
  const hours = new Set(before.map((row) => row.hour));
  for (let at = hour(fromUtcMs + byMs - JOIN_MS); at <= hour(toUtcMs + byMs + JOIN_MS); at += 1) hours.add(at);
  for (const at of hours) await updateHour(transaction, stream, at);
}

/**
 * A heartbeat as it would be had its process lived to tell that it had moved what its boot recorded: the rows know. As it is where the
 * catalog cannot be read.
 */
export async function lastHeartbeat(last: Heartbeat | null, reader: Reader, boot: string): Promise<Heartbeat | null> {
  if (last === null || last.boot !== boot || last.trusted) return last;
  const byMs = await enteredShift(reader, boot).catch(() => null);
  if (byMs === null) return last;
  const utcMs = last.utcMs + byMs;
  return { ...last, utcMs, trusted: true, knownUtcMs: utcMs, untrustedSinceUtcMs: null, shiftMs: byMs };
}

/** By how much what the boot recorded was moved already; null if it was not. */
async function enteredShift(reader: Reader, boot: string): Promise<number | null> {
  const state = (await readShifts(reader)).find((candidate) => candidate.boot === boot && candidate.entered);
  if (state !== undefined) return state.byMs;
  const row = await reader.get<{ byMs: number }>("SELECT shift_ms AS byMs FROM run WHERE boot = ? AND shift_ms <> 0 LIMIT 1", [boot]);
  return row?.byMs ?? null;
}

/** Boots with runs whose times are later than their files say. */
export function shiftedBoots(reader: Reader): Promise<Shift[]> {
  return reader.all(
    `SELECT boot, shift_ms AS byMs, min(start_utc_ms) - shift_ms AS sinceUtcMs, max(ifnull(end_utc_ms, start_utc_ms)) - shift_ms AS untilUtcMs
     FROM run WHERE shift_ms <> 0 AND boot IS NOT NULL GROUP BY boot, shift_ms`,
  );
}

/** Runs whose files may be named by the clock before, in the order in which none takes the name of one that has yet to be renamed. */
export function shiftedRuns(reader: Reader, { boot, byMs }: Shift): Promise<{ readonly run: string }[]> {
  const order = byMs > 0 ? "DESC" : "ASC";
  return reader.all(`SELECT uuid AS run FROM run WHERE boot = ? AND shift_ms <> 0 ORDER BY start_utc_ms ${order}`, [boot]);
}

/** A file on its way to another name. */
export interface Renaming extends SegmentId {
  /** The catalog's key. */
  readonly root: number;
  readonly name: string;
  /** Path below the stream's folder. */
  readonly to: string;
}

/** Shift 5a: durable before the file is touched. */
export async function planRenaming(transaction: Transaction, { run, sequence, to }: Renaming): Promise<void> {
  await transaction.run(
    `INSERT INTO renaming SELECT run_id, ?2, ?3 FROM run WHERE uuid = ?1 ON CONFLICT DO UPDATE SET file = excluded.file`,
    [run, sequence, to],
  );
}

/** Shift 5c. */
export async function enterRenamed(transaction: Transaction, renaming: Renaming): Promise<void> {
  await transaction.run(`UPDATE segment SET file = ?3 WHERE run_id = (SELECT run_id FROM run WHERE uuid = ?1) AND sequence = ?2`, [
    renaming.run,
    renaming.sequence,
    renaming.to,
  ]);
  await dropRenaming(transaction, renaming);
}

export async function dropRenaming(transaction: Transaction, { run, sequence }: SegmentId): Promise<void> {
  await transaction.run(`DELETE FROM renaming WHERE ${BY_ID}`, [run, sequence]);
}

export function readRenamings(reader: Reader): Promise<Renaming[]> {
  return reader.all(
    `SELECT run.uuid AS run, renaming.sequence, s.root_id AS root, stream.name, renaming.file AS "to"
     FROM renaming JOIN run USING (run_id) JOIN segment AS s ON s.run_id = renaming.run_id AND s.sequence = renaming.sequence
     JOIN stream ON stream.stream_id = s.stream_id`,
  );
}
