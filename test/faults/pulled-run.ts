import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Box, sleepMs, until } from "../e2e/box.ts";
import { segmentFiles } from "../e2e/segments.ts";
import { startCameraProcess } from "./camera-process.ts";
import { DiskRig, type Mount } from "./disks/disk-rig.ts";
import { brokenPromises, type ExaminedFile, examineFile, promisedFragments } from "./promises.ts";
import { progress } from "./proof.ts";
import { pullDisk } from "./pull-disk.ts";
import { seededRandom } from "./rng.ts";
import { findStrays, strayLines } from "./strays.ts";

export interface PulledReport {
  readonly pulls: number;
  readonly kills: number;
  readonly reportedFragments: number;
  /** What lay in the folder of a disk that was not there; must be empty. */
  readonly writtenBelow: readonly string[];
  /** Segments that hold fewer fragments than were reported durable; must be empty. */
  readonly lost: readonly string[];
  /** Files that a player or our reader complains about; must be empty. */
  readonly unplayable: readonly string[];
  /** Runs with pictures missing between their first and last one; must be empty. */
  readonly holes: readonly string[];
  /** Files without rows, rows without files, and files left growing; must be empty. */
  readonly strays: readonly string[];
  /** What `check --deep` found at the end; must be empty. */
  readonly findings: readonly string[];
  /** From the end of the pull until the root was left. */
  readonly leftMs: readonly number[];
  /** From the end of the mount until the root was present again. */
  readonly enteredMs: readonly number[];
}

export interface PulledOptions {
  readonly name: string;
  /** Times that a disk is pulled or put back. */
  readonly count: number;
  /** Share of them before which the recorder is killed. */
  readonly killShare: number;
  readonly seed: number;
}

const CAMERAS = ["cam1", "cam2", "cam3"];
const DISKS = ["one", "two"];
const DISK_BYTES = 512 << 20;
/** Moves are spread over so long: some find the root before the last one not yet left or entered. */
const PAUSE_MS = 3000;

interface Disk {
  readonly name: string;
  readonly image: string;
  readonly folder: string;
  mount: Mount | null;
}

/** Records three cameras on two disks that are pulled and put back at random, also both at a time, and kills the recorder in between. */
export async function pulledRun({ name, count, killShare, seed }: PulledOptions): Promise<PulledReport> {
  const random = seededRandom(seed);
  const rig = await DiskRig.open(name, { memoryBytes: 2 * DISK_BYTES });
  const camera = await startCameraProcess(["--streams", String(CAMERAS.length), "--bitrate", "2000000", "--audio", "none"]);
  let box: Box | null = null;
  try {
    const disks = await Promise.all(DISKS.map((disk) => makeDisk(rig, disk)));
    box = await Box.create({ name, roots: disks.map(({ folder }) => folder), reserve: "8MB", segment: "5s" });
    let startedUtcMs = Date.now();
    await box.serve();
    for (const id of CAMERAS) await box.add(id, camera.urls[id] ?? "");
    await durable(box);
    const writtenBelow: string[] = [];
    const leftMs: number[] = [];
    const enteredMs: number[] = [];
    let kills = 0;
    for (let move = 0; move < count; move += 1) {
      if (random() < killShare) {
        kills += 1;
        await box.end("SIGKILL");
        startedUtcMs = Date.now();
        await box.serve();
      }
      const disk = disks[Math.floor(random() * disks.length)];
      if (disk === undefined) continue;
      const { folder } = disk;
      if (disk.mount === null) {
        const entered = lineOf(box, "root.entered", folder);
        disk.mount = await rig.mount(disk.image, disk.name);
        const mountedMs = Date.now();
        enteredMs.push(Math.max(0, (await entered) - mountedMs));
      } else {
        const left = lineOf(box, "root.left", folder);
        const pulledMs = await pullDisk(box, folder);
        disk.mount = null;
        leftMs.push(Math.max(0, (await left) - pulledMs));
      }
      progress(`${move + 1}/${count}, ${kills} kills: ${disks.filter(({ mount }) => mount !== null).length} of ${disks.length} disks`);
      await sleepMs(random() * PAUSE_MS);
      for (const { folder: below } of disks.filter(({ mount }) => mount === null)) {
        writtenBelow.push(...(await readdir(below)).map((entry) => join(below, entry)));
      }
    }
    for (const disk of disks) disk.mount ??= await rig.mount(disk.image, disk.name);
    await until("both disks to be used", async () => ((await rootsOf(box)) === disks.length ? true : null));
    await durable(box);
    const strays = strayLines(await findStrays(box, startedUtcMs));
    await box.end();
    const check = await box.run("check", "--deep", "--json");
    const findings = check.code === 0 ? [] : `${check.stdout}${check.stderr}`.split("\n").filter((line) => line !== "");
    const promised = promisedFragments(box.log);
    const files: ExaminedFile[] = [];
    for (const disk of disks) for (const path of await segmentFiles(disk.folder)) files.push(await examineFile(path));
    return {
      pulls: leftMs.length,
      kills,
      reportedFragments: [...promised.values()].reduce((sum, fragments) => sum + fragments, 0),
      writtenBelow,
      lost: brokenPromises(promised, files),
      unplayable: files.flatMap(({ path, complaints }) => complaints.map((complaint) => `${path}: ${complaint}`)),
      holes: holesOf(files),
      strays,
      findings,
      leftMs,
      enteredMs,
    };
  } finally {
    await box?.end("SIGKILL");
    await camera.stop();
    await rig.close();
  }
}

async function makeDisk(rig: DiskRig, name: string): Promise<Disk> {
  const image = await rig.image(join(rig.folder, `${name}.img`), DISK_BYTES, "ext4");
  const mount = await rig.mount(image, name);
  return { name, image, folder: mount.folder, mount };
}

/** When the service writes of this root, from now on. */
async function lineOf(box: Box, event: string, root: string): Promise<number> {
  const line = await box.next((candidate) => candidate.event === event && candidate["root"] === root, 30_000);
  return Date.parse(line.time);
}

/** Each camera has made media durable, from now on. */
async function durable(box: Box): Promise<void> {
  await Promise.all(CAMERAS.map((id) => box.next((line) => line.event === "fragment.durable" && line["camera"] === id, 30_000)));
}

async function rootsOf(box: Box | null): Promise<number> {
  const [status] = (await box?.json<{ readonly roots: readonly unknown[] }>("status")) ?? [];
  return status?.roots.length ?? 0;
}

/** The camera counts the pictures of each connection, and a run is what one connection gave. */
function holesOf(files: readonly ExaminedFile[]): string[] {
  const runs = Map.groupBy(files, ({ key }) => key.slice(0, key.indexOf("/")));
  return [...runs].flatMap(([run, segments]) => {
    const spans = segments.flatMap(({ pictures }) => pictures ?? []).sort((a, b) => a.first - b.first);
    let last = spans[0]?.last ?? 0;
    const holes: string[] = [];
    for (const span of spans) {
      if (span.first > last + 1) holes.push(`${run}: pictures ${last + 1} to ${span.first - 1}`);
      last = Math.max(last, span.last);
    }
    return holes;
  });
}
