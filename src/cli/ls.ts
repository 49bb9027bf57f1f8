import { ls as command, type LsItem } from "../commands/ls.ts";
import { MOMENT_FORMS } from "../commands/moment.ts";
import { loadBoxConfig } from "../config/box.ts";
import { STREAM_KINDS } from "../media/types.ts";
import { wordOption } from "./arguments.ts";
import { Client } from "./client.ts";
import { type CliCommand, EXIT } from "./command.ts";
import { type Cell, type Column, Table } from "./table.ts";
import { toned } from "./terminal.ts";
import { bytesText, durationText, momentText, pluralText, UNKNOWN } from "./units.ts";

const COLUMNS: readonly Column[] = [
  { title: "CAMERA", align: "left" },
  { title: "STREAM", align: "left" },
  { title: "KIND", align: "left" },
  { title: "FROM", align: "left" },
  { title: "TO", align: "left" },
  { title: "LENGTH", align: "right" },
  { title: "SIZE", align: "right" },
  { title: "WHAT", align: "left" },
];

/** Lists what the running service has recorded. */
export const ls: CliCommand = {
  words: ["ls"],
  summary: "List what is recorded, and what is missing and why",
  operands: [{ name: "ID", required: false }],
  options: [
    { name: "from", value: "TIME", text: "only what ends after TIME (default: the beginning)" },
    { name: "to", value: "TIME", text: "only what begins before TIME (default: now)" },
    { name: "stream", value: "main|sub", text: "only this stream of each camera" },
  ],
  notes: [
    `TIME is one of: ${MOMENT_FORMS}.\nWithout an offset it is local to the site.`,
    [
      "With --json one object a line. Every one has kind (segment, run, gap), camera, stream, from, to (UTC milliseconds, to exclusive).",
      "Segments: path, bytes, state (open, closed, deleting), run, sequence, damage. Gaps: cause, detail, open. Runs: run, clockTrusted, endCause.",
    ].join("\n"),
  ],
  async run({ operands, options, configPath, json, terminal, signal }) {
    const stream = wordOption(options, "stream", STREAM_KINDS);
    const config = await loadBoxConfig(configPath);
    const request = { camera: operands[0] ?? null, stream, from: options.get("from") ?? null, to: options.get("to") ?? null };
    const batches = new Client(config.api.socket, signal).stream(command, request);
    if (json) {
      for await (const items of batches) await terminal.out(items.map((item) => `${JSON.stringify(item)}\n`).join(""));
      return EXIT.ok;
    }
    const table = new Table(COLUMNS, terminal.colour);
    const sum = { segments: 0, gaps: 0, bytes: 0 };
    for await (const items of batches) {
      for (const item of items) count(item, sum);
      await terminal.out(table.lines(items.map((item) => rowCells(item, config.zone))));
    }
    const total = `${pluralText(sum.segments, "segment")} (${bytesText(sum.bytes)}), ${pluralText(sum.gaps, "gap")}`;
    await terminal.out(`${toned(total, "dim", terminal.colour)}\n`);
    return EXIT.ok;
  },
};

function count(item: LsItem, sum: { segments: number; gaps: number; bytes: number }): void {
  if (item.kind === "gap") sum.gaps++;
  if (item.kind !== "segment") return;
  sum.segments++;
  sum.bytes += item.bytes;
}

function rowCells(item: LsItem, zone: string): (string | Cell)[] {
  const bytes = item.kind === "segment" ? bytesText(item.bytes) : UNKNOWN;
  const length = durationText(Math.max(0, item.to - item.from));
  return [item.camera, item.stream, item.kind, momentText(item.from, zone), momentText(item.to, zone), length, bytes, whatCell(item)];
}

function whatCell(item: LsItem): string | Cell {
  switch (item.kind) {
    case "segment":
      if (item.damage !== null) return { text: `${item.path} (damaged: ${item.damage})`, tone: "bad" };
      return item.state === "closed" ? item.path : { text: `${item.path} (${item.state})`, tone: "warn" };
    case "gap": {
      const parts = [item.cause, ...(item.detail === null ? [] : [item.detail])].join(": ");
      return { text: item.open ? `${parts} (goes on)` : parts, tone: item.cause === "not-planned" ? "dim" : "bad" };
    }
    case "run": {
      const end = item.endCause === null ? "goes on" : `ended: ${item.endCause}`;
      return { text: item.clockTrusted ? end : `${end}; clock not trusted`, tone: "dim" };
    }
  }
}
