import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Alarms } from "../../src/base/alarms.ts";
import { systemClock } from "../../src/base/clock.ts";
import { silentLogger } from "../../src/base/log.ts";
import { engineFiles } from "../../src/engine/files.ts";
import { loadAddon } from "../../src/engine/loader.ts";
import type { GapCause } from "../../src/media/types.ts";
import { openStore } from "../../src/store/open-store.ts";
import type { GapRow, SegmentRow } from "../../src/store/types.ts";
import { scan } from "../e2e/segments.ts";
import { segmentKey } from "./promises.ts";

/** Where a box keeps its things on a disk of its own. */
export const MEDIA = "media";
export const STATE = "state";
export const SERIAL = "TEST0001";
const ZONE = "Asia/Shanghai";
const FAR_UTC_MS = Date.UTC(2100, 0, 1);
/** More rows than the disks of these proofs hold. */
const ROWS = 10_000;

/** What the next life finds on a disk. All lists must be empty. */
export interface DiskJudgement {
  /** Promised fragments that are in no file. */
  readonly lost: readonly string[];
  /** Files without rows, files left growing, damaged ones. */
  readonly orphans: readonly string[];
  /** Rows without files. */
  readonly dangling: readonly string[];
  /** Everything else: the store does not start, or does not tell that the power was lost. */
  readonly wrong: readonly string[];
  /** Newest closed segment of each camera. */
  readonly newest: readonly SegmentRow[];
}

/**
 * Starts the store on the disk mounted at `folder`, as the next boot does, and compares what it finds with what was promised.
 * `causes`: what may be said of the time since the last media. Recovery, addon and databases are those of the product; only the engine is not started.
 */
export async function judgeDisk(
  folder: string,
  promised: ReadonlyMap<string, number>,
  boot: string,
  causes: readonly GapCause[] = ["power-lost"],
): Promise<DiskJudgement> {
  const [lost, orphans, dangling, wrong]: [string[], string[], string[], string[]] = [[], [], [], []];
  const newest = new Map<string, SegmentRow>();
  const files = { ...engineFiles(loadAddon().files), finishSegment: () => Promise.reject(new Error("no engine")) };
  const root = join(folder, MEDIA);
  mkdirSync(root, { recursive: true });
  const options = { stateDir: join(folder, STATE), roots: [{ path: root, limitBytes: null, reserveBytes: 0 }], serial: SERIAL };
  const store = await openStore({
    ...options,
    boot,
    zone: ZONE,
    clock: systemClock,
    log: silentLogger,
    alarms: new Alarms(systemClock, silentLogger),
    files,
  });
  try {
    await store.start(new AbortController().signal);
    const rows = await store.timeline({ camera: null, stream: null, range: { fromUtcMs: 0, toUtcMs: FAR_UTC_MS }, limit: ROWS });
    const segments = rows.filter((row) => row.kind === "segment");
    const byKey = new Map(segments.map((row) => [segmentKey(row.run, row.sequence), row]));
    for (const row of segments) {
      if (row.toUtcMs >= (newest.get(row.camera)?.toUtcMs ?? 0)) newest.set(row.camera, row);
      if (row.state !== "closed") orphans.push(`${row.path}: still ${row.state}`);
    }
    for (const [key, count] of promised) {
      const row = byKey.get(key);
      const held = row === undefined ? null : await scan(row.path);
      if (held === null) lost.push(`${key}: ${count} fragments, no row`);
      else if (held.fragments.length < count) lost.push(`${key}: ${held.fragments.length} of ${count} fragments`);
      if (held !== null && (!held.sealed || held.problems.length > 0)) orphans.push(`${key}: ${held.problems.join("; ") || "no seal"}`);
    }
    const open = rows.filter((row): row is GapRow => row.kind === "gap" && row.open);
    for (const camera of newest.keys()) {
      if (!open.some((gap) => gap.camera === camera)) wrong.push(`${camera}: no gap since its last media`);
    }
    for (const gap of open) {
      if (![...causes, "not-planned"].includes(gap.cause)) wrong.push(`${gap.camera}: ${gap.cause}, not ${causes.join(" or ")}`);
    }
    const { findings } = await store.check({ deep: false, signal: new AbortController().signal, onProgress: () => {} });
    for (const { code, path, message } of findings) (code === "missing-file" ? dangling : orphans).push(`${code}: ${path}: ${message}`);
  } finally {
    await store.stop();
  }
  return { lost, orphans, dangling, wrong, newest: [...newest.values()] };
}
