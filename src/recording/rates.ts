import type { Clock } from "../base/clock.ts";

/** Rates between the last two samples of a stream's counters. */
export interface Rates {
  readonly bitsPerSecond: number;
  readonly framesPerSecond: number;
}

interface CounterSample {
  readonly monoMs: number;
  readonly bytes: number;
  readonly units: number;
}

/** Derives rates from counters that are sampled now and then. */
export class RateMeter {
  readonly #clock: Clock;
  #last: CounterSample | null = null;
  #rates: Rates = { bitsPerSecond: 0, framesPerSecond: 0 };

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get rates(): Rates {
    return this.#rates;
  }

  sample(numbers: Readonly<Record<string, number>>): void {
    const now: CounterSample = {
      monoMs: this.#clock.monoMs(),
      bytes: (numbers["video_bytes"] ?? 0) + (numbers["audio_bytes"] ?? 0),
      units: numbers["video_units"] ?? 0,
    };
    const last = this.#last;
    this.#last = now;
    if (last === null || now.monoMs <= last.monoMs) return;
    const seconds = (now.monoMs - last.monoMs) / 1000;
    this.#rates = {
      bitsPerSecond: Math.max(0, Math.round(((now.bytes - last.bytes) * 8) / seconds)),
      framesPerSecond: Math.max(0, Math.round(((now.units - last.units) * 10) / seconds) / 10),
    };
  }
}
