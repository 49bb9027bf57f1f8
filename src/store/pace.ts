import type { Clock } from "../base/clock.ts";

/** Keeps background work to a share of time: after each piece it rests as long as the share asks for. */
export class Pace {
  readonly #clock: Clock;
  readonly #share: number;
  readonly #madeMonoMs: number;
  #beganMonoMs: number;
  #workedMs = 0;

  /** `share` of time that may be worked, above 0 to 1; 1 never rests. */
  constructor(clock: Clock, share: number) {
    this.#clock = clock;
    this.#share = share;
    this.#madeMonoMs = clock.monoMs();
    this.#beganMonoMs = this.#madeMonoMs;
  }

  /** Time worked up to the last rest. */
  get workedMs(): number {
    return this.#workedMs;
  }

  /** Time since this was made. */
  get elapsedMs(): number {
    return this.#clock.monoMs() - this.#madeMonoMs;
  }

  /** Ends a piece of work that began with the last rest. Rejects with the signal's reason once it is aborted. */
  async rest(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const workedMs = this.#clock.monoMs() - this.#beganMonoMs;
    this.#workedMs += workedMs;
    const restMs = workedMs / this.#share - workedMs;
    if (restMs > 0) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const cancel = this.#clock.after(restMs, resolve);
      const abort = () => reject(signal.reason);
      signal.addEventListener("abort", abort, { once: true });
      try {
        await promise;
      } finally {
        cancel();
        signal.removeEventListener("abort", abort);
      }
    }
    this.#beganMonoMs = this.#clock.monoMs();
  }

  /** Waits for something that is no work. */
  async idle(waiting: Promise<void>): Promise<void> {
    try {
      await waiting;
    } finally {
      this.#beganMonoMs = this.#clock.monoMs();
    }
  }
}
