import type * as z from "zod";
import { status as command } from "../commands/status.ts";
import { loadBoxConfig } from "../config/box.ts";
import { Client } from "./client.ts";
import { type CliCommand, EXIT } from "./command.ts";
import { type Cell, type Column, fieldLines, Table } from "./table.ts";
import type { Tone } from "./terminal.ts";
import { bitRateText, bytesText, countText, durationText, momentText, pluralText, UNKNOWN } from "./units.ts";

type Reply = z.output<typeof command.output>;

const ROOT_COLUMNS: readonly Column[] = [
  { title: "ROOT", align: "left" },
  { title: "SEGMENTS", align: "right" },
  { title: "RECORDED", align: "right" },
  { title: "LIMIT", align: "right" },
  { title: "FREE", align: "right" },
  { title: "RESERVE", align: "right" },
  { title: "DISK", align: "right" },
];

const ALARM_COLUMNS: readonly Column[] = [
  { title: "ALARM", align: "left" },
  { title: "SINCE", align: "left" },
  { title: "WHAT", align: "left" },
];

const STREAM_TONES: readonly (readonly [keyof Reply["streams"], Tone])[] = [
  ["recording", "good"],
  ["buffering", "warn"],
  ["connecting", "warn"],
  ["waiting", "bad"],
  ["stopped", "dim"],
];

/** The running service at a glance. */
export const status: CliCommand = {
  words: ["status"],
  summary: "Show what the running service does and how full its disks are",
  operands: [],
  options: [],
  notes: ["With --json it also holds the counters of the media engine."],
  async run({ configPath, json, terminal, signal }) {
    const config = await loadBoxConfig(configPath);
    const reply = await new Client(config.api.socket, signal).call(command, {});
    await terminal.out(json ? `${JSON.stringify(reply)}\n` : statusText(reply, terminal.colour));
    return EXIT.ok;
  },
};

function scrubCell({ scrub, zone }: Reply): Cell {
  const { segments, bytes, damaged, unreadable, rounds } = scrub;
  const reached = rounds.map(({ reachedUtcMs }) => reachedUtcMs).filter((utcMs) => utcMs !== null);
  const parts = [
    `${pluralText(segments, "segment")} (${bytesText(bytes)})`,
    ...(reached.length > 0 ? [`back to ${momentText(Math.max(...reached), zone)}`] : []),
    ...(damaged > 0 ? [`${countText(damaged)} damaged`] : []),
    ...(unreadable > 0 ? [`${countText(unreadable)} unreadable`] : []),
  ];
  return { text: parts.join(", "), tone: damaged + unreadable > 0 ? "bad" : "plain" };
}

/** The reply for people. */
export function statusText(reply: Reply, colour: boolean): string {
  const streams = STREAM_TONES.filter(([state]) => reply.streams[state] > 0).map(
    ([state]) => `${countText(reply.streams[state])} ${state}`,
  );
  const worst = STREAM_TONES.findLast(([state]) => reply.streams[state] > 0)?.[1] ?? "plain";
  const fields = fieldLines(
    [
      ["Serial", reply.serial],
      ["Version", reply.version],
      [
        "Running since",
        `${momentText(reply.startedUtcMs, reply.zone)} (${durationText(Math.max(0, reply.nowUtcMs - reply.startedUtcMs))})`,
      ],
      ["Zone", reply.zone],
      ["Cameras", countText(reply.cameras)],
      ["Streams", { text: streams.length === 0 ? UNKNOWN : streams.join(", "), tone: worst }],
      ["Rate", bitRateText(reply.bitsPerSecond)],
      ["Verified", scrubCell(reply)],
    ],
    colour,
  );
  const rows = reply.roots.map((root): (string | Cell)[] => [
    root.path,
    countText(root.segments),
    bytesText(root.segmentBytes),
    root.limitBytes === null ? UNKNOWN : bytesText(root.limitBytes),
    { text: bytesText(root.availableBytes), tone: root.availableBytes < root.reserveBytes ? "warn" : "plain" },
    bytesText(root.reserveBytes),
    bytesText(root.totalBytes),
  ]);
  const alarms = reply.alarms.map((alarm): Cell[] => [
    { text: alarm.code, tone: "bad" },
    { text: momentText(alarm.sinceUtcMs, reply.zone), tone: "plain" },
    { text: alarm.subject === "" ? alarm.detail : `${alarm.subject}: ${alarm.detail}`, tone: "plain" },
  ]);
  const table = new Table(ROOT_COLUMNS, colour).lines(rows);
  return alarms.length === 0 ? `${fields}\n${table}` : `${fields}\n${table}\n${new Table(ALARM_COLUMNS, colour).lines(alarms)}`;
}
