import { resolve } from "node:path";
import { DEFAULT_CONFIG_PATH } from "../config/box.ts";
import { VERSION } from "../config/version.ts";
import { parseArguments } from "./arguments.ts";
import { cameraAdd } from "./camera-add.ts";
import { cameraList } from "./camera-list.ts";
import { cameraProbe } from "./camera-probe.ts";
import { cameraRemove } from "./camera-remove.ts";
import { check } from "./check.ts";
import { type CliCommand, type CliPorts, EXIT, type ExitCode, UsageError } from "./command.ts";
import { configCheck } from "./config-check.ts";
import { failure } from "./failure.ts";
import { commandHelp, programHelp } from "./help.ts";
import { ledger } from "./ledger.ts";
import { ls } from "./ls.ts";
import { reindex } from "./reindex.ts";
import { serve } from "./serve.ts";
import { status } from "./status.ts";
import type { Terminal } from "./terminal.ts";

/** Every command, in the order of the help. */
export const CLI_COMMANDS: readonly CliCommand[] = [
  serve,
  cameraAdd,
  cameraList,
  cameraRemove,
  cameraProbe,
  ls,
  ledger,
  check,
  reindex,
  configCheck,
  status,
];

export interface CliEnvironment {
  readonly terminal: Terminal;
  readonly ports: CliPorts;
  /** Aborted by the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
}

/** Runs one command line (without the program's name) to its exit code. Never throws. */
export async function runCli(argv: readonly string[], environment: CliEnvironment): Promise<ExitCode> {
  const { terminal, signal } = environment;
  const json = argv.includes("--json");
  let name = "";
  try {
    const general = await answerGeneral(argv, terminal);
    if (general !== null) return general;
    const command = findCommand(argv);
    name = command.words.join(" ");
    const parsed = parseArguments(command, argv.slice(command.words.length));
    if (parsed.switches.has("help")) {
      await terminal.out(commandHelp(command));
      return EXIT.ok;
    }
    const configPath = resolve(parsed.options.get("config") ?? DEFAULT_CONFIG_PATH);
    return await command.run({ ...environment, ...parsed, configPath, json });
  } catch (thrown) {
    if (signal.aborted) return EXIT.interrupted;
    // The reader of our output (head, less) has had enough.
    if (thrown instanceof Error && "code" in thrown && thrown.code === "EPIPE") return EXIT.ok;
    const { exit, text } = failure(thrown, name, json);
    terminal.err(text);
    return exit;
  }
}

/** What is asked of the program rather than of a command; null if it is a command. */
async function answerGeneral(argv: readonly string[], terminal: Terminal): Promise<ExitCode | null> {
  const [first] = argv;
  if (first === "--version") {
    await terminal.out(argv.includes("--json") ? `${JSON.stringify({ version: VERSION })}\n` : `easyrms ${VERSION}\n`);
    return EXIT.ok;
  }
  if (first === "--help" || first === "-h" || first === "help") {
    await terminal.out(programHelp(CLI_COMMANDS, VERSION));
    return EXIT.ok;
  }
  if (first !== undefined) return null;
  terminal.err(programHelp(CLI_COMMANDS, VERSION));
  return EXIT.usage;
}

function findCommand(argv: readonly string[]): CliCommand {
  const found = CLI_COMMANDS.find(({ words }) => words.every((word, at) => argv[at] === word));
  if (found !== undefined) return found;
  const [first = "", second] = argv;
  if (first.startsWith("-")) throw new UsageError(`a command comes first, then its options; got ${first.split("=", 1)[0]}`);
  const group = CLI_COMMANDS.filter(({ words }) => words[0] === first).map(({ words }) => words.slice(1).join(" "));
  if (group.length === 0) throw new UsageError(`unknown command ${JSON.stringify(first)}`);
  const given = second === undefined || second.startsWith("-") ? "nothing" : JSON.stringify(second);
  throw new UsageError(`"${first}" needs one of ${group.join(", ")}; got ${given}`);
}
