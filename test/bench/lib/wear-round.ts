import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { Box, sleepMs } from "../../e2e/box.ts";
import { scan, segmentFiles } from "../../e2e/segments.ts";
import { startCameraProcess } from "../../faults/camera-process.ts";
import { command, DiskRig, type Mount, WITH_PARENT } from "../../faults/disks/disk-rig.ts";
import { BlockOwners } from "./block-owners.ts";
import { BlockTrace, deviceCounters } from "./block-writes.ts";

export interface WearLoad {
  readonly name: string;
  readonly streams: number;
  readonly seconds: number;
  /** Length of segments, such as "60s". */
  readonly segment: string;
}

/** A life of the service, from an empty file system until all of it is on the device: ext4's journal is empty. */
export interface WearRound {
  readonly deviceBytes: number;
  /** Access units and sound in the closed files, without headers and seals. */
  readonly payloadBytes: number;
  readonly fileBytes: number;
  /** Device bytes per payload byte, of the whole life: databases made, cameras added, the end. */
  readonly lifeRatio: number;
  /** The same of the `seconds` in which nothing but recording goes on. */
  readonly ratio: number;
  readonly segments: number;
  readonly deviceReads: number;
  readonly deviceWrites: number;
  readonly deviceFlushes: number;
  readonly fragments: number;
  readonly syncCalls: number;
  readonly syncGroups: number;
  readonly syncMaxMs: number;
  /** Device bytes by whose blocks they are, of the payload; null without tracefs. */
  readonly shares: Readonly<Record<string, number>> | null;
  /** Pictures and fragments that were lost; must be empty. */
  readonly problems: readonly string[];
}

const BOX_HEAD_BYTES = 8;
const BITRATE_BPS = 2_000_000;
/** Cameras play, and what comes with their beginning is on the device. */
const SETTLE_MS = 10_000;
const QUIET_MS = 500;
const IMAGE_BYTES = 2 ** 30;
/** Counters of a stream that stay 0 while nothing is lost. */
const LOSSES = ["lostPackets", "malformedPackets", "discardedUnits", "droppedFragments"] as const;

interface StatusLine {
  readonly engine: Readonly<Record<string, number>>;
}

/** Records on a file system of its own, that holds the root and the state, and counts what reaches the device. Needs root. */
export async function wearRound({ name, streams, seconds, segment }: WearLoad): Promise<WearRound> {
  const rig = await DiskRig.open(name, { memoryBytes: IMAGE_BYTES + (64 << 20) });
  const camera = await startCameraProcess(["--streams", `${streams}`, "--bitrate", `${BITRATE_BPS}`, "--audio", "pcma"]);
  let trace: BlockTrace | null = null;
  let box: Box | null = null;
  try {
    const disk = await rig.mount(await rig.image(join(rig.folder, "disk.img"), IMAGE_BYTES, "ext4"), "disk");
    const before = deviceCounters(disk.device);
    trace = BlockTrace.start(name, disk.device);
    const owners = new BlockOwners();
    box = await Box.create({ name, dir: join(disk.folder, "box"), segment, logLevel: "info" });
    await box.serve(WITH_PARENT);
    const from = performance.now();
    for (const [index, [id, url]] of Object.entries(camera.urls).entries()) {
      // Fragments of cameras that begin at the same moment would be synced together by chance.
      await sleepMs(Math.max(0, from + index * (1000 + 1000 / streams) - performance.now()));
      await box.add(id, url);
    }
    await sleepMs(SETTLE_MS);
    const start = await look(box, disk);
    await sleepMs(seconds * 1000);
    const end = await look(box, disk);
    await owners.look(disk);
    const [status] = await box.json<StatusLine>("status");
    const problems = (await box.cameras()).flatMap(({ id, streams: recorded }) =>
      recorded.flatMap(({ numbers }) => LOSSES.flatMap((loss) => (numbers[loss] === 0 ? [] : [`${id}: ${loss} is ${numbers[loss]}`]))),
    );
    await box.end();
    // What the journal holds goes to its place as well, and nothing comes after.
    await command("mount", "-o", "remount,ro", disk.folder);
    const after = deviceCounters(disk.device);
    await owners.look(disk);
    const files = await Promise.all((await segmentFiles(box.roots[0] ?? "")).map(sizeOf));
    const payloadBytes = sum(files.map(({ payload }) => payload));
    const fileBytes = sum(files.map(({ bytes }) => bytes));
    const deviceBytes = after.writtenBytes - before.writtenBytes;
    const shares = trace === null ? null : owners.share(trace.writes());
    const counter = (name: string) => status?.engine[name] ?? Number.NaN;
    return {
      deviceBytes,
      payloadBytes,
      fileBytes,
      lifeRatio: deviceBytes / payloadBytes,
      ratio: (end.deviceBytes - start.deviceBytes) / ((end.fileBytes - start.fileBytes) * (payloadBytes / fileBytes)),
      segments: files.length,
      deviceReads: after.reads - before.reads,
      deviceWrites: after.writes - before.writes,
      deviceFlushes: after.flushes - before.flushes,
      fragments: sum(files.map(({ fragments }) => fragments)),
      syncCalls: counter("sync_calls"),
      syncGroups: counter("sync_groups"),
      syncMaxMs: counter("sync_max_us") / 1000,
      shares: shares === null ? null : Object.fromEntries(Object.entries(shares).map(([owner, bytes]) => [owner, bytes / payloadBytes])),
      problems,
    };
  } finally {
    await box?.end("SIGKILL");
    trace?.stop();
    await camera.stop();
    await rig.close();
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** What is in files and what the device wrote, at a moment when both are the same. */
async function look(box: Box, disk: Mount): Promise<{ readonly deviceBytes: number; readonly fileBytes: number }> {
  for (;;) {
    // Fragments are appended with the second, and synced a quarter later.
    await sleepMs(1000 - ((Date.now() - QUIET_MS) % 1000));
    const fileBytes = await recordedBytes(box);
    await command("sync", "--file-system", disk.folder);
    const { writtenBytes } = deviceCounters(disk.device);
    // Not so while a segment ends or opens.
    if ((await recordedBytes(box)) === fileBytes) return { deviceBytes: writtenBytes, fileBytes };
  }
}

/** NaN where a file is being renamed. */
async function recordedBytes(box: Box): Promise<number> {
  const sizeAt = (path: string) =>
    stat(path).then(
      ({ size }) => size,
      () => Number.NaN,
    );
  return sum(await Promise.all((await segmentFiles(box.roots[0] ?? "")).map(sizeAt)));
}

/** Walks the boxes of a closed file. Media is in `mdat`; each fragment is one pair of `moof` and `mdat` a track. */
async function sizeOf(path: string): Promise<{ readonly payload: number; readonly bytes: number; readonly fragments: number }> {
  const bytes = await readFile(path);
  let payload = 0;
  for (let at = 0; at + BOX_HEAD_BYTES <= bytes.length; ) {
    const size = bytes.readUInt32BE(at);
    if (size < BOX_HEAD_BYTES) throw new Error(`${path}: a box of ${size} bytes at ${at}`);
    if (bytes.toString("latin1", at + 4, at + BOX_HEAD_BYTES) === "mdat") payload += size - BOX_HEAD_BYTES;
    at += size;
  }
  return { payload, bytes: bytes.length, fragments: (await scan(path)).fragments.length };
}
