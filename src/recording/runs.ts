import { randomUUID } from "node:crypto";
import type { GapCause } from "../media/types.ts";

/** The media of one session. */
export interface Run {
  readonly id: string;
  nextSequence: number;
  /** True from its first segment on; a run without one leaves no trace. */
  begun: boolean;
  /** Why its session is over; null while media may be added. */
  endCause: GapCause | null;
  /** End of its newest segment, its start while that grows; as its facts say. */
  lastUtcMs: number;
  /** What its files say of the clock. */
  clockTrusted: boolean;
  /** By how much later than its facts say its times are. */
  shiftMs: number;
  /** The store was told of its end. */
  ended: boolean;
}

/** Sessions whose media may still reach a slow disk. */
const MAX_PAST = 8;

/** The run of the session in progress, and those before it that the writer may still speak of: its facts come later than the session's end. */
export class Runs {
  #current: Run = newRun(randomUUID());
  #past: Run[] = [];

  get current(): Run {
    return this.#current;
  }

  all(): readonly Run[] {
    return [...this.#past, this.#current];
  }

  /** A new run becomes the current one. */
  begin(): void {
    this.#current.endCause ??= "unknown";
    this.#keep(this.#current);
    this.#current = newRun(randomUUID());
  }

  /** The run of a fact. One that is not known any more is over, for a reason nobody remembers. */
  of(id: string): Run {
    const known = this.all().find((run) => run.id === id);
    if (known !== undefined) return known;
    const forgotten: Run = { ...newRun(id), endCause: "unknown" };
    this.#keep(forgotten);
    return forgotten;
  }

  #keep(run: Run): void {
    this.#past = [...this.#past, run].slice(-MAX_PAST);
  }
}

function newRun(id: string): Run {
  return { id, nextSequence: 0, begun: false, endCause: null, lastUtcMs: 0, clockTrusted: false, shiftMs: 0, ended: false };
}
