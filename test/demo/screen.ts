import { liveText, periodicText, type Snapshot } from "./view.ts";

const PERIODIC_MS = 5000;

/** Draws over what it drew before on a terminal; appends a line now and then elsewhere. */
export class Screen {
  readonly #live = process.stdout.isTTY === true;
  readonly #colour = process.stdout.isTTY === true && (process.env["NO_COLOR"] ?? "") === "";
  #drawnLines = 0;
  #periodicAtMs = 0;

  get colour(): boolean {
    return this.#colour;
  }

  show(snapshot: Snapshot): void {
    if (this.#live) {
      // ECMA-48: up to the first line of the last picture, erase to the end of the screen; lines are cut, never wrapped.
      const text = liveText(snapshot, this.#colour);
      process.stdout.write(`${this.#drawnLines > 0 ? `\x1b[${this.#drawnLines}A` : "\x1b[?25l"}\x1b[?7l\x1b[J${text}\x1b[?7h`);
      this.#drawnLines = text.split("\n").length - 1;
    } else if (snapshot.elapsedMs >= this.#periodicAtMs) {
      process.stdout.write(periodicText(snapshot));
      this.#periodicAtMs = snapshot.elapsedMs + PERIODIC_MS;
    }
  }

  end(): void {
    if (this.#drawnLines > 0) process.stdout.write("\x1b[?25h\n");
    this.#drawnLines = 0;
  }
}
