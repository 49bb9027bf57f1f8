import type { Terminal } from "./terminal.ts";

const BAR_WIDTH = 24;
const REDRAW_MS = 100;

/** A bar on standard error that redraws itself; silent where that is no terminal. */
export class ProgressBar {
  readonly #terminal: Terminal;
  readonly #monoMs: () => number;
  #drawnMonoMs = Number.NEGATIVE_INFINITY;
  #drawn = false;

  constructor(terminal: Terminal, monoMs: () => number = () => performance.now()) {
    this.#terminal = terminal;
    this.#monoMs = monoMs;
  }

  /** `fraction` from 0 to 1. Draws ten times a second at most, whatever it is called. */
  update(fraction: number, text: string): void {
    const now = this.#monoMs();
    if (!this.#terminal.interactive || now - this.#drawnMonoMs < REDRAW_MS) return;
    this.#drawnMonoMs = now;
    this.#drawn = true;
    const part = Math.min(1, Math.max(0, fraction));
    const filled = Math.round(part * BAR_WIDTH);
    const bar = "#".repeat(filled) + "-".repeat(BAR_WIDTH - filled);
    this.#terminal.err(`\r\x1b[K[${bar}] ${String(Math.floor(part * 100)).padStart(3)} %  ${text}`);
  }

  /** Wipes the bar, so that what follows starts on a clean line. */
  end(): void {
    if (this.#drawn) this.#terminal.err("\r\x1b[K");
    this.#drawn = false;
  }
}
