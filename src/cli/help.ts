import { COMMON_OPTIONS } from "./arguments.ts";
import { type CliCommand, EXIT_TEXTS, type OptionSpec } from "./command.ts";

/** Help of the program: every command with its summary. */
export function programHelp(commands: readonly CliCommand[], version: string): string {
  const rows = commands.map((command) => [synopsis(command), command.summary] as const);
  return [
    `easyrms ${version}: records IP cameras on the edge`,
    "",
    "Usage: easyrms COMMAND [OPTION]...",
    "       easyrms --help | --version",
    "",
    "Commands:",
    ...columns(rows),
    "",
    "Options of every command:",
    ...columns(COMMON_OPTIONS.map(optionRow)),
    "",
    "Exit codes:",
    ...columns(EXIT_TEXTS.map(([code, text]) => [String(code), text] as const)),
    "",
    '"easyrms COMMAND --help" shows the options of a command.',
    "",
  ].join("\n");
}

/** Help of one command. */
export function commandHelp(command: CliCommand): string {
  return [
    `Usage: easyrms ${synopsis(command)} [OPTION]...`,
    "",
    `${command.summary}.`,
    "",
    "Options:",
    ...columns([...command.options, ...COMMON_OPTIONS].map(optionRow)),
    ...command.notes.flatMap((note) => ["", note]),
    "",
  ].join("\n");
}

function synopsis(command: CliCommand): string {
  const operands = command.operands.map(({ name, required }) => (required ? name : `[${name}]`));
  return [...command.words, ...operands].join(" ");
}

function optionRow({ name, value, text }: OptionSpec): readonly [string, string] {
  return [value === null ? `--${name}` : `--${name} ${value}`, text];
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}
