import type { Alarms } from "../base/alarms.ts";
import type { Clock } from "../base/clock.ts";

/** Drops this far apart are told of as one trouble. */
const CALM_MS = 60_000;

/** Says that a stream loses media, and how much it has lost since that began. */
export class DropAlarm {
  readonly #subject: string;
  readonly #alarms: Alarms;
  readonly #clock: Clock;
  #fragments = 0;
  #bytes = 0;
  #sinceUtcMs = 0;
  #lastMonoMs: number | null = null;

  constructor(subject: string, alarms: Alarms, clock: Clock) {
    this.#subject = subject;
    this.#alarms = alarms;
    this.#clock = clock;
  }

  /** `why`: what listings say of the stream. */
  dropped(
    { fragments, bytes, fromUtcMs }: { readonly fragments: number; readonly bytes: number; readonly fromUtcMs: number },
    why: string | null,
  ): void {
    if (this.#lastMonoMs === null) this.#sinceUtcMs = fromUtcMs;
    this.#lastMonoMs = this.#clock.monoMs();
    this.#fragments += fragments;
    this.#bytes += bytes;
    const since = new Date(this.#sinceUtcMs).toISOString();
    const what = `${this.#fragments} fragments of ${this.#bytes} bytes were dropped since ${since}`;
    this.#alarms.raise("media-dropped", this.#subject, why === null ? what : `${what}; ${why}`);
  }

  /** To be called every few seconds. */
  look(): void {
    if (this.#lastMonoMs !== null && this.#clock.monoMs() - this.#lastMonoMs >= CALM_MS) this.end();
  }

  end(): void {
    this.#alarms.clear("media-dropped", this.#subject);
    this.#fragments = 0;
    this.#bytes = 0;
    this.#lastMonoMs = null;
  }
}
