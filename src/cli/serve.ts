import { loadBoxConfig } from "../config/box.ts";
import { type CliCommand, EXIT } from "./command.ts";

/** Runs the recorder in the foreground. */
export const serve: CliCommand = {
  words: ["serve"],
  summary: "Run the recorder until SIGTERM or SIGINT",
  operands: [],
  options: [],
  notes: ["Logs JSON lines on standard output. The first signal ends it cleanly, a second one at once."],
  async run({ configPath, ports, signal }) {
    const config = await loadBoxConfig(configPath);
    await ports.runService({ config, configPath, signal });
    return EXIT.ok;
  },
};
