import type { Clock } from "../../src/base/clock.ts";
import type { HostReading, WallClock } from "../../src/base/clock-watch.ts";

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

/** A host whose clock is set, drifts and loses power, with the wall clock that a process makes of it. Time passes with `time`. */
export class SimulatedHost implements WallClock {
  synchronised = false;
  /** Steps of the wall clock, as the process asked for them. */
  steps = 0;
  readonly #time: SimulatedClock;
  #bootMonoMs: number;
  #hostOffsetMs: number;
  #offsetMs: number;

  constructor(time: SimulatedClock, hostUtcMs: number) {
    this.#time = time;
    this.#bootMonoMs = time.monoMs() - 30_000;
    this.#hostOffsetMs = hostUtcMs - this.#monoMs;
    this.#offsetMs = this.#hostOffsetMs;
  }

  /** What parts of the service take for their clock. */
  get clock(): Clock {
    return { utcMs: () => this.utcMs(), monoMs: () => this.#time.monoMs(), after: (delayMs, work) => this.#time.after(delayMs, work) };
  }

  host(): HostReading {
    return { monoMs: this.#monoMs, utcMs: this.#hostOffsetMs + this.#monoMs, synchronised: this.synchronised };
  }

  utcMs(): number {
    return Math.floor(this.#offsetMs + this.#monoMs);
  }

  set(offsetMs: number, step: boolean): void {
    this.#offsetMs = offsetMs;
    if (step) this.steps += 1;
  }

  /** As NTP or a person sets the host's clock. */
  setHost(utcMs: number): void {
    this.#hostOffsetMs = utcMs - this.#monoMs;
  }

  /** The machine starts again; its clock then shows this. */
  reboot(hostUtcMs: number): void {
    this.#bootMonoMs = this.#time.monoMs() - 10_000;
    this.synchronised = false;
    this.setHost(hostUtcMs);
    this.#offsetMs = this.#hostOffsetMs;
  }

  get #monoMs(): number {
    return this.#time.monoMs() - this.#bootMonoMs;
  }
}

/** Lets every promise that can settle without time passing do so. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
