/** Where a command talks to people and programs; the process's own streams, or a test's. */
export interface Terminal {
  /** Whether standard output shows colours: a terminal, and NO_COLOR (no-color.org) unset. */
  readonly colour: boolean;
  /** Whether standard error is a terminal, so that a progress bar can redraw itself. */
  readonly interactive: boolean;
  /** Resolves once the text is taken: waits for a slow reader. */
  out(text: string): Promise<void>;
  err(text: string): void;
  /** Standard input up to `maxBytes`; rejects beyond. */
  read(maxBytes: number): Promise<string>;
}

export type Tone = "plain" | "good" | "warn" | "bad" | "dim" | "strong";

const SGR: Readonly<Record<Exclude<Tone, "plain">, string>> = { good: "32", warn: "33", bad: "31", dim: "2", strong: "1" };

/** `text` in a tone (ECMA-48 SGR), if the terminal shows colours. */
export function toned(text: string, tone: Tone, colour: boolean): string {
  return tone === "plain" || !colour ? text : `\x1b[${SGR[tone]}m${text}\x1b[0m`;
}

/** Text from outside (a camera's server name, an error of its) without the control characters that could drive the terminal. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}+/gu, " ");
}

/** The terminal of this process. */
export function processTerminal(): Terminal {
  const { stdout, stderr, stdin, env } = process;
  // A closed pipe is reported by the write that finds it; without a listener it would also be thrown.
  stdout.on("error", () => {});
  return {
    colour: stdout.isTTY === true && (env["NO_COLOR"] ?? "") === "",
    interactive: stderr.isTTY === true,
    out: (text) =>
      new Promise((resolve, reject) => {
        stdout.write(text, (error) => (error ? reject(error) : resolve()));
      }),
    err: (text) => void stderr.write(text),
    async read(maxBytes) {
      const chunks: Buffer[] = [];
      let length = 0;
      for await (const chunk of stdin) {
        const bytes = Buffer.from(chunk);
        length += bytes.length;
        if (length > maxBytes) throw new RangeError(`standard input is longer than ${maxBytes} bytes`);
        chunks.push(bytes);
      }
      return Buffer.concat(chunks).toString();
    },
  };
}
