import { statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Box, until } from "../e2e/box.ts";
import { startCameraProcess } from "./camera-process.ts";
import { DiskRig, WITH_PARENT } from "./disks/disk-rig.ts";
import { progress } from "./proof.ts";
import { holes, recording } from "./ring-run.ts";

const FILL_STEP_BYTES = 4_000_000;
const CAMERAS = ["cam1", "cam2", "cam3", "cam4"];

export interface StrangerOptions {
  readonly name: string;
  readonly seconds: number;
  readonly diskBytes: number;
  readonly reserveBytes: number;
  readonly bitrateBps: number;
  /** When the stranger begins, seconds after all cameras record. */
  readonly fillAfterSeconds: number;
}

export interface StrangerReport {
  readonly strangerBytes: number;
  /** Least free space seen; the recorder must leave some, or the stranger's writes fail. */
  readonly leastAvailableBytes: number;
  /** Missing media; must be empty. */
  readonly gaps: readonly string[];
  readonly deleted: number;
  /** What `check --deep` found; must be empty. */
  readonly findings: readonly unknown[];
}

/** Records four cameras to a small ext4 of which a stranger takes half, 4 MB a second. Needs root: it mounts an image. */
export async function strangerRun(options: StrangerOptions): Promise<StrangerReport> {
  const { name, seconds, diskBytes, reserveBytes, bitrateBps, fillAfterSeconds } = options;
  const rig = await DiskRig.open(name);
  const disk = await rig.mount(await rig.image(join(rig.folder, "disk.img"), diskBytes, "ext4"), "disk");
  const camera = await startCameraProcess(["--streams", "4", "--bitrate", String(bitrateBps), "--audio", "pcma"]);
  const box = await Box.create({ name, reserve: `${reserveBytes / 1_000_000}MB`, roots: [join(disk.folder, "media")] });
  let leastAvailableBytes = Number.POSITIVE_INFINITY;
  let strangerBytes = 0;
  try {
    await box.serve(WITH_PARENT);
    for (const id of CAMERAS) await box.add(id, camera.urls[id] ?? "");
    await until("all cameras recording", async () => (recording(box) === CAMERAS.length ? true : null));
    const started = Date.now();
    while (Date.now() - started < seconds * 1000) {
      const { bavail, bsize } = await statfs(disk.folder);
      leastAvailableBytes = Math.min(leastAvailableBytes, bavail * bsize);
      if (strangerBytes < diskBytes / 2 && Date.now() - started > fillAfterSeconds * 1000) {
        await writeFile(join(disk.folder, `stranger-${strangerBytes}`), Buffer.alloc(FILL_STEP_BYTES, 1));
        strangerBytes += FILL_STEP_BYTES;
        if (strangerBytes % 20_000_000 === 0) progress(`the stranger has ${strangerBytes / 1e6} MB, ${(bavail * bsize) / 1e6} MB are free`);
      }
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    const gaps = holes(await box.list());
    const deleted = box.log.reduce((sum, line) => sum + (line.event === "ring.deleted" ? Number(line["segments"]) : 0), 0);
    await box.end();
    const check = await box.run("check", "--deep", "--json");
    const { findings } = JSON.parse(check.stdout) as { findings: unknown[] };
    return { strangerBytes, leastAvailableBytes, gaps, deleted, findings };
  } finally {
    await box.end("SIGKILL");
    await camera.stop();
    await rig.close();
  }
}
