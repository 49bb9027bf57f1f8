import { constants, copyFileSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Box, type LogLine, sleepMs, until } from "../e2e/box.ts";
import { CLIP_FPS } from "../fakes/camera/clip.ts";
import { readRecording } from "../fakes/frames.ts";
import { startCameraProcess } from "./camera-process.ts";
import { judgeDisk, MEDIA, STATE } from "./disk-judge.ts";
import { DiskRig, WITH_PARENT } from "./disks/disk-rig.ts";
import { startProduct } from "./product-start.ts";
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
/** Each so many cuts the whole product starts on a copy of its own as well, and a player looks at the newest files. */
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
  /** By cut and camera: media that is gone, from the end of the newest picture that is left to the cut (and what the copy took, milliseconds). */
  readonly lostMs: readonly number[];
  /** The same, less what the last group sync before the cut took or the one that went on at the cut, whichever took longer. */
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
        const [cutImage, productImage] = [join(pool.folder, `cut-${cut}.img`), join(pool.folder, `product-${cut}.img`)];
        const before = await lastSync(box);
        const promised = promisedFragments(box.log);
        copyByReference(image, cutImage);
        const cutUtcMs = Date.now();
        const syncAfter = nextSync(box, before);
        if (cut % PRODUCT_EVERY === 0) copyByReference(cutImage, productImage);
        const copy = await rig.mount(cutImage, "cut");
        const [after, judged] = await Promise.all([syncAfter, judgeDisk(copy.folder, promised, `boot-${cut}`)]);
        for (const kind of ["lost", "orphans", "dangling", "wrong"] as const)
          found[kind].push(...judged[kind].map((text) => `cut ${cut}: ${text}`));
        promises += [...promised.values()].reduce((sum, count) => sum + count, 0);
        const aroundMs = Math.max(before.tookMs, after.tookMs);
        syncMs.push(aroundMs);
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
            lostWithoutSyncMs.push(Math.round(age - aroundMs));
          }
        });
        await copy.unmount();
        await rm(cutImage);
        if (cut % PRODUCT_EVERY === 0) {
          productStarts++;
          // As the cut left it: the other copy has been recovered by now.
          const untouched = await rig.mount(productImage, "product");
          const product = await startProduct(`${name}-next`, untouched.folder, CAMERAS, promised);
          for (const kind of ["lost", "unplayable", "wrong"] as const) {
            found[kind].push(...product[kind].map((text) => `cut ${cut}, product: ${text}`));
          }
          await untouched.unmount();
          await rm(productImage);
        }
        deleted += forgetOld(box, cutUtcMs - PROMISES_KEPT_MS);
        progress(`cut ${cut}/${cuts}: at most ${Math.max(...lostMs.slice(-CAMERAS.length))} ms lost, sync ${aroundMs} ms`);
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

/**
 * To a file that is new: one that was mounted may still be, in another mount namespace, and would be shown as it was then.
 * In this process, so that the instant is known to some milliseconds on a busy machine too.
 */
function copyByReference(from: string, to: string): void {
  copyFileSync(from, to, constants.COPYFILE_FICLONE_FORCE);
}

interface GroupSync {
  readonly groups: number;
  readonly tookMs: number;
}

/** The newest group sync that has ended. */
async function lastSync(box: Box): Promise<GroupSync> {
  const response = await fetch("http://easyrms/api/v1/status", { unix: join(box.dir, "api.sock") });
  const { engine } = (await response.json()) as { readonly engine: Readonly<Record<string, number>> };
  return { groups: engine["sync_groups"] ?? Number.NaN, tookMs: Math.round((engine["sync_last_us"] ?? Number.NaN) / 1000) };
}

/** The group sync that went on at the cut, or the next one. */
async function nextSync(box: Box, before: GroupSync): Promise<GroupSync> {
  for (;;) {
    await box.next((line) => line.event === "fragment.durable", 30_000);
    const sync = await lastSync(box);
    if (sync.groups > before.groups) return sync;
  }
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
