import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Box, type ListedRow, until } from "../e2e/box.ts";
import { startCameraProcess } from "./camera-process.ts";
import { progress } from "./proof.ts";

export interface RingReport {
  readonly seconds: number;
  readonly limitBytes: number;
  /** Largest disk use of the root seen, blocks as du counts them. */
  readonly maxUsedBytes: number;
  readonly samples: number;
  /** Missing seconds between first and last frame of each camera; must be empty. */
  readonly gaps: readonly string[];
  /** Deletions that were not the oldest segment; must be 0. */
  readonly outOfOrder: number;
  readonly deleted: number;
  /** Day folders that are empty or hold nothing but their journal; must be empty. */
  readonly leftFolders: readonly string[];
}

/** Two zones a day and more apart: moving the box from one to the other lets a day pass. */
const YESTERDAY = "Pacific/Pago_Pago";
const TODAY = "Pacific/Kiritimati";
const CAMERAS = ["cam1", "cam2", "cam3", "cam4"];

export interface RingOptions {
  readonly name: string;
  readonly seconds: number;
  readonly limitBytes: number;
  readonly bitrateBps: number;
  readonly segment: string;
}

/** Records four cameras into a root with a byte limit, a little of it yesterday, and watches its disk use from outside. */
export async function ringRun(options: RingOptions): Promise<RingReport> {
  const { seconds, limitBytes, bitrateBps, segment, name } = options;
  const camera = await startCameraProcess(["--streams", "4", "--bitrate", String(bitrateBps), "--audio", "pcma"]);
  const box = await Box.create({ name, limit: `${limitBytes / 1_000_000}MB`, segment, zone: YESTERDAY });
  const root = box.roots[0] ?? "";
  let maxUsedBytes = 0;
  let samples = 0;
  try {
    await box.serve();
    for (const id of CAMERAS) await box.add(id, camera.urls[id] ?? "");
    await until("all cameras recording", async () => (recording(box) === CAMERAS.length ? true : null));
    await box.end();
    const before = box.log.length;
    await writeFile(box.config, (await readFile(box.config, "utf8")).replace(YESTERDAY, TODAY));
    await box.serve();
    await until("all cameras recording on the next day", async () => (recording(box, before) === CAMERAS.length ? true : null));
    const started = Date.now();
    let nextNote = 30;
    while (Date.now() - started < seconds * 1000) {
      const used = await usedBytes(root);
      maxUsedBytes = Math.max(maxUsedBytes, used);
      samples += 1;
      if (Date.now() - started > nextNote * 1000) {
        progress(`${nextNote} s: ${(used / 1e6).toFixed(1)} MB used, at most ${(maxUsedBytes / 1e6).toFixed(1)} of ${limitBytes / 1e6}`);
        nextNote += 30;
      }
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    const rows = await box.list();
    return {
      seconds,
      limitBytes,
      maxUsedBytes,
      samples,
      gaps: holes(rows),
      ...(await deletions(root, rows)),
      leftFolders: await leftFolders(root),
    };
  } finally {
    await box.end();
    await camera.stop();
  }
}

/** Cameras that opened a segment since the log had so many lines. */
export function recording(box: Box, since = 0): number {
  return new Set(box.log.slice(since).flatMap((line) => (line.event === "segment.opened" ? [line["camera"]] : []))).size;
}

/** Disk blocks below a folder; files that vanish meanwhile do not count. */
export async function usedBytes(root: string): Promise<number> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const sizes = await Promise.all(
    entries.filter((entry) => entry.isFile()).map((entry) => stat(join(entry.parentPath, entry.name)).catch(() => null)),
  );
  return sizes.reduce((sum, file) => sum + (file?.blocks ?? 0) * 512, 0);
}

/** Media that is missing between a camera's segments as listed, gaps the product itself admits included. */
export function holes(rows: readonly ListedRow[]): string[] {
  const found: string[] = [];
  for (const camera of CAMERAS) {
    const segments = rows.filter((row) => row.kind === "segment" && row.camera === camera).sort((a, b) => a.from - b.from);
    const first = segments[0]?.from ?? 0;
    for (const [index, segment] of segments.entries()) {
      const next = segments[index + 1];
      if (next !== undefined && Math.abs(next.from - segment.to) > 1)
        found.push(`${camera}: ${next.from - segment.to} ms at ${segment.to}`);
    }
    for (const gap of rows) {
      if (gap.kind === "gap" && gap.camera === camera && gap.to > first && gap.cause !== "deleted-by-rule") {
        found.push(`${camera}: gap ${gap.cause} of ${gap.to - gap.from} ms`);
      }
    }
  }
  return found;
}

/** Deletions as the journals tell them: each must have taken the oldest segment that the root then held. */
async function deletions(root: string, rows: readonly ListedRow[]): Promise<{ outOfOrder: number; deleted: number }> {
  const lines: { atUtcMs: number; fromUtcMs: number }[] = [];
  for (const path of await journals(root)) {
    for (const text of (await readFile(path, "utf8")).split("\n").filter((line) => line.includes('"segment-deleted"'))) {
      lines.push(JSON.parse(text) as { atUtcMs: number; fromUtcMs: number });
    }
  }
  lines.sort((a, b) => a.atUtcMs - b.atUtcMs || a.fromUtcMs - b.fromUtcMs);
  const oldestKept = Math.min(...rows.filter((row) => row.kind === "segment").map((row) => row.from));
  const early = lines.filter(
    (line, index) => line.fromUtcMs > Math.min(oldestKept, ...lines.slice(index + 1).map((later) => later.fromUtcMs)),
  );
  return { deleted: lines.length, outOfOrder: early.length };
}

async function journals(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true });
  return entries.filter((entry) => entry.endsWith("journal.ndjson")).map((entry) => join(root, entry));
}

async function leftFolders(root: string): Promise<string[]> {
  const left: string[] = [];
  for (const stream of await readdir(root, { withFileTypes: true })) {
    if (!stream.isDirectory()) continue;
    for (const day of await readdir(join(root, stream.name))) {
      const files = await readdir(join(root, stream.name, day));
      if (!files.some((file) => file.includes(".mp4"))) left.push(`${stream.name}/${day}`);
    }
  }
  return left;
}
