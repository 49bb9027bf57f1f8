import { ledger as command, type LedgerItem, LEDGER_ZOOMS as ZOOMS } from "../commands/ledger.ts";
import { MOMENT_FORMS } from "../commands/moment.ts";
import { loadBoxConfig } from "../config/box.ts";
import { dayStart } from "../ledger/calendar.ts";
import { shareOf } from "../ledger/share.ts";
import { COVERAGE_STATES, type CoverageState, STREAM_KINDS } from "../media/types.ts";
import { wordOption } from "./arguments.ts";
import { Client } from "./client.ts";
import { type CliCommand, EXIT } from "./command.ts";
import { type Cell, type Column, Table } from "./table.ts";
import { type Tone, toned } from "./terminal.ts";
import { durationText, momentText, percentText, UNKNOWN } from "./units.ts";

type ItemOf<Kind extends LedgerItem["kind"]> = Extract<LedgerItem, { kind: Kind }>;
type States = ItemOf<"bucket">["states"];

const STREAM_COLUMNS: readonly Column[] = [
  { title: "CAMERA", align: "left" },
  { title: "STREAM", align: "left" },
];
const DAY_COLUMNS: readonly Column[] = [
  ...STREAM_COLUMNS,
  { title: "DAY", align: "left" },
  { title: "RECORDED", align: "right" },
  { title: "0     6     12    18", align: "left" },
  { title: "NOT RECORDED", align: "left" },
];
const BUCKET_COLUMNS: readonly Column[] = [
  ...STREAM_COLUMNS,
  { title: "FROM", align: "left" },
  { title: "RECORDED", align: "right" },
  { title: "NOT RECORDED", align: "left" },
];
const INTERVAL_COLUMNS: readonly Column[] = [
  ...STREAM_COLUMNS,
  { title: "FROM", align: "left" },
  { title: "TO", align: "left" },
  { title: "LENGTH", align: "right" },
  { title: "WHAT", align: "left" },
];

const HOUR_MS = 3_600_000;
/** Hours of a bar, so that the column keeps its width; a day of 25 hours is one longer. */
const BAR_HOURS = 24;
const EIGHTHS = "▁▂▃▄▅▆▇";

/** Tells what the running service recorded of the time that has passed. */
export const ledger: CliCommand = {
  words: ["ledger"],
  summary: "Tell what became of every second: recorded, or why not",
  operands: [{ name: "ID", required: false }],
  options: [
    { name: "stream", value: "main|sub", text: "only this stream of each camera" },
    { name: "from", value: "TIME", text: "from TIME on (default: today and the six days before; with other zooms today)" },
    { name: "to", value: "TIME", text: "up to TIME (default: now)" },
    { name: "zoom", value: ZOOMS.join("|"), text: "exact intervals, or seconds, minutes, hours, days (default 1d)" },
  ],
  notes: [
    `TIME is one of: ${MOMENT_FORMS}.\nWithout an offset it is local to the site, and so are days and hours.`,
    [
      "RECORDED is the share of the time that was meant to be recorded. The bar has a sign for each hour of the day:",
      "█ recorded throughout, ▁ to ▇ in part, . not at all, ░ recorded and deleted by rule since, - not planned, blank: not told of.",
    ].join("\n"),
    [
      "With --json one object a line. Every one has kind (interval, bucket, day, total), camera, stream, from, to (UTC milliseconds, to exclusive).",
      "Intervals (zoom exact): state, detail. Buckets (1s, 1m, 1h): states, an object of milliseconds by state. Days: day, states, plannedMs,",
      "recordedMs, share (0 to 1, null where nothing was planned), hours (an array of states). Behind each stream a total: states, plannedMs,",
      `recordedMs, share. States: ${COVERAGE_STATES.join(", ")}.`,
    ].join("\n"),
  ],
  async run({ operands, options, configPath, json, terminal, signal }) {
    const stream = wordOption(options, "stream", STREAM_KINDS);
    const zoom = wordOption(options, "zoom", ZOOMS) ?? "1d";
    const config = await loadBoxConfig(configPath);
    const request = { camera: operands[0] ?? null, stream, from: options.get("from") ?? null, to: options.get("to") ?? null, zoom };
    const items = new Client(config.api.socket, signal).stream(command, request);
    if (json) {
      for await (const batch of items) await terminal.out(batch.map((item) => `${JSON.stringify(item)}\n`).join(""));
      return EXIT.ok;
    }
    const columns = zoom === "1d" ? DAY_COLUMNS : zoom === "exact" ? INTERVAL_COLUMNS : BUCKET_COLUMNS;
    const table = new Table(columns, terminal.colour);
    const totals: ItemOf<"total">[] = [];
    for await (const batch of items) {
      totals.push(...batch.filter((item) => item.kind === "total"));
      const rows = batch.filter((item) => item.kind !== "total").map((item) => cells(item, config.zone));
      if (rows.length > 0) await terminal.out(table.lines(rows));
    }
    await terminal.out(totals.map((total) => `${toned(totalText(total), "dim", terminal.colour)}\n`).join(""));
    return EXIT.ok;
  },
};

function cells(item: Exclude<LedgerItem, ItemOf<"total">>, zone: string): (string | Cell)[] {
  switch (item.kind) {
    case "interval": {
      const detail = item.detail === null ? "" : `: ${item.detail}`;
      const length = durationText(item.to - item.from);
      const what = { text: `${item.state}${detail}`, tone: toneOf(item.state) };
      return [item.camera, item.stream, momentText(item.from, zone), momentText(item.to, zone), length, what];
    }
    case "bucket":
      return [item.camera, item.stream, momentText(item.from, zone), shareCell(shareOf(item.states).share), missingText(item.states)];
    case "day":
      return [item.camera, item.stream, item.day, shareCell(item.share), barText(item, zone), missingText(item.states)];
  }
}

function toneOf(state: CoverageState): Tone {
  if (state === "recorded") return "plain";
  return state === "not-planned" || state === "deleted-by-rule" ? "dim" : "bad";
}

function shareCell(share: number | null): Cell {
  if (share === null) return { text: UNKNOWN, tone: "dim" };
  return { text: percentText(share), tone: share === 1 ? "good" : share >= 0.99 ? "warn" : "bad" };
}

/** Why time was not recorded, the longest first; what is deleted or was not planned last. */
function missingText(states: States): string {
  const causes = COVERAGE_STATES.flatMap((state) => (state === "recorded" ? [] : [{ state, ms: states[state] ?? 0 }]))
    .filter(({ ms }) => ms > 0)
    .sort((a, b) => Number(toneOf(a.state) === "dim") - Number(toneOf(b.state) === "dim") || b.ms - a.ms);
  return causes.map(({ state, ms }) => `${state} ${durationText(ms)}`).join(", ");
}

/** A sign for each hour of the day. */
function barText({ from, hours }: ItemOf<"day">, zone: string): string {
  const skipped = Math.floor((from - dayStart(from, zone)) / HOUR_MS);
  return `${" ".repeat(skipped)}${hours.map(hourSign).join("")}`.padEnd(BAR_HOURS);
}

function hourSign(states: States): string {
  const { share } = shareOf(states);
  if (share === null) return "-";
  const deletedMs = states["deleted-by-rule"] ?? 0;
  if (deletedMs > (states.recorded ?? 0)) return "░";
  if (share === 1) return "█";
  return share === 0 ? "." : (EIGHTHS[Math.floor(share * EIGHTHS.length)] ?? "▇");
}

function totalText({ camera, stream, share, plannedMs, recordedMs }: ItemOf<"total">): string {
  if (share === null) return `${camera} ${stream}: nothing planned`;
  return `${camera} ${stream}: ${percentText(share)} of ${durationText(plannedMs)} planned (${durationText(plannedMs - recordedMs)} not recorded)`;
}
