import { toRecorderError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";

/** Runs bookkeeping steps of one stream one after the other; a step that fails is logged and does not stop those behind it. */
export class SerialWork {
  readonly #log: Logger;
  #tail: Promise<void> = Promise.resolve();

  constructor(log: Logger) {
    this.#log = log;
  }

  add(name: string, step: () => Promise<void>): void {
    this.#tail = this.#tail.then(async () => {
      try {
        await step();
      } catch (error) {
        this.#log.error("bookkeeping.failed", { step: name, error: toRecorderError(error) });
      }
    });
  }

  /** Resolves when everything added so far is done. */
  drained(): Promise<void> {
    return this.#tail;
  }
}
