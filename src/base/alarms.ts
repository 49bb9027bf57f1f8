import type { Clock } from "./clock.ts";
import type { Logger } from "./log.ts";

/** What can be wrong with the box itself; stable words, for programs. */
export const ALARM_CODES = [
  /** Writes to a root fail. */
  "disk-fault",
  /** A root has no room although everything that may be deleted was. */
  "disk-full",
  /** Syncs take so long that a power cut would cost more than promised. */
  "disk-slow",
  /** A root's disk is not there, or another one is in its place. */
  "root-missing",
  /** Media is discarded because it cannot be written fast enough. */
  "media-dropped",
  /** The catalog could not be read and is being rebuilt. */
  "catalog-damaged",
  /** Recorded files whose bytes are not those that were written. */
  "segment-damaged",
  /** The box does not know what time it is. */
  "clock-untrusted",
] as const;
export type AlarmCode = (typeof ALARM_CODES)[number];

export interface Alarm {
  readonly code: AlarmCode;
  /** What it is about: a root's path, a stream; "" for the box. */
  readonly subject: string;
  /** One sentence for people. */
  readonly detail: string;
  readonly sinceUtcMs: number;
}

/** Most subjects at a time; what would be the same sentence a thousand times is one alarm too many to read. */
const MAX_ALARMS = 256;

/** States that somebody should do something about, from the moment they begin until they end. Raising what is raised changes its detail only. */
export class Alarms {
  readonly #clock: Clock;
  readonly #log: Logger;
  /** Since when by the monotonic clock: the wall clock may be moved meanwhile. */
  readonly #raised = new Map<string, Omit<Alarm, "sinceUtcMs"> & { readonly sinceMonoMs: number }>();

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
  }

  raise(code: AlarmCode, subject: string, detail: string): void {
    const key = keyOf(code, subject);
    const before = this.#raised.get(key);
    if (before === undefined && this.#raised.size >= MAX_ALARMS) return;
    this.#raised.set(key, { code, subject, detail, sinceMonoMs: before?.sinceMonoMs ?? this.#clock.monoMs() });
    if (before === undefined) this.#log.error("alarm.raised", { code, subject, detail });
  }

  clear(code: AlarmCode, subject: string): void {
    if (this.#raised.delete(keyOf(code, subject))) this.#log.info("alarm.cleared", { code, subject });
  }

  /** Longest standing first. */
  list(): readonly Alarm[] {
    const bootUtcMs = this.#clock.utcMs() - this.#clock.monoMs();
    const standing = [...this.#raised.values()].sort((a, b) => a.sinceMonoMs - b.sinceMonoMs);
    return standing.map(({ code, subject, detail, sinceMonoMs }) => ({ code, subject, detail, sinceUtcMs: bootUtcMs + sinceMonoMs }));
  }
}

const keyOf = (code: AlarmCode, subject: string): string => `${code} ${subject}`;
