import { parseArgs } from "node:util";

/** Numbers of a sample, for the JSON line of a proof. */
export interface Distribution {
  readonly count: number;
  readonly min: number;
  readonly median: number;
  readonly p95: number;
  readonly max: number;
}

export function distribution(samples: readonly number[]): Distribution {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
  return { count: sorted.length, min: at(0), median: at(0.5), p95: at(0.95), max: sorted.at(-1) ?? Number.NaN };
}

/** Progress for people; stdout is for the result alone. */
export function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Integer flags `--name N` of a proof or bench, with defaults. */
export function numberFlags<Name extends string>(defaults: Readonly<Record<Name, number>>): Record<Name, number> {
  const names = Object.keys(defaults) as Name[];
  const { values } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: "string" as const }])) });
  return Object.fromEntries(
    names.map((name) => {
      const text = values[name];
      const value = text === undefined ? defaults[name] : Number(text);
      if (!Number.isFinite(value)) throw new Error(`--${name} ${String(text)} is not a number`);
      return [name, value];
    }),
  ) as Record<Name, number>;
}

/** Prints the result as the last line and ends the process: 0 if the proof holds. */
export function conclude(result: { readonly holds: boolean } & Readonly<Record<string, unknown>>): never {
  process.stdout.write(`${JSON.stringify(result)}\n`);
  process.exit(result.holds ? 0 : 1);
}
