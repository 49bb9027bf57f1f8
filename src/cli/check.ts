import { check as command } from "../commands/check.ts";
import type { CheckProgress } from "../commands/context.ts";
import { loadBoxConfig } from "../config/box.ts";
import type { BoxConfig } from "../config/types.ts";
import type { CheckReport } from "../store/types.ts";
import { Client } from "./client.ts";
import { type CliCommand, EXIT, type Invocation } from "./command.ts";
import { ProgressBar } from "./progress.ts";
import { type Column, Table } from "./table.ts";
import { toned } from "./terminal.ts";
import { bytesText, countText, pluralText } from "./units.ts";

const COLUMNS: readonly Column[] = [
  { title: "FINDING", align: "left" },
  { title: "FILE", align: "left" },
  { title: "WHAT", align: "left" },
];

/** Checks recorded files: through the running service if there is one, else by itself under the locks of the roots. */
export const check: CliCommand = {
  words: ["check"],
  summary: "Check recorded files: names, sizes and seals",
  operands: [],
  options: [{ name: "deep", value: null, text: "read every box and verify every checksum" }],
  notes: [
    "Changes nothing. A running service checks itself; without one the roots are locked meanwhile. Exit code 1: something was found.",
  ],
  async run(invocation) {
    const { configPath, json, terminal, switches, signal } = invocation;
    const config = await loadBoxConfig(configPath);
    const deep = switches.has("deep");
    const bar = new ProgressBar(terminal);
    const onProgress = (progress: CheckProgress) => {
      const { segments, totalSegments, bytes } = progress;
      const text = `${countText(segments)} of ${pluralText(totalSegments, "segment")}, ${bytesText(bytes)}`;
      bar.update(totalSegments === 0 ? 0 : segments / totalSegments, text);
    };
    let report: CheckReport;
    try {
      const client = new Client(config.api.socket, signal);
      if (await client.isRunning()) report = await checkOnline(client, deep, onProgress);
      else report = await checkOffline(config, deep, onProgress, invocation);
    } finally {
      bar.end();
    }
    await terminal.out(json ? `${JSON.stringify(report)}\n` : checkText(report, terminal.colour));
    return report.findings.length === 0 ? EXIT.ok : EXIT.failed;
  },
};

async function checkOnline(client: Client, deep: boolean, onProgress: (progress: CheckProgress) => void): Promise<CheckReport> {
  for await (const items of client.stream(command, { deep })) {
    for (const item of items) {
      if (item.kind === "progress") {
        onProgress(item);
      } else {
        const { kind: _, ...report } = item;
        return report;
      }
    }
  }
  throw new Error("easyrms serve ended the check without a report");
}

function checkOffline(
  config: BoxConfig,
  deep: boolean,
  onProgress: (progress: CheckProgress) => void,
  { ports, signal }: Invocation,
): Promise<CheckReport> {
  return ports.offlineCheck(config, { deep, onProgress, signal });
}

/** The report for people. */
export function checkText(report: CheckReport, colour: boolean): string {
  const what = report.deep ? "every box and checksum" : "names, sizes and seals";
  const checked = `Checked ${what} of ${pluralText(report.segments, "segment")} (${bytesText(report.bytes)})`;
  if (report.findings.length === 0) return `${checked}: ${toned("nothing wrong", "good", colour)}\n`;
  const rows = report.findings.map(({ code, path, message }) => [{ text: code, tone: "bad" } as const, path, message]);
  return `${new Table(COLUMNS, colour).lines(rows)}${checked}: ${toned(pluralText(rows.length, "finding"), "bad", colour)}\n`;
}
