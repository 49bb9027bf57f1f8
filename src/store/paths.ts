import type { StreamKind } from "../media/types.ts";

/**
 * Names of files and folders, and nothing else: `<Serial>_<Channel>[_sub]/<YYYYMMDD>/<YYYYMMDDHHmmss>-<durationMs>.mp4`.
 * Stamps are wall time of the site's zone. A "file" in this folder's code is a path below `<root>/<name>/`, as the catalog keeps it.
 */
export const SEGMENT_SUFFIX = ".mp4";
export const OPEN_SUFFIX = ".mp4.open";
export const JOURNAL_FILE = "journal.ndjson";
export const LOCK_FILE = ".easyrms-lock";
export const MARKER_FILE = ".easyrms-root";

const NAME = /^([A-Za-z0-9][A-Za-z0-9.-]{0,63})_([1-9]\d{0,3})(_sub)?$/;
const DAY = /^\d{8}$/;
const SEGMENT = /^(\d{8})\/((\d{8})\d{6})-(\d{1,10})\.mp4$/;
const OPEN = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-(\d{1,10})\.mp4\.open$/;

/** Name of a stream's folder. */
export function streamName(serial: string, channel: number, stream: StreamKind): string {
  return `${serial}_${channel}${stream === "sub" ? "_sub" : ""}`;
}

/** The parts of a stream's folder name; null for a folder that is not ours. */
export function parseStreamName(name: string): { readonly serial: string; readonly channel: number; readonly stream: StreamKind } | null {
  const match = NAME.exec(name);
  if (match === null) return null;
  const [, serial = "", channel = "", sub] = match;
  return { serial, channel: Number(channel), stream: sub === undefined ? "main" : "sub" };
}

export const isDay = (name: string): boolean => DAY.test(name);

/** File of a closed segment. `stamp` is `YYYYMMDDHHmmss`; its first eight digits are the folder. */
export function segmentFile(stamp: string, durationMs: number): string {
  return `${stamp.slice(0, 8)}/${stamp}-${Math.round(durationMs)}${SEGMENT_SUFFIX}`;
}

/** File of a segment while it grows. */
export function openFile(day: string, run: string, sequence: number): string {
  return `${day}/${run}-${sequence}${OPEN_SUFFIX}`;
}

export interface SegmentFileName {
  readonly day: string;
  readonly stamp: string;
  readonly durationMs: number;
}

/** The parts of a closed segment's file, null if it does not have that form. The folder may be the wrong one: compare `day` with `stamp`. */
export function parseSegmentFile(file: string): SegmentFileName | null {
  const match = SEGMENT.exec(file);
  if (match === null) return null;
  const [, day = "", stamp = "", , duration = ""] = match;
  return { day, stamp, durationMs: Number(duration) };
}

/** Run and sequence of a growing segment's file name (without folder), null if it does not have that form. */
export function parseOpenName(name: string): { readonly run: string; readonly sequence: number } | null {
  const match = OPEN.exec(name);
  if (match === null) return null;
  const [, run = "", sequence = ""] = match;
  return { run, sequence: Number(sequence) };
}

/** The stamp `seconds` later by calendar arithmetic: where the next free second is looked for. */
export function laterStamp(stamp: string, seconds: number): string {
  const later = new Date(stampAsUtcMs(stamp) + seconds * 1000).toISOString();
  return later.slice(0, 19).replaceAll(/[-T:]/g, "");
}

/** The stamp read as if its zone were UTC: for differences between stamps, and within 14 h of the truth in any zone. */
export function stampAsUtcMs(stamp: string): number {
  const part = (from: number, to: number) => Number(stamp.slice(from, to) || "0");
  return Date.UTC(part(0, 4), part(4, 6) - 1, part(6, 8), part(8, 10), part(10, 12), part(12, 14));
}

/** Wall time of one IANA zone. Daylight saving comes from Intl's rules; nothing here adds 24 hours and hopes. */
export class SiteZone {
  readonly zone: string;
  readonly #format: Intl.DateTimeFormat;
  #midnights: readonly number[] = [];
  #midnightsFromMs = Number.POSITIVE_INFINITY;

  /** Throws a RangeError for an unknown zone. */
  constructor(zone: string) {
    this.zone = zone;
    this.#format = new Intl.DateTimeFormat("en-US-u-ca-gregory-nu-latn", {
      timeZone: zone,
      hourCycle: "h23",
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
    });
  }

  /** `YYYYMMDDHHmmss` of an instant. In the hour that daylight saving repeats two instants share a stamp. */
  stamp(utcMs: number): string {
    const digits: Record<string, string> = {};
    for (const part of this.#format.formatToParts(utcMs)) digits[part.type] = part.value;
    const { year = "", month = "", day = "", hour = "", minute = "", second = "" } = digits;
    return `${year.padStart(4, "0")}${month}${day}${hour}${minute}${second}`;
  }

  /** `YYYYMMDD` of an instant. */
  day(utcMs: number): string {
    return this.stamp(utcMs).slice(0, 8);
  }

  /** The next two instants, UTC milliseconds, at which a local day begins; where midnight is skipped, the first instant after it. */
  midnightsAfter(utcMs: number): readonly number[] {
    const first = this.#midnights[0];
    if (first === undefined || utcMs < this.#midnightsFromMs || utcMs >= first) {
      const next = this.#dayEnd(utcMs);
      this.#midnights = [next, this.#dayEnd(next)];
      this.#midnightsFromMs = utcMs;
    }
    return this.#midnights;
  }

  /** First whole second of a later local day. A day has at most 26 hours, so the search is over [now, now + 26 h]. */
  #dayEnd(utcMs: number): number {
    const today = this.day(utcMs);
    let before = Math.floor(utcMs / 1000);
    let after = before + 26 * 3600;
    while (after - before > 1) {
      const middle = Math.floor((before + after) / 2);
      if (this.day(middle * 1000) > today) after = middle;
      else before = middle;
    }
    return after * 1000;
  }
}
