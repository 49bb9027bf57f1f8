import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Box, type LogLine, sleepMs, until } from "../e2e/box.ts";
import { ffprobeComplaints } from "../e2e/segments.ts";
import { CLIP_FPS } from "../fakes/camera/clip.ts";
import { readRecording } from "../fakes/frames.ts";
import { startCameraProcess } from "./camera-process.ts";
import { judgeDisk, MEDIA, STATE } from "./disk-judge.ts";
import { command, DiskRig, type Mount, WITH_PARENT } from "./disks/disk-rig.ts";
import { promisedFragments } from "./promises.ts";
import { progress } from "./proof.ts";
import { seededRandom } from "./rng.ts";

const PICTURE_MS = 1000 / CLIP_FPS;
const CAMERAS = ["cam1", "cam2", "cam3", "cam4"];
/** Cuts are spread evenly over so long: with what judging takes, every moment of a segment's life is met. */
const CUT_WITHIN_MS = 1500;
const DISK_BYTES = 512 << 20;
/** So much that deleting is cut as well, and little enough that what the newest seconds promised is still there. */
const LIMIT = "150MB";
/** Promises as old as this may have been deleted since. */
const PROMISES_KEPT_MS = 20_000;
/** Each so many cuts the whole product starts on the disk instead of its store alone, and a player looks at the newest files. */
const PRODUCT_EVERY = 20;

export interface PowercutReport {
  readonly cuts: number;
  readonly promisedFragments: number;
  /** All must be empty. */
  readonly lost: readonly string[];
  readonly orphans: readonly string[];
  readonly dangling: readonly string[];
  readonly wrong: readonly string[];
  readonly unplayable: readonly string[];
  /** By cut and camera: media that is gone, from the end of the newest picture that is left to the cut (and at most what the copy took). */
  readonly lostMs: readonly number[];
  /** The same, less what the last group sync before the cut took. */
  readonly lostWithoutSyncMs: readonly number[];
  readonly syncMs: readonly number[];
  readonly productStarts: number;
  readonly deleted: number;
}

/**
 * Records four cameras at 4 Mbit/s to an ext4, databases included, and copies its image by reference at random instants: what the copy
 * holds is what a cut would have left of completed writes. Needs root.
 */
export async function powercutRun(options: {
  readonly name: string;
  readonly cuts: number;
  readonly seed: number;
}): Promise<PowercutReport> {
  const { name, cuts, seed } = options;
  const random = seededRandom(seed);
  const rig = await DiskRig.open(name, { memoryBytes: 6 * 2 ** 30 });
  const camera = await startCameraProcess(["--streams", "4", "--bitrate", "4000000", "--audio", "pcma"]);
  const found = { lost: [], orphans: [], dangling: [], wrong: [], unplayable: [] } as Record<
    "lost" | "orphans" | "dangling" | "wrong" | "unplayable",
    string[]
  >;
  const [lostMs, lostWithoutSyncMs, syncMs]: [number[], number[], number[]] = [[], [], []];
  let [promises, productStarts, deleted] = [0, 0, 0];
  try {
    const pool = await rig.mount(await rig.image(join(rig.folder, "pool.img"), 5 * 2 ** 30, "xfs"), "pool");
    const image = await rig.image(join(pool.folder, "disk.img"), DISK_BYTES, "ext4");
    const disk = await rig.mount(image, "disk");
    const at = { roots: [join(disk.folder, MEDIA)], stateDir: join(disk.folder, STATE) };
    await mkdir(at.stateDir, { mode: 0o700 });
    const box = await Box.create({ name, segment: "4s", limit: LIMIT, reserve: "1MB", ...at });
    try {
      await box.serve(WITH_PARENT);
      for (const id of CAMERAS) await box.add(id, camera.urls[id] ?? "");
      await until("durable fragments of all cameras", async () => {
        const heard = new Set(box.log.filter(({ event }) => event === "fragment.durable").map((line) => line["camera"]));
        return heard.size === CAMERAS.length ? true : null;
      });
      for (let cut = 1; cut <= cuts; cut++) {
        await sleepMs(random() * CUT_WITHIN_MS);
        const promised = promisedFragments(box.log);
        await command("cp", "--reflink=always", image, join(pool.folder, "cut.img"));
        const cutUtcMs = Date.now();
        const lastSyncMs = await syncTimeMs(box);
        syncMs.push(lastSyncMs);
        const copy = await rig.mount(join(pool.folder, "cut.img"), "cut");
        const judged = await judgeDisk(copy.folder, promised, `boot-${cut}`);
        for (const kind of ["lost", "orphans", "dangling", "wrong"] as const)
          found[kind].push(...judged[kind].map((text) => `cut ${cut}: ${text}`));
        promises += [...promised.values()].reduce((sum, count) => sum + count, 0);
        const ages = await Promise.all(
          CAMERAS.map(async (id) => {
            const row = judged.newest.find(({ camera: of }) => of === id);
            const sentUtcUs = row === undefined ? undefined : (await readRecording(row.path)).frames.at(-1)?.sentUtcUs;
            return sentUtcUs === undefined ? null : cutUtcMs - (sentUtcUs / 1000 + PICTURE_MS);
          }),
        );
        ages.forEach((age, index) => {
          if (age === null) found.lost.push(`cut ${cut}: no picture of ${CAMERAS[index]}`);
          else {
            lostMs.push(Math.round(age));
            lostWithoutSyncMs.push(Math.round(age - lastSyncMs));
          }
        });
        if (cut % PRODUCT_EVERY === 0) {
          productStarts++;
          for (const { path } of judged.newest) {
            const said = await ffprobeComplaints(path);
            if (said !== "") found.unplayable.push(`cut ${cut}: ${path}: ${said}`);
          }
          found.wrong.push(...(await startProduct(`${name}-next`, copy)).map((text) => `cut ${cut}: ${text}`));
        }
        await copy.unmount();
        deleted += forgetOld(box, cutUtcMs - PROMISES_KEPT_MS);
        progress(`cut ${cut}/${cuts}: at most ${Math.max(...lostMs.slice(-CAMERAS.length))} ms lost, sync ${lastSyncMs} ms`);
      }
      return { cuts, promisedFragments: promises, ...found, lostMs, lostWithoutSyncMs, syncMs, productStarts, deleted };
    } finally {
      await box.end("SIGKILL");
    }
  } finally {
    await camera.stop();
    await rig.close();
  }
}

/** What the newest group sync took. */
async function syncTimeMs(box: Box): Promise<number> {
  const [status] = await box.json<{ readonly engine: Readonly<Record<string, number>> }>("status");
  return Math.round((status?.engine["sync_last_us"] ?? Number.NaN) / 1000);
}

/** Drops old lines of the log; returns the segments that were deleted by them. */
function forgetOld(box: Box, beforeUtcMs: number): number {
  const isOld = (line: LogLine): boolean => Date.parse(line.time) < beforeUtcMs;
  const deleted = box.log
    .filter((line) => isOld(line) && line.event === "ring.deleted")
    .reduce((sum, line) => sum + Number(line["segments"]), 0);
  const kept = box.log.filter((line) => !isOld(line));
  box.log.splice(0, box.log.length, ...kept);
  return deleted;
}

/** The whole product on a disk that was cut off: it starts, lists, and `check` finds nothing. */
async function startProduct(name: string, disk: Mount): Promise<string[]> {
  const box = await Box.create({ name, roots: [join(disk.folder, MEDIA)], stateDir: join(disk.folder, STATE), reserve: "1MB" });
  try {
    await box.serve(WITH_PARENT);
    const listed = (await box.list()).filter(({ kind }) => kind === "segment").length;
    await box.end();
    const { code, stdout, stderr } = await box.run("check", "--deep", "--json");
    return [...(listed === 0 ? ["nothing is listed"] : []), ...(code === 0 ? [] : [stdout + stderr])];
  } finally {
    await box.end("SIGKILL");
    await rm(box.dir, { recursive: true, force: true });
  }
}
