import { type Cell, Table } from "../../src/cli/table.ts";
import { toned } from "../../src/cli/terminal.ts";
import { bitRateText, bytesText, countText, durationText, pluralText } from "../../src/cli/units.ts";
import type { TrackDescription } from "../../src/media/types.ts";
import type { StreamStatus } from "../../src/recording/types.ts";
import type { RootUsage } from "../../src/store/types.ts";

/** What the demo shows at one instant. */
export interface Snapshot {
  readonly elapsedMs: number;
  /** Null for a demo without an end of its own. */
  readonly totalMs: number | null;
  readonly nowUtcMs: number;
  readonly streams: readonly StreamStatus[];
  readonly listed: ReadonlyMap<string, Listed>;
  readonly roots: readonly RootUsage[];
  /** Processor time of the recorder since the last snapshot, 1 for one core; null where it is not known. */
  readonly cores: number | null;
}

/** Segments and gaps of one camera, as the recorder lists them. */
export interface Listed {
  readonly segments: number;
  readonly bytes: number;
  readonly gaps: number;
}

/** One camera at the end. */
export interface CameraSummary {
  readonly id: string;
  readonly segments: number;
  readonly durationMs: number;
  readonly bytes: number;
  readonly gaps: number;
}

const BAR_CELLS = 24;

const LIVE_COLUMNS = [
  { title: "CAMERA", align: "left" },
  { title: "STATE", align: "left" },
  { title: "PICTURE", align: "left" },
  { title: "SOUND", align: "left" },
  { title: "RATE", align: "right" },
  { title: "FRAMES", align: "right" },
  { title: "LOST", align: "right" },
  { title: "SEGMENT", align: "right" },
  { title: "DURABLE", align: "right" },
  { title: "FILES", align: "right" },
  { title: "ON DISK", align: "right" },
  { title: "GAPS", align: "right" },
] as const;

/** The whole picture, for a terminal that is redrawn in place. */
export function liveText(snapshot: Snapshot, colour: boolean): string {
  const rows = snapshot.streams.map((stream) => liveRow(stream, snapshot));
  const rate = snapshot.streams.reduce((sum, { numbers }) => sum + numbers.bitsPerSecond, 0);
  const total = snapshot.totalMs === null ? "" : ` of ${durationText(snapshot.totalMs)}`;
  const cpu = snapshot.cores === null ? "" : ` · ${(snapshot.cores * 100).toFixed(0)} % of a core`;
  const heading = `EasyRMS Edge demo · ${durationText(snapshot.elapsedMs)}${total} · ${bitRateText(rate)}${cpu}`;
  const disks = snapshot.roots.map((root) => `${diskLine(root, colour)}\n`).join("");
  return `${toned(heading, "strong", colour)}\n\n${new Table(LIVE_COLUMNS, colour).lines(rows)}\n${disks}`;
}

function liveRow(stream: StreamStatus, { nowUtcMs, listed }: Snapshot): (string | Cell)[] {
  const files = listed.get(stream.camera) ?? { segments: 0, bytes: 0, gaps: 0 };
  const { segment, numbers } = stream;
  return [
    stream.camera,
    { text: stream.cause === null ? stream.state : `${stream.state}: ${stream.cause}`, tone: stateTone(stream.state) },
    trackText(stream.tracks.find(({ kind }) => kind === "video")),
    trackText(stream.tracks.find(({ kind }) => kind === "audio")),
    bitRateText(numbers.bitsPerSecond),
    `${numbers.framesPerSecond.toFixed(1)}/s`,
    countText(numbers.lostPackets),
    segment === null ? "-" : `${segment.sequence}, ${durationText(Math.max(0, nowUtcMs - segment.startUtcMs))}`,
    segment === null ? "-" : pluralText(segment.durableFragments, "fragment"),
    countText(files.segments),
    bytesText(files.bytes),
    { text: countText(files.gaps), tone: files.gaps === 0 ? "plain" : "bad" },
  ];
}

function stateTone(state: StreamStatus["state"]): Cell["tone"] {
  if (state === "recording") return "good";
  return state === "waiting" ? "bad" : "warn";
}

function trackText(track: TrackDescription | undefined): string {
  if (track === undefined) return "-";
  return track.width === null ? track.codec : `${track.codec} ${track.width}x${track.height}`;
}

function diskLine(root: RootUsage, colour: boolean): string {
  const limit = root.limitBytes ?? root.segmentBytes + root.availableBytes;
  const filled = limit === 0 ? 0 : Math.min(BAR_CELLS, Math.round((root.segmentBytes / limit) * BAR_CELLS));
  const bar = toned("█".repeat(filled), "good", colour) + toned("░".repeat(BAR_CELLS - filled), "dim", colour);
  return `disk ${bar} ${bytesText(root.segmentBytes)} of ${bytesText(limit)} in ${pluralText(root.segments, "segment")}, ${bytesText(root.availableBytes)} free`;
}

/** One line a period, for a pipe or a log. */
export function periodicText({ elapsedMs, streams, roots }: Snapshot): string {
  const recording = streams.filter(({ state }) => state === "recording").length;
  const rate = streams.reduce((sum, { numbers }) => sum + numbers.bitsPerSecond, 0);
  const lost = streams.reduce((sum, { numbers }) => sum + numbers.lostPackets, 0);
  const bytes = roots.reduce((sum, root) => sum + root.segmentBytes, 0);
  const segments = roots.reduce((sum, root) => sum + root.segments, 0);
  const waiting = streams.filter(({ cause }) => cause !== null).map(({ camera, cause }) => `, ${camera}: ${cause}`);
  return `${durationText(elapsedMs)}: ${recording} of ${streams.length} recording, ${bitRateText(rate)}, ${lost} packets lost, ${bytesText(bytes)} in ${pluralText(segments, "segment")}${waiting.join("")}\n`;
}

const SUMMARY_COLUMNS = [
  { title: "CAMERA", align: "left" },
  { title: "SEGMENTS", align: "right" },
  { title: "RECORDED", align: "right" },
  { title: "BYTES", align: "right" },
  { title: "GAPS", align: "right" },
] as const;

/** The end of the demo: what is on disk for each camera. */
export function summaryText(cameras: readonly CameraSummary[], colour: boolean): string {
  const rows = cameras.map(({ id, segments, durationMs, bytes, gaps }) => [
    id,
    { text: countText(segments), tone: segments === 0 ? ("bad" as const) : ("plain" as const) },
    durationText(durationMs),
    bytesText(bytes),
    { text: countText(gaps), tone: gaps === 0 ? ("plain" as const) : ("bad" as const) },
  ]);
  return new Table(SUMMARY_COLUMNS, colour).lines(rows);
}

/** Why the demo has failed, a phrase each; empty when every camera recorded without a gap. */
export function shortcomings(cameras: readonly CameraSummary[]): string[] {
  return cameras.flatMap(({ id, durationMs, gaps }) => {
    if (durationMs === 0) return [`${id} recorded nothing`];
    return gaps === 0 ? [] : [`${id} has ${pluralText(gaps, "gap")}`];
  });
}
