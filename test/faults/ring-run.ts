import { readdir, stat } from "node:fs/promises";
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

const CAMERAS = ["cam1", "cam2", "cam3", "cam4"];

export interface RingOptions {
  readonly name: string;
  readonly seconds: number;
  readonly limitBytes: number;
  readonly bitrateBps: number;
  readonly segment: string;
}

/** Records four cameras into a root with a byte limit and watches its disk use from outside. */
export async function ringRun(options: RingOptions): Promise<RingReport> {
  const { seconds, limitBytes, bitrateBps, segment, name } = options;
  const camera = await startCameraProcess(["--streams", "4", "--bitrate", String(bitrateBps), "--audio", "pcma"]);
  const box = await Box.create({ name, limit: `${limitBytes / 1_000_000}MB`, segment });
  const root = box.roots[0] ?? "";
  let maxUsedBytes = 0;
  let samples = 0;
  try {
    await box.serve();
    for (const id of CAMERAS) await box.add(id, camera.urls[id] ?? "");
    await until("all cameras recording", async () => (recording(box) === CAMERAS.length ? true : null));
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
      ...deletions(box, rows),
      leftFolders: await leftFolders(root),
    };
  } finally {
    await box.end();
    await camera.stop();
  }
}

export function recording(box: Box): number {
  return new Set(box.log.flatMap((line) => (line.event === "segment.opened" ? [line["camera"]] : []))).size;
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

function deletions(box: Box, rows: readonly ListedRow[]): { outOfOrder: number; deleted: number } {
  const deleted = box.log.reduce((sum, line) => sum + (line.event === "ring.deleted" ? Number(line["segments"]) : 0), 0);
  const kept = rows.filter((row) => row.kind === "segment");
  const newestDeletedMs = Math.max(0, ...box.log.flatMap((line) => (line.event === "segment.deleted" ? [Number(line["fromUtcMs"])] : [])));
  return { deleted, outOfOrder: kept.filter((row) => row.from < newestDeletedMs).length };
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
