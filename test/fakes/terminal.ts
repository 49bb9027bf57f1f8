import type { Terminal } from "../../src/cli/terminal.ts";

/** A terminal that remembers what it was told. */
export class FakeTerminal implements Terminal {
  readonly colour: boolean;
  readonly interactive: boolean;
  /** What standard input will say. */
  input = "";
  stdout = "";
  stderr = "";

  constructor(options: { readonly colour?: boolean; readonly interactive?: boolean } = {}) {
    this.colour = options.colour ?? false;
    this.interactive = options.interactive ?? false;
  }

  async out(text: string): Promise<void> {
    this.stdout += text;
  }

  err(text: string): void {
    this.stderr += text;
  }

  async read(maxBytes: number): Promise<string> {
    if (Buffer.byteLength(this.input) > maxBytes) throw new RangeError("too long");
    return this.input;
  }
}
