import { type ClockMove, isBefore } from "../../base/clock-watch.ts";
import type { RunStart } from "../types.ts";

/** A time that was taken by the clock of its moment, as it is by the clock of now. */
export interface Stamp {
  /** As it is told: in journals and to readers. */
  told(): number;
  /** As rows have it: inside a transaction, since rows are moved by one. */
  row(): number;
}

/** Two stamps of one moment by one clock are this close. */
const SAME_CLOCK_MS = 1000;

/**
 * By how much what was recorded in this boot by a clock that was not trusted is moved. It is told from the moment that the clock is moved; the
 * rows follow in one transaction, in the order in which it was asked for among all others.
 */
export class BootShift {
  readonly #boot: string;
  #toldMs: number;
  #rowsMs: number;
  #move: ClockMove | null = null;

  /** `byMs`: what processes before in this boot have moved already. */
  constructor(boot: string, byMs: number) {
    this.#boot = boot;
    this.#toldMs = byMs;
    this.#rowsMs = byMs;
  }

  /** By how much times of this boot that are told now were moved. */
  get toldMs(): number {
    return this.#toldMs;
  }

  /** The clock is moved: the transaction that moves the rows is asked for in this turn. */
  tell(move: ClockMove): void {
    this.#move = move;
    this.#toldMs += move.recorded?.byMs ?? 0;
  }

  /** In that transaction. */
  enter(byMs: number): void {
    this.#rowsMs += byMs;
  }

  /** It was not committed. */
  leave(byMs: number): void {
    this.#rowsMs -= byMs;
  }

  stamp(utcMs: number): Stamp {
    const asOf = this.#toldMs;
    return { told: () => utcMs + this.#toldMs - asOf, row: () => utcMs + this.#rowsMs - asOf };
  }

  /** By how much later than its files say the times of a run are told. */
  ofRun(run: Pick<RunStart, "boot" | "startUtcMs" | "startMonoMs" | "clockTrusted">): number {
    const move = this.#move;
    if (move === null || run.clockTrusted) return 0;
    const mine =
      run.boot === this.#boot
        ? isBefore(move, run.startUtcMs, run.startMonoMs)
        : run.boot === null && Math.abs(run.startUtcMs - run.startMonoMs - move.fromOffsetMs) < SAME_CLOCK_MS;
    return mine ? (move.recorded?.byMs ?? 0) : 0;
  }

  /** The same for a row that is about to be added: 0 before the transaction that moves the rows, which moves it too. */
  ofNewRow(run: Pick<RunStart, "boot" | "startUtcMs" | "startMonoMs" | "clockTrusted">): number {
    return this.#rowsMs === this.#toldMs ? this.ofRun(run) : 0;
  }
}
