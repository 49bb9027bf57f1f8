import type { CheckOptions } from "../commands/context.ts";
import type { BoxConfig } from "../config/types.ts";
import type { CheckReport, ReindexOptions, ReindexReport } from "../store/types.ts";
import type { Terminal } from "./terminal.ts";

/** Exit codes; scripts rely on them. */
export const EXIT = {
  ok: 0,
  /** The command failed, `check` or `config check` found something, or `reindex` could not read a file. */
  failed: 1,
  usage: 2,
  notRunning: 3,
  configInvalid: 4,
  interrupted: 130,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** What each exit code means, for the help. */
export const EXIT_TEXTS: readonly (readonly [ExitCode, string])[] = [
  [EXIT.ok, "done; nothing wrong was found"],
  [EXIT.failed, 'the command failed, "check" or "config check" found something, or "reindex" could not read a file'],
  [EXIT.usage, "wrong usage, or the service refused a value"],
  [EXIT.notRunning, 'no "easyrms serve" answers on the socket'],
  [EXIT.configInvalid, "the configuration file is not valid"],
  [EXIT.interrupted, "interrupted"],
];

/** The command line itself is wrong. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export interface OptionSpec {
  readonly name: string;
  /** Placeholder of the value; null for a switch. */
  readonly value: string | null;
  readonly text: string;
}

export interface Operand {
  readonly name: string;
  readonly required: boolean;
}

/** One line of the table of commands: help, parsing and execution all follow from it. */
export interface CliCommand {
  readonly words: readonly [string, ...string[]];
  readonly summary: string;
  readonly operands: readonly Operand[];
  /** Beside those that every command takes. */
  readonly options: readonly OptionSpec[];
  /** Paragraphs for the end of the help. */
  readonly notes: readonly string[];
  run(invocation: Invocation): Promise<ExitCode>;
}

/** What the rest of the program does for the CLI; wired in `main.ts`. */
export interface CliPorts {
  /** Resolves after a clean stop, which `signal` asks for. */
  runService(options: { readonly config: BoxConfig; readonly configPath: string; readonly signal: AbortSignal }): Promise<void>;
  /** Checks while no service runs; rejects with ROOT_LOCKED if one does. */
  offlineCheck(config: BoxConfig, options: CheckOptions): Promise<CheckReport>;
  /** Rebuilds the catalog while no service runs; rejects with ROOT_LOCKED if one does. */
  offlineReindex(config: BoxConfig, options: ReindexOptions): Promise<ReindexReport>;
}

/** A parsed command line with all that its command may use. */
export interface Invocation {
  readonly operands: readonly string[];
  readonly options: ReadonlyMap<string, string>;
  readonly switches: ReadonlySet<string>;
  readonly configPath: string;
  readonly json: boolean;
  readonly terminal: Terminal;
  readonly ports: CliPorts;
  /** Aborted by the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
}
