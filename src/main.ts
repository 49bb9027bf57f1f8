import { EXIT } from "./cli/command.ts";
import { runCli } from "./cli/run.ts";
import { processTerminal } from "./cli/terminal.ts";

const interruption = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.on(name, () => {
    if (interruption.signal.aborted) process.exit(EXIT.interrupted);
    interruption.abort(new Error(`${name} received`));
  });
}

// The service and its addon are loaded only by the commands that need them: the others start faster, and work where it cannot be loaded.
const ports = {
  runService: async (options) => (await import("./app.ts")).runService(options),
  offlineCheck: async (config, options) => (await import("./app.ts")).offlineCheck(config, options),
  offlineReindex: async (config, options) => (await import("./app.ts")).offlineReindex(config, options),
} satisfies Parameters<typeof runCli>[1]["ports"];

process.exit(await runCli(process.argv.slice(2), { terminal: processTerminal(), ports, signal: interruption.signal }));
