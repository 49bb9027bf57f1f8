/** Numbers with their units, as people read them. */

/** Shown for a value that is not known. */
export const UNKNOWN = "-";

/** Decimal units, as disks are sold: `12.3 MB`. */
export function bytesText(bytes: number): string {
  return scaled(bytes, ["B", "kB", "MB", "GB", "TB", "PB"]);
}

export function bitRateText(bitsPerSecond: number): string {
  return scaled(bitsPerSecond, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"]);
}

function scaled(value: number, units: readonly string[]): string {
  let rest = value;
  let at = 0;
  // 999.95 and more would round to 1000.0.
  while (rest >= 999.95 && at < units.length - 1) {
    rest /= 1000;
    at++;
  }
  return `${at === 0 ? Math.round(rest) : rest.toFixed(1)} ${units[at] ?? ""}`;
}

/** `850 ms`, `12.3 s`, `2 min 05 s`, `3 h 05 min`, `5 d 03 h`. */
export function durationText(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return pair(seconds, 60, "min", 1, "s");
  if (seconds < 172_800) return pair(seconds, 3600, "h", 60, "min");
  return pair(seconds, 86_400, "d", 3600, "h");
}

function pair(seconds: number, large: number, largeUnit: string, small: number, smallUnit: string): string {
  const rest = Math.floor((seconds % large) / small);
  return `${Math.floor(seconds / large)} ${largeUnit} ${String(rest).padStart(2, "0")} ${smallUnit}`;
}

/** Local date and time in `zone`: `2026-08-01 14:03:00`. */
export function momentText(utcMs: number, zone: string): string {
  const local = Temporal.Instant.fromEpochMilliseconds(Math.floor(utcMs)).toZonedDateTimeISO(zone).toPlainDateTime();
  return local.round({ smallestUnit: "second", roundingMode: "floor" }).toString({ smallestUnit: "second" }).replace("T", " ");
}

/** Whole numbers with spaces between thousands (ISO 80000-1). */
export function countText(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, " ");
}

/** `99.98 %`; rounded down, so that 100 means everything. */
export function percentText(share: number): string {
  return `${(Math.floor(Math.round(share * 1e6) / 100) / 100).toFixed(2)} %`;
}

/** `1 gap`, `2 gaps`. */
export function pluralText(count: number, noun: string): string {
  return `${countText(count)} ${noun}${count === 1 ? "" : "s"}`;
}
