import { configCheck as checkFile } from "../commands/config-check.ts";
import type { BoxConfig } from "../config/types.ts";
import { type CliCommand, EXIT } from "./command.ts";
import { problemLines } from "./failure.ts";
import { fieldLines } from "./table.ts";
import { toned } from "./terminal.ts";
import { bytesText, durationText } from "./units.ts";

/** Validates the box file. */
export const configCheck: CliCommand = {
  words: ["config", "check"],
  summary: "Check the configuration file and show what it means",
  operands: [],
  options: [],
  notes: ["Needs no running service, and touches nothing that the file names. Exit code 1: the file is not valid."],
  async run({ configPath, json, terminal }) {
    const verdict = await checkFile(configPath);
    if (json) await terminal.out(`${JSON.stringify(verdict)}\n`);
    else if (verdict.valid) await terminal.out(configText(verdict.config, terminal.colour));
    else await terminal.out(`${toned(verdict.message, "bad", terminal.colour)}\n${problemLines(verdict.problems)}`);
    return verdict.valid ? EXIT.ok : EXIT.failed;
  },
};

function configText(config: BoxConfig, colour: boolean): string {
  const { storage, recording } = config;
  const fields = fieldLines(
    [
      ["serial", config.serial],
      ["zone", config.zone],
      ...storage.roots.map((root, at): readonly [string, string] => [`storage.roots[${at}]`, root]),
      ["storage.limit", storage.limitBytes === null ? "none" : bytesText(storage.limitBytes)],
      ["storage.reserve", bytesText(storage.reserveBytes)],
      ["state.dir", config.state.dir],
      ["api.socket", config.api.socket],
      ["recording.segment", durationText(recording.segmentMs)],
      ["recording.fragment", durationText(recording.fragmentMs)],
      ["recording.ring", durationText(recording.ringMs)],
      ["recording.ring_bytes", bytesText(recording.ringBytes)],
      ["recording.queue_bytes", bytesText(recording.queueBytes)],
      ["log.level", config.log.level],
    ],
    colour,
  );
  return `${fields}${toned("The configuration is valid.", "good", colour)}\n`;
}
