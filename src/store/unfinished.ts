import type { Clock } from "../base/clock.ts";
import { toRecorderError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Root } from "./context.ts";
import type { Roots } from "./roots/roots.ts";

const FIRST_MS = 5000;
const LONGEST_MS = 600_000;

export interface UnfinishedOptions {
  readonly roots: Roots;
  /** Finishes what can be finished on a root; true if something is left. */
  readonly finish: (root: Root) => Promise<boolean>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Files that a present disk would not let us finish (it was full, it failed once): they are tried again, ever more seldom, until they are done. */
export class Unfinished {
  readonly #options: UnfinishedOptions;
  /** Roots that are tried again, by the catalog's key. */
  readonly #waiting = new Map<number, () => void>();
  #trying: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: UnfinishedOptions) {
    this.#options = options;
  }

  /** A root that is gone by then is left to its return. */
  later(root: Root, delayMs = FIRST_MS): void {
    if (this.#stopped || this.#waiting.has(root.id)) return;
    const cancel = this.#options.clock.after(delayMs, () => {
      this.#waiting.delete(root.id);
      const present = this.#options.roots.again(root);
      if (present !== null) this.#trying = this.#trying.then(() => this.#try(present, delayMs));
    });
    this.#waiting.set(root.id, cancel);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const cancel of this.#waiting.values()) cancel();
    this.#waiting.clear();
    await this.#trying;
  }

  async #try(root: Root, delayMs: number): Promise<void> {
    if (this.#stopped) return;
    let left = true;
    try {
      left = await this.#options.finish(root);
    } catch (error) {
      if (!this.#stopped) this.#options.log.error("root.not-finished", { root: root.path, error: toRecorderError(error) });
    }
    if (left) this.later(root, Math.min(2 * delayMs, LONGEST_MS));
  }
}
