import { parseArgs } from "node:util";
import { DEFAULT_CONFIG_PATH } from "../config/box.ts";
import { type CliCommand, type OptionSpec, UsageError } from "./command.ts";

export const COMMON_OPTIONS: readonly OptionSpec[] = [
  { name: "config", value: "FILE", text: `configuration of the box (default ${DEFAULT_CONFIG_PATH})` },
  { name: "json", value: null, text: "write JSON for programs; errors are one JSON object on standard error" },
  { name: "help", value: null, text: "show this help" },
];

export interface ParsedArguments {
  readonly operands: readonly string[];
  readonly options: ReadonlyMap<string, string>;
  readonly switches: ReadonlySet<string>;
}

/**
 * The arguments behind a command's words. Strict, but unlike the strict mode of parseArgs it takes `--from -10m`,
 * and its messages repeat no values, which may be secret.
 */
export function parseArguments(command: CliCommand, args: readonly string[]): ParsedArguments {
  const specs = new Map([...command.options, ...COMMON_OPTIONS].map((spec) => [spec.name, spec]));
  const options = new Map<string, string>();
  const switches = new Set<string>();
  const operands: string[] = [];
  const types = Object.fromEntries(
    [...specs.values()].map(({ name, value }) => [name, { type: value === null ? "boolean" : "string" } as const]),
  );
  const { tokens } = parseArgs({ args: [...args], options: types, strict: false, allowPositionals: true, tokens: true });
  for (const token of tokens) {
    if (token.kind === "positional") operands.push(token.value);
    if (token.kind !== "option") continue;
    const spec = specs.get(token.name);
    if (spec === undefined) {
      const allowed = [...specs.keys()].map((name) => `--${name}`).join(", ");
      throw new UsageError(`unknown option ${token.rawName}; allowed: ${allowed}`);
    }
    if (spec.value === null) {
      if (token.value !== undefined) throw new UsageError(`${token.rawName} takes no value`);
      switches.add(spec.name);
    } else {
      options.set(spec.name, requireValue(token.rawName, spec.value, token.value, token.inlineValue === true));
    }
  }
  if (!switches.has("help")) checkOperands(command, operands.length);
  return { operands, options, switches };
}

function requireValue(rawName: string, placeholder: string, value: string | undefined, inline: boolean): string {
  // "-" is standard input and "-10m" a time; anything else with a dash is the next option.
  if (value === undefined || (!inline && /^-[^\d]/.test(value)))
    throw new UsageError(`${rawName} needs a value: ${rawName} ${placeholder}`);
  return value;
}

function checkOperands(command: CliCommand, count: number): void {
  const needed = command.operands.filter(({ required }) => required);
  const missing = needed[count];
  if (missing !== undefined) throw new UsageError(`${missing.name} is missing`);
  if (count > command.operands.length)
    throw new UsageError(`too many arguments: ${count} given, at most ${command.operands.length} allowed`);
}

/** A whole number from an option's text. */
export function integerOption(options: ReadonlyMap<string, string>, name: string): number | null {
  const text = options.get(name);
  if (text === undefined) return null;
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`--${name} must be a whole number; got ${JSON.stringify(text)}`);
  return Number(text);
}

/** One of the allowed words from an option's text. */
export function wordOption<Word extends string>(options: ReadonlyMap<string, string>, name: string, allowed: readonly Word[]): Word | null {
  const text = options.get(name);
  if (text === undefined) return null;
  const word = allowed.find((candidate) => candidate === text);
  if (word === undefined) throw new UsageError(`--${name} must be one of ${allowed.join(", ")}; got ${JSON.stringify(text)}`);
  return word;
}
