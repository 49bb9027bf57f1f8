/** `./build.sh prove stranger [--seconds N] [--megabytes N]`: a small file system that a stranger fills loses recordings from the oldest end only. */
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Box, until } from "../e2e/box.ts";
import { startCameraProcess } from "./camera-process.ts";
import { conclude, numberFlags, progress } from "./proof.ts";
import { holes, recording } from "./ring-run.ts";

const { seconds, megabytes } = numberFlags({ seconds: 240, megabytes: 256 });
const RESERVE_BYTES = 24_000_000;
const FILL_STEP_BYTES = 4_000_000;
const CAMERAS = ["cam1", "cam2", "cam3", "cam4"];

const folder = join(import.meta.dirname, "..", "..", "var", "test", "stranger-disk");
const image = `${folder}.img`;
const sh = (command: string, ...args: string[]) => execFileSync(command, args, { stdio: ["ignore", "ignore", "inherit"] });

mkdirSync(folder, { recursive: true });
sh("truncate", "-s", `${megabytes}M`, image);
sh("mkfs.ext4", "-q", "-F", "-m", "0", image);
sh("mount", "-o", "loop", image, folder);
const camera = await startCameraProcess(["--streams", "4", "--bitrate", "4000000", "--audio", "pcma"]);
const box = await Box.create({ name: "stranger", reserve: `${RESERVE_BYTES / 1_000_000}MB`, roots: [join(folder, "media")] });
let leastAvailable = Number.POSITIVE_INFINITY;
let strangerBytes = 0;
try {
  await box.serve();
  for (const id of CAMERAS) await box.add(id, camera.urls[id] ?? "");
  await until("all cameras recording", async () => (recording(box) === CAMERAS.length ? true : null));
  const started = Date.now();
  const fillUntil = megabytes * 500_000;
  while (Date.now() - started < seconds * 1000) {
    const { bavail, bsize } = await statfs(folder);
    leastAvailable = Math.min(leastAvailable, bavail * bsize);
    // The stranger takes half the disk, as fast as a download.
    if (strangerBytes < fillUntil && Date.now() - started > 30_000) {
      await writeFile(join(folder, `stranger-${strangerBytes}`), Buffer.alloc(FILL_STEP_BYTES, 1));
      strangerBytes += FILL_STEP_BYTES;
      if (strangerBytes % 20_000_000 === 0) progress(`stranger has ${strangerBytes / 1e6} MB, ${(bavail * bsize) / 1e6} MB are free`);
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  const gaps = holes(await box.list());
  const deleted = box.log.reduce((sum, line) => sum + (line.event === "ring.deleted" ? Number(line["segments"]) : 0), 0);
  await box.end();
  const check = await box.run("check", "--deep", "--json");
  await finish();
  conclude({
    holds: gaps.length === 0 && deleted > 0 && leastAvailable > 0 && check.code === 0,
    seconds,
    diskBytes: megabytes * 1024 * 1024,
    strangerBytes,
    reserveBytes: RESERVE_BYTES,
    leastAvailableBytes: leastAvailable,
    gaps,
    deleted,
    check: check.stdout.trim(),
  });
} finally {
  await finish();
}

async function finish(): Promise<void> {
  await box.end("SIGKILL");
  await camera.stop();
  try {
    sh("umount", folder);
    rmSync(image);
    rmSync(folder, { recursive: true });
  } catch {
    // Done already.
  }
}
