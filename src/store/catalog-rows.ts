import type { BootShift } from "./clock/boot-shift.ts";
import type { Transaction, Value } from "./database.ts";
import type { RunStart, StreamPlace } from "./types.ts";

/** Condition of a segment by run UUID and sequence, in this order. */
export const BY_ID = "run_id = (SELECT run_id FROM run WHERE uuid = ?) AND sequence = ?";

export async function ensureStream(transaction: Transaction, place: StreamPlace): Promise<number> {
  const find = () =>
    transaction.get<{ stream_id: number }>("SELECT stream_id FROM stream WHERE camera = ? AND kind = ? AND name = ?", [
      place.camera,
      place.stream,
      place.name,
    ]);
  const known = await find();
  if (known !== undefined) return known.stream_id;
  await transaction.run("INSERT INTO stream (camera, kind, channel, name) VALUES (?, ?, ?, ?)", [
    place.camera,
    place.stream,
    place.channel,
    place.name,
  ]);
  return (await find())?.stream_id ?? 0;
}

export const INSERT_RUN = `INSERT INTO run (uuid, stream_id, start_utc_ms, start_mono_ms, clock_trusted, boot, shift_ms)
  VALUES (?, ?, ?, ?, ?, ?, ?)`;

/** Values for `INSERT_RUN`: times are moved where the run's boot was. */
export function runValues(run: RunStart, stream: number, shift: BootShift): readonly Value[] {
  const shiftMs = shift.ofNewRow(run);
  const trusted = run.clockTrusted || shiftMs !== 0;
  return [run.run, stream, run.startUtcMs + shiftMs, run.startMonoMs, trusted ? 1 : 0, run.boot, shiftMs];
}

/** The run's row, added where it is new. `shiftMs`: what is to be added to times as its files say them. */
export async function ensureRun(
  transaction: Transaction,
  run: RunStart,
  shift: BootShift,
): Promise<{ runId: number; stream: number; shiftMs: number }> {
  const find = () =>
    transaction.get<{ runId: number; stream: number; shiftMs: number }>(
      "SELECT run_id AS runId, stream_id AS stream, shift_ms AS shiftMs FROM run WHERE uuid = ?",
      [run.run],
    );
  const known = await find();
  if (known !== undefined) return known;
  const stream = await ensureStream(transaction, run);
  await transaction.run(INSERT_RUN, runValues(run, stream, shift));
  return (await find()) ?? { runId: 0, stream, shiftMs: 0 };
}

/** A run that ended goes with its last segment, so that the table grows no longer than what is kept. */
export async function dropEmptyRun(transaction: Transaction, run: string): Promise<void> {
  await transaction.run(
    "DELETE FROM run WHERE uuid = ? AND end_utc_ms IS NOT NULL AND NOT EXISTS (SELECT 1 FROM segment WHERE segment.run_id = run.run_id)",
    [run],
  );
}

/** Ends the open gap of a stream. One that would not have lasted leaves no row: a gap that was called off, or a clock that stepped back. */
export async function endGap(transaction: Transaction, stream: number, toUtcMs: number): Promise<void> {
  await transaction.run("DELETE FROM gap WHERE stream_id = ? AND to_utc_ms IS NULL AND from_utc_ms >= ?", [stream, toUtcMs]);
  const row = await transaction.get<{ length: number }>(
    "UPDATE gap SET to_utc_ms = ?2 WHERE stream_id = ?1 AND to_utc_ms IS NULL RETURNING to_utc_ms - from_utc_ms AS length",
    [stream, toUtcMs],
  );
  if (row === undefined) return;
  await transaction.run("UPDATE stream SET longest_gap_ms = max(longest_gap_ms, ?) WHERE stream_id = ?", [row.length, stream]);
}

/**
 * The key of the root with this identity, which is at `path` now. A row from before there were identities is its own if the disk holds
 * recordings, as that one did.
 */
export async function claimRoot(transaction: Transaction, uuid: string, path: string, recordings: boolean): Promise<number> {
  const find = (where: string, value: string) =>
    transaction.get<{ id: number; uuid: string | null; segments: number }>(
      `SELECT root_id AS id, uuid, segments FROM root WHERE ${where} = ?`,
      [value],
    );
  const known = await find("uuid", uuid);
  const there = await find("path", path);
  if (there !== undefined && there.id !== known?.id) {
    if (known === undefined && there.uuid === null && (recordings || there.segments === 0)) {
      await transaction.run("UPDATE root SET uuid = ? WHERE root_id = ?", [uuid, there.id]);
      return there.id;
    }
    // Another disk was there. Where it is now nobody knows; no path has this form.
    await transaction.run("UPDATE root SET path = 'formerly ' || root_id || ' ' || path WHERE root_id = ?", [there.id]);
  }
  if (known === undefined) await transaction.run("INSERT INTO root (path, uuid) VALUES (?, ?)", [path, uuid]);
  else await transaction.run("UPDATE root SET path = ? WHERE root_id = ?", [path, known.id]);
  return (await find("uuid", uuid))?.id ?? 0;
}
