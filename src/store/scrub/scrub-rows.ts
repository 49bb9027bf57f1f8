import { SEGMENT_COLUMNS, SEGMENT_JOINS, type StoredSegment } from "../catalog.ts";
import type { Reader, Transaction } from "../database.ts";
import { SEGMENT_CLOSED } from "../schema.ts";

/** Where a closed segment stands among those of its root, by start. */
export interface Place {
  readonly startUtcMs: number;
  readonly id: number;
  readonly sequence: number;
}

export interface Found extends StoredSegment {
  readonly place: Place;
}

/** How far the scrub of a root has got. */
export interface ScrubCursor {
  /** When the round began; null before the first. */
  beganUtcMs: number | null;
  /** The newest segment that was read. */
  newest: Place | null;
  /** The oldest that the round has read; null when it is over. */
  at: Place | null;
  /** Whether what was read last was looked for among what is new. */
  fresh: boolean;
}

const KEY = "scrub";
const END: Place = { startUtcMs: Number.MAX_SAFE_INTEGER, id: 0, sequence: 0 };

/** ?1 root, ?2 ?3 ?4 where to go on. */
export const SCRUB_SQL = {
  older: statement("<", "DESC"),
  newer: statement(">", "ASC"),
} as const;

function statement(than: "<" | ">", order: "ASC" | "DESC"): string {
  return `SELECT ${SEGMENT_COLUMNS}, s.run_id AS id FROM segment AS s ${SEGMENT_JOINS}
    WHERE s.state = ${SEGMENT_CLOSED} AND s.root_id = ?1 AND (s.start_utc_ms, s.run_id, s.sequence) ${than} (?2, ?3, ?4)
    ORDER BY s.start_utc_ms ${order}, s.run_id ${order}, s.sequence ${order} LIMIT 1`;
}

/** The newest closed segment of a root before a place; of all if that is null. */
export function olderThan(reader: Reader, root: number, place: Place | null): Promise<Found | null> {
  return find(reader, SCRUB_SQL.older, root, place ?? END);
}

export function newerThan(reader: Reader, root: number, place: Place): Promise<Found | null> {
  return find(reader, SCRUB_SQL.newer, root, place);
}

async function find(reader: Reader, sql: string, root: number, { startUtcMs, id, sequence }: Place): Promise<Found | null> {
  const row = await reader.get<StoredSegment & { readonly id: number }>(sql, [root, startUtcMs, id, sequence]);
  return row === undefined ? null : { ...row, place: { startUtcMs: row.startUtcMs, id: row.id, sequence: row.sequence } };
}

/** By UUID of the root. */
export async function readCursors(reader: Reader): Promise<Map<string, ScrubCursor>> {
  const row = await reader.get<{ value: string }>("SELECT value FROM meta WHERE key = ?", [KEY]);
  return new Map(row === undefined ? [] : (JSON.parse(row.value) as [string, ScrubCursor][]));
}

export async function writeCursors(transaction: Transaction, cursors: ReadonlyMap<string, ScrubCursor>): Promise<void> {
  const value = JSON.stringify([...cursors]);
  await transaction.run("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", [KEY, value]);
}
