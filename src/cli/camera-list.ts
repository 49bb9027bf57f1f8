import type * as z from "zod";
import { cameraList as command } from "../commands/camera-list.ts";
import { loadBoxConfig } from "../config/box.ts";
import type { TrackDescription } from "../media/types.ts";
import type { StreamStatus } from "../recording/types.ts";
import { Client } from "./client.ts";
import { type CliCommand, EXIT } from "./command.ts";
import { type Cell, type Column, Table } from "./table.ts";
import type { Tone } from "./terminal.ts";
import { bitRateText, countText, durationText, UNKNOWN } from "./units.ts";

type Reply = z.output<typeof command.output>;

const COLUMNS: readonly Column[] = [
  { title: "CAMERA", align: "left" },
  { title: "CHANNEL", align: "right" },
  { title: "STREAM", align: "left" },
  { title: "STATE", align: "left" },
  { title: "FOR", align: "right" },
  { title: "VIDEO", align: "left" },
  { title: "SOUND", align: "left" },
  { title: "RATE", align: "right" },
  { title: "FRAMES", align: "right" },
  { title: "LOST", align: "right" },
  { title: "NOTE", align: "left" },
];

const STATE_TONES: Readonly<Record<StreamStatus["state"], Tone>> = {
  recording: "good",
  buffering: "warn",
  connecting: "warn",
  waiting: "bad",
  stopped: "dim",
};

/** Lists the cameras of the running service. */
export const cameraList: CliCommand = {
  words: ["camera", "list"],
  summary: "List cameras and what their streams do",
  operands: [],
  options: [],
  notes: ["FOR is the time since the stream is in its state, LOST counts RTP packets since the camera was added."],
  async run({ configPath, json, terminal, signal }) {
    const config = await loadBoxConfig(configPath);
    const reply = await new Client(config.api.socket, signal).call(command, {});
    await terminal.out(json ? `${JSON.stringify(reply)}\n` : cameraTable(reply, terminal.colour));
    return EXIT.ok;
  },
};

/** The list for people. */
export function cameraTable(reply: Reply, colour: boolean): string {
  if (reply.cameras.length === 0) return 'No cameras yet. "easyrms camera add ID URL" adds one.\n';
  const rows = reply.cameras.flatMap(({ id, channel, streams }) => {
    const place = [id, String(channel)];
    if (streams.length === 0) return [[...place, UNKNOWN, { text: "not started", tone: "dim" } satisfies Cell, ...Array(7).fill("")]];
    return streams.map((stream) => [...place, ...streamCells(stream, reply.nowUtcMs)]);
  });
  return new Table(COLUMNS, colour).lines(rows);
}

function streamCells(stream: StreamStatus, nowUtcMs: number): (string | Cell)[] {
  const { state, numbers } = stream;
  const flowing = state === "recording" || state === "buffering";
  const warned = state === "recording" && stream.warnings.length > 0;
  return [
    stream.stream,
    { text: state, tone: warned ? "warn" : STATE_TONES[state] },
    durationText(Math.max(0, nowUtcMs - stream.sinceUtcMs)),
    trackText(stream.tracks, "video"),
    trackText(stream.tracks, "audio"),
    flowing ? bitRateText(numbers.bitsPerSecond) : UNKNOWN,
    flowing ? `${numbers.framesPerSecond.toFixed(1)}/s` : UNKNOWN,
    { text: countText(numbers.lostPackets), tone: numbers.lostPackets > 0 ? "warn" : "plain" },
    noteText(stream, nowUtcMs),
  ];
}

function noteText(stream: StreamStatus, nowUtcMs: number): string {
  const { cause, detail, retryAtUtcMs, warnings, numbers } = stream;
  const notes: string[] = [];
  if (cause !== null) notes.push(detail === null ? cause : `${cause}: ${detail}`);
  if (retryAtUtcMs !== null) notes.push(`again in ${durationText(Math.max(0, retryAtUtcMs - nowUtcMs))}`);
  if (numbers.droppedFragments > 0) notes.push(`${countText(numbers.droppedFragments)} fragments dropped before the disk`);
  return [...notes, ...warnings].join("; ");
}

/** `h264 1920x1080`, `aac 16 kHz`. */
export function trackText(tracks: readonly TrackDescription[], kind: TrackDescription["kind"]): string {
  const texts = tracks
    .filter((track) => track.kind === kind)
    .map(({ codec, width, height, clockRateHz }) => {
      if (kind === "audio") return `${codec} ${clockRateHz / 1000} kHz`;
      return width === null || height === null ? codec : `${codec} ${width}x${height}`;
    });
  return texts.length === 0 ? UNKNOWN : texts.join(", ");
}
