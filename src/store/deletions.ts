import { JOIN_MS } from "../media/types.ts";
import type { Transaction } from "./database.ts";
import type { DeletionRule } from "./journal.ts";

interface Deletion {
  readonly from_utc_ms: number;
  readonly to_utc_ms: number;
  readonly rule: DeletionRule;
}

/** Notes media as deleted by `rule`: grows the row that ends or begins there, so that a ring leaves one row for each stretch of recording. */
export async function addDeletion(
  transaction: Transaction,
  stream: number,
  fromUtcMs: number,
  toUtcMs: number,
  rule: DeletionRule,
): Promise<void> {
  if (toUtcMs <= fromUtcMs) return;
  const joined = await overlapping(transaction, stream, fromUtcMs - JOIN_MS, toUtcMs + JOIN_MS);
  const same = joined.filter((row) => row.rule === rule);
  for (const row of same) await drop(transaction, stream, row);
  const from = Math.min(fromUtcMs, ...same.map((row) => row.from_utc_ms));
  const to = Math.max(toUtcMs, ...same.map((row) => row.to_utc_ms));
  await insert(transaction, stream, { from_utc_ms: from, to_utc_ms: to, rule });
}

/** Takes a stretch out again: the disk kept the file. */
export async function removeDeletion(transaction: Transaction, stream: number, fromUtcMs: number, toUtcMs: number): Promise<void> {
  for (const row of await overlapping(transaction, stream, fromUtcMs, toUtcMs)) {
    await drop(transaction, stream, row);
    if (row.from_utc_ms < fromUtcMs) await insert(transaction, stream, { ...row, to_utc_ms: fromUtcMs });
    if (row.to_utc_ms > toUtcMs) await insert(transaction, stream, { ...row, from_utc_ms: toUtcMs });
  }
}

/** Rows do not overlap each other, so that of those before the range only the last can reach into it. */
function overlapping(transaction: Transaction, stream: number, fromUtcMs: number, toUtcMs: number): Promise<Deletion[]> {
  return transaction.all(
    `SELECT from_utc_ms, to_utc_ms, rule FROM deletion WHERE stream_id = ?1 AND from_utc_ms < ?3 AND to_utc_ms > ?2
     AND from_utc_ms >= ifnull((SELECT max(from_utc_ms) FROM deletion WHERE stream_id = ?1 AND from_utc_ms <= ?2), ?2)`,
    [stream, fromUtcMs, toUtcMs],
  );
}

async function insert(transaction: Transaction, stream: number, row: Deletion): Promise<void> {
  await transaction.run(
    `INSERT INTO deletion (stream_id, from_utc_ms, to_utc_ms, rule) VALUES (?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET to_utc_ms = max(to_utc_ms, excluded.to_utc_ms)`,
    [stream, row.from_utc_ms, row.to_utc_ms, row.rule],
  );
}

async function drop(transaction: Transaction, stream: number, row: Deletion): Promise<void> {
  await transaction.run("DELETE FROM deletion WHERE stream_id = ? AND from_utc_ms = ?", [stream, row.from_utc_ms]);
}
