import type { Clock } from "../../src/base/clock.ts";

interface Timer {
  readonly dueMonoMs: number;
  readonly order: number;
  readonly work: () => void;
}

/**
 * A clock that stands still until it is moved. Monotonic time starts at `monoMs` (not 0: that would hide confusion with "never"),
 * wall time at `utcMs`; both move together in `advance`, and `stepUtc` moves wall time alone.
 */
export class SimulatedClock implements Clock {
  #utcMs: number;
  #monoMs: number;
  #order = 0;
  #timers = new Set<Timer>();

  constructor(utcMs = Date.UTC(2026, 5, 1, 8, 0, 0), monoMs = 1_000_000) {
    this.#utcMs = utcMs;
    this.#monoMs = monoMs;
  }

  utcMs(): number {
    return this.#utcMs;
  }

  monoMs(): number {
    return this.#monoMs;
  }

  after(delayMs: number, work: () => void): () => void {
    const timer: Timer = { dueMonoMs: this.#monoMs + Math.max(0, delayMs), order: this.#order++, work };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Timers that have not run: tests assert 0 to prove that nothing was left behind. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  /** Delay until the next timer is due, or null. */
  get nextTimerMs(): number | null {
    const next = this.#next();
    return next === null ? null : next.dueMonoMs - this.#monoMs;
  }

  /** Moves time, running each due timer at its own instant and letting promises settle in between. */
  async advance(durationMs: number): Promise<void> {
    const endMonoMs = this.#monoMs + durationMs;
    await settle();
    for (let next = this.#next(); next !== null && next.dueMonoMs <= endMonoMs; next = this.#next()) {
      this.#moveTo(next.dueMonoMs);
      this.#timers.delete(next);
      next.work();
      await settle();
    }
    this.#moveTo(endMonoMs);
    await settle();
  }

  /** A step of wall time, as NTP or a person makes it; timers do not notice. */
  stepUtc(byMs: number): void {
    this.#utcMs += byMs;
  }

  #moveTo(monoMs: number): void {
    this.#utcMs += monoMs - this.#monoMs;
    this.#monoMs = monoMs;
  }

  #next(): Timer | null {
    let first: Timer | null = null;
    for (const timer of this.#timers) {
      if (first === null || timer.dueMonoMs < first.dueMonoMs || (timer.dueMonoMs === first.dueMonoMs && timer.order < first.order)) {
        first = timer;
      }
    }
    return first;
  }
}

/** Lets every promise that can settle without time passing do so. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
