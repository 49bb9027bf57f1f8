import { JOIN_MS } from "../media/types.ts";
import type { Transaction } from "./database.ts";
import { SEGMENT_CLOSED } from "./schema.ts";

export const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
/** A segment is cut at midnight, so one that spans more is a clock fault; its first days are counted. */
const MAX_HOURS = 48;

interface Span {
  readonly start_utc_ms: number;
  readonly end_utc_ms: number;
  readonly bytes: number;
}

/** Which minutes of an hour the spans (in order of start) touch, how much of it they cover (holes of rounding included), and their bytes shared out by time. */
export function coverHour(
  hour: number,
  spans: readonly Span[],
): { readonly minutes: Uint8Array; readonly recordedMs: number; readonly bytes: number } {
  const minutes = new Uint8Array(8);
  const begin = hour * HOUR_MS;
  const end = begin + HOUR_MS;
  let [bytes, recordedMs, coveredUtcMs] = [0, 0, Number.NEGATIVE_INFINITY];
  for (const span of spans) {
    if (span.end_utc_ms <= span.start_utc_ms) continue;
    const held = span.start_utc_ms - coveredUtcMs <= JOIN_MS ? coveredUtcMs : span.start_utc_ms;
    coveredUtcMs = Math.max(coveredUtcMs, span.end_utc_ms);
    recordedMs += Math.max(0, Math.min(coveredUtcMs, end) - Math.max(held, begin));
    const from = Math.max(span.start_utc_ms, begin);
    const to = Math.min(span.end_utc_ms, end);
    if (to <= from) continue;
    bytes += (span.bytes * (to - from)) / (span.end_utc_ms - span.start_utc_ms);
    const last = Math.floor((to - 1 - begin) / MINUTE_MS);
    for (let minute = Math.floor((from - begin) / MINUTE_MS); minute <= last; minute += 1) {
      minutes[minute >> 3] = (minutes[minute >> 3] ?? 0) | (1 << (minute & 7));
    }
  }
  return { minutes, recordedMs, bytes: Math.round(bytes) };
}

/**
 * Brings `coverage_hour` up to date for the hours of one segment, from the closed segments there are: after a close, and after a mark for
 * deletion. Computed afresh each time, so that doing it twice changes nothing.
 */
export async function updateCoverage(transaction: Transaction, stream: number, fromUtcMs: number, toUtcMs: number): Promise<void> {
  for (const hour of hoursOf(fromUtcMs, toUtcMs)) await updateHour(transaction, stream, hour);
}

/** Whole UTC hours since 1970 that a segment has a part in. */
export function hoursOf(fromUtcMs: number, toUtcMs: number): readonly number[] {
  const first = Math.floor((fromUtcMs - JOIN_MS) / HOUR_MS);
  const last = Math.min(Math.floor((Math.max(fromUtcMs, toUtcMs - 1) + JOIN_MS) / HOUR_MS), first + MAX_HOURS);
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

export async function updateHour(transaction: Transaction, stream: number, hour: number): Promise<void> {
  const spans = await transaction.all<Span>(
    `SELECT start_utc_ms, end_utc_ms, bytes FROM segment WHERE stream_id = ?1 AND state = ${SEGMENT_CLOSED} AND start_utc_ms < ?3 AND end_utc_ms > ?2
     AND start_utc_ms >= ?2 - (SELECT longest_segment_ms FROM stream WHERE stream_id = ?1) ORDER BY start_utc_ms`,
    [stream, hour * HOUR_MS - JOIN_MS, (hour + 1) * HOUR_MS + JOIN_MS],
  );
  const { minutes, recordedMs, bytes } = coverHour(hour, spans);
  if (recordedMs === 0) {
    await transaction.run("DELETE FROM coverage_hour WHERE stream_id = ? AND hour = ?", [stream, hour]);
    return;
  }
  await transaction.run(
    `INSERT INTO coverage_hour (stream_id, hour, minutes, recorded_ms, bytes) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET minutes = excluded.minutes, recorded_ms = excluded.recorded_ms, bytes = excluded.bytes
       WHERE (minutes, recorded_ms, bytes) IS NOT (excluded.minutes, excluded.recorded_ms, excluded.bytes)`,
    [stream, hour, Buffer.from(minutes), recordedMs, bytes],
  );
}
