import type { TimeRange } from "../media/types.ts";

export interface CalendarDay extends TimeRange {
  /** `YYYY-MM-DD`. */
  readonly day: string;
}

/** The local days that a range touches, whole. A day has 23, 24 or 25 hours, in some zones 23.5 or 24.5; one that a zone skips is not there. */
export function* daysOf(range: TimeRange, zone: string): Generator<CalendarDay> {
  if (range.toUtcMs <= range.fromUtcMs) return;
  let date = Temporal.Instant.fromEpochMilliseconds(range.fromUtcMs).toZonedDateTimeISO(zone).toPlainDate();
  let fromUtcMs = startOf(date, zone);
  while (fromUtcMs < range.toUtcMs) {
    const next = date.add({ days: 1 });
    const toUtcMs = startOf(next, zone);
    if (toUtcMs > fromUtcMs) yield { fromUtcMs, toUtcMs, day: date.toString() };
    date = next;
    fromUtcMs = toUtcMs;
  }
}

/** First instant of a local day; where midnight is skipped, the first one after it. */
const startOf = (date: Temporal.PlainDate, zone: string): number => date.toZonedDateTime(zone).epochMilliseconds;

/** Start of the local day that is `back` days before the one of an instant. */
export function dayStart(utcMs: number, zone: string, back = 0): number {
  const date = Temporal.Instant.fromEpochMilliseconds(utcMs).toZonedDateTimeISO(zone).toPlainDate();
  return startOf(date.subtract({ days: back }), zone);
}

/** Parts of `stepMs` counted from the start of a day, those that a range touches, cut off where it is. The last one of a day may be shorter. */
export function* partsOf(day: TimeRange, range: TimeRange, stepMs: number): Generator<TimeRange> {
  const skipped = Math.max(0, Math.floor((range.fromUtcMs - day.fromUtcMs) / stepMs));
  const endUtcMs = Math.min(day.toUtcMs, range.toUtcMs);
  for (let fromUtcMs = day.fromUtcMs + skipped * stepMs; fromUtcMs < endUtcMs; fromUtcMs += stepMs) {
    yield { fromUtcMs: Math.max(fromUtcMs, range.fromUtcMs), toUtcMs: Math.min(fromUtcMs + stepMs, endUtcMs) };
  }
}
