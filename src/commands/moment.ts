/** A point in time as people type it. */

const UNITS_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 };

/** What `parseMoment` takes, for messages and help. */
export const MOMENT_FORMS = 'ISO 8601, YYYYMMDDHHmmss, "2026-08-01 14:03", "14:03", "yesterday 14:03", "today", "now", "-10m"';

/**
 * UTC milliseconds of `text`, or null if it is none of `MOMENT_FORMS`. Times without an offset are local to `zone`; a time alone is
 * one of today. A local time that exists twice (the clock is set back) means the first, one that does not exist means as much later.
 */
export function parseMoment(text: string, zone: string, nowUtcMs: number): number | null {
  const trimmed = text.trim();
  try {
    return ago(trimmed, nowUtcMs) ?? instant(trimmed) ?? local(trimmed, zone, nowUtcMs);
  } catch (error) {
    // Temporal says so of the 31st of February and the like.
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function ago(text: string, nowUtcMs: number): number | null {
  if (text === "now") return nowUtcMs;
  const match = /^-(\d{1,9}) ?(s|m|min|h|d)$/.exec(text);
  return match === null ? null : nowUtcMs - Number(match[1]) * (UNITS_MS[match[2] ?? ""] ?? Number.NaN);
}

/** ISO 8601 with an offset. */
function instant(text: string): number | null {
  return /^\d{4}-?\d\d-?\d\d[T ].*(?:Z|[+-]\d\d(?::?\d\d)?)$/i.test(text) ? Temporal.Instant.from(text).epochMilliseconds : null;
}

function local(text: string, zone: string, nowUtcMs: number): number | null {
  const stamp = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(text);
  if (stamp !== null) {
    const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = stamp.slice(1).map(Number);
    return inZone(Temporal.PlainDateTime.from({ year, month, day, hour, minute, second }, { overflow: "reject" }), zone);
  }
  const match = /^(?:(today|yesterday|\d{4}-\d\d-\d\d|\d{8}))?(?:(?:^|[ T])(\d{1,2}:\d\d(?::\d\d(?:\.\d{1,3})?)?))?$/.exec(text);
  if (match === null || text === "") return null;
  const today = Temporal.Instant.fromEpochMilliseconds(nowUtcMs).toZonedDateTimeISO(zone).toPlainDate();
  const [, day = "today", time = "00:00"] = match;
  const date = day === "today" ? today : day === "yesterday" ? today.subtract({ days: 1 }) : Temporal.PlainDate.from(day);
  return inZone(date.toPlainDateTime(Temporal.PlainTime.from(time.padStart(time.indexOf(":") === 1 ? time.length + 1 : 0, "0"))), zone);
}

function inZone(dateTime: Temporal.PlainDateTime, zone: string): number {
  return dateTime.toZonedDateTime(zone, { disambiguation: "compatible" }).epochMilliseconds;
}
