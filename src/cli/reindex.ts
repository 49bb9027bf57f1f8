import type { ReindexProgress } from "../commands/context.ts";
import { reindex as command } from "../commands/reindex.ts";
import { loadBoxConfig } from "../config/box.ts";
import type { ReindexReport } from "../store/types.ts";
import { Client } from "./client.ts";
import { type CliCommand, EXIT } from "./command.ts";
import { ProgressBar } from "./progress.ts";
import { toned } from "./terminal.ts";
import { countText, pluralText } from "./units.ts";

/** Rebuilds the catalog: through the running service if there is one, else by itself under the locks of the roots. */
export const reindex: CliCommand = {
  words: ["reindex"],
  summary: "Rebuild the catalog from recorded files and journals",
  operands: [],
  options: [],
  notes: [
    "Reads files and journals, changes none of them. A running service goes on recording, and answers from the old catalog until the new one is complete; without one the roots are locked meanwhile. If it fails or is interrupted, the old catalog stays.",
    "What neither files nor journals hold, such as gaps of days whose files were all deleted, is unknown afterwards. Exit code 1: it failed, or files could not be read; the catalog has all others.",
  ],
  async run({ configPath, json, terminal, ports, signal }) {
    const config = await loadBoxConfig(configPath);
    const bar = new ProgressBar(terminal);
    const onProgress = ({ segments, totalSegments }: ReindexProgress) => {
      const text = `${countText(segments)} of ${pluralText(totalSegments, "segment")}`;
      bar.update(totalSegments === 0 ? 0 : segments / totalSegments, text);
    };
    let report: ReindexReport;
    try {
      const client = new Client(config.api.socket, signal);
      if (await client.isRunning()) report = await reindexOnline(client, onProgress);
      else report = await ports.offlineReindex(config, { onProgress, signal });
    } finally {
      bar.end();
    }
    await terminal.out(json ? `${JSON.stringify(report)}\n` : reindexText(report, terminal.colour));
    return report.unreadable === 0 ? EXIT.ok : EXIT.failed;
  },
};

async function reindexOnline(client: Client, onProgress: (progress: ReindexProgress) => void): Promise<ReindexReport> {
  for await (const items of client.stream(command, {})) {
    for (const item of items) {
      if (item.kind === "progress") {
        onProgress(item);
      } else {
        const { kind: _, ...report } = item;
        return report;
      }
    }
  }
  throw new Error("easyrms serve ended the reindex without a report");
}

/** The report for people. */
export function reindexText(report: ReindexReport, colour: boolean): string {
  const { segments, runs, gaps, tookMs, segmentsPerSecond, unreadable, foreign, unreadableLines } = report;
  const what = [pluralText(segments, "segment"), pluralText(runs, "run"), pluralText(gaps, "gap")].join(", ");
  const lines = [`Rebuilt the catalog: ${what} in ${(tookMs / 1000).toFixed(1)} s (${countText(segmentsPerSecond)} segments/s)`];
  if (unreadable > 0)
    lines.push(toned(`${pluralText(unreadable, "file")} could not be read; the log and "easyrms check" name them`, "bad", colour));
  if (unreadableLines > 0) lines.push(toned(`${pluralText(unreadableLines, "journal line")} could not be read`, "bad", colour));
  if (foreign > 0) lines.push(`${pluralText(foreign, "file")} of other boxes left alone`);
  return `${lines.join("\n")}\n`;
}
