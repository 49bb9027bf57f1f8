import { closeSync, openSync, writeSync } from "node:fs";
import { mkdir, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { Box, runProgram, sleepMs } from "../e2e/box.ts";
import { startCameraProcess } from "./camera-process.ts";
import { judgeDisk, MEDIA, STATE } from "./disk-judge.ts";
import type { BlockDevice } from "./disks/block-device.ts";
import { command, DiskRig, WITH_PARENT } from "./disks/disk-rig.ts";
import { type Operation, readOperations } from "./disks/operations.ts";
import { promisedFragments } from "./promises.ts";
import { progress } from "./proof.ts";
import { seededRandom } from "./rng.ts";

const CAMERAS = ["cam1", "cam2", "cam3", "cam4"];
const BITRATE_BPS = 1_000_000;
const DISK_BYTES = 96 << 20;
/** What databases and recordings may take until the oldest are deleted: more than ten seconds, far beyond the promises that are kept. */
const RECORDINGS_BYTES = 20_000_000;
/** Promises as old as this may have been deleted since. */
const PROMISES_KEPT_MS = 5000;
const FINDINGS = ["lost", "orphans", "dangling", "wrong"] as const;
type Finding = (typeof FINDINGS)[number];
type Write = Operation & { readonly kind: "write" };
const SECTOR_BYTES = 512;
/** Highest exit code of e2fsck(8) that says that nothing is left to repair; 2 asks for a boot. */
const REPAIRED = 3;
/** Of the writes that a volatile cache holds, so many reach the medium, and so many of these in part. */
const KEPT = 0.5;
const TORN = 0.2;

export interface DrivecacheOptions {
  readonly name: string;
  readonly seed: number;
  /** For how long the workload is recorded. */
  readonly seconds: number;
  /** States of the disk with a random part of the unflushed writes. */
  readonly subsets: number;
  /** Each so many writes the state after it is judged; 1 for every one. */
  readonly prefixStep: number;
}

export interface DrivecacheReport {
  readonly writes: number;
  readonly flushes: number;
  readonly prefixes: number;
  readonly subsets: number;
  readonly promisedFragments: number;
  /** All must be empty. */
  readonly lost: readonly string[];
  readonly orphans: readonly string[];
  readonly dangling: readonly string[];
  readonly wrong: readonly string[];
  /** Most writes that were not flushed at one time. */
  readonly mostUnflushed: number;
  /** States that ext4 mounted only after e2fsck. */
  readonly repaired: number;
}

/** What a mark in the recorded operations tells: fragments reported durable before it. */
interface DurableMark {
  readonly utcMs: number;
  readonly key: string;
  readonly fragments: number;
}

/**
 * Records four cameras to a disk of our own that keeps a log of its writes and flushes, then builds the disks that a power cut could have
 * left of a volatile cache, and judges each. Needs root.
 */
export async function drivecacheRun(options: DrivecacheOptions): Promise<DrivecacheReport> {
  const { name, seed, seconds } = options;
  const rig = await DiskRig.open(name, { memoryBytes: 3 * 2 ** 30 });
  try {
    const pool = await rig.mount(await rig.image(join(rig.folder, "pool.img"), 2 * 2 ** 30, "xfs"), "pool");
    const image = await rig.image(join(pool.folder, "disk.img"), DISK_BYTES, "ext4");
    const before = join(pool.folder, "before.img");
    await command("cp", "--reflink=always", image, before);
    const device = await rig.blockDevice(image, "block", { record: true });
    const disk = await rig.mount(device.file, "disk");
    await record(name, device, disk.folder, seconds);
    await disk.unmount();
    await device.stop();
    const operations = readOperations(device.log ?? "");
    return await new Replay(rig, pool.folder, before, seededRandom(seed)).judgeAll(operations, options);
  } finally {
    await rig.close();
  }
}

/** Ends with a kill; what the file system writes after the mark "end" is no part of the proof. */
async function record(name: string, device: BlockDevice, folder: string, seconds: number): Promise<void> {
  const camera = await startCameraProcess(["--streams", "4", "--bitrate", String(BITRATE_BPS), "--audio", "pcma"]);
  await mkdir(join(folder, STATE), { mode: 0o700 });
  await mkdir(join(folder, MEDIA));
  const { bavail, bsize } = await statfs(folder);
  const box = await Box.create({
    name,
    segment: "2s",
    reserve: `${bavail * bsize - RECORDINGS_BYTES}B`,
    roots: [join(folder, MEDIA)],
    stateDir: join(folder, STATE),
  });
  try {
    await box.serve(WITH_PARENT);
    for (const id of CAMERAS) await box.add(id, camera.urls[id] ?? "");
    const endsUtcMs = Date.now() + seconds * 1000;
    let marked = 0;
    while (Date.now() < endsUtcMs) {
      const fresh = box.log.slice(marked);
      marked += fresh.length;
      for (const [key, fragments] of promisedFragments(fresh)) {
        await device.order({ mark: JSON.stringify({ utcMs: Date.now(), key, fragments } satisfies DurableMark) });
      }
      await sleepMs(20);
    }
    await device.order({ mark: "end" });
    if (!box.log.some(({ event }) => event === "ring.deleted")) throw new Error("nothing was deleted");
  } finally {
    await box.end("SIGKILL");
    await camera.stop();
  }
}

/** Applies recorded operations to the image from before them. */
class Replay {
  readonly #rig: DiskRig;
  readonly #folder: string;
  readonly #base: string;
  readonly #random: () => number;
  readonly #found: Record<Finding, string[]> = { lost: [], orphans: [], dangling: [], wrong: [] };
  #states = 0;
  #repaired = 0;
  #promised = 0;

  constructor(rig: DiskRig, folder: string, base: string, random: () => number) {
    this.#rig = rig;
    this.#folder = folder;
    this.#base = base;
    this.#random = random;
  }

  async judgeAll(all: readonly Operation[], { subsets, prefixStep }: DrivecacheOptions): Promise<DrivecacheReport> {
    const end = all.findIndex((operation) => operation.kind === "mark" && operation.text === "end");
    const operations = all.slice(0, end);
    const writes = operations.filter(({ kind }) => kind === "write").length;
    const flushed = join(this.#folder, "flushed.img");
    await command("cp", "--reflink=always", this.#base, flushed);
    let unflushed: Write[] = [];
    const promises: DurableMark[] = [];
    let [written, flushes, prefixes, drawn, mostUnflushed] = [0, 0, 0, 0, 0];
    for (const operation of operations) {
      if (operation.kind === "mark") {
        promises.push(JSON.parse(operation.text) as DurableMark);
      } else if (operation.kind === "flush") {
        flushes++;
        apply(flushed, unflushed);
        unflushed = [];
      } else {
        written++;
        unflushed.push(operation);
        mostUnflushed = Math.max(mostUnflushed, unflushed.length);
        const required = recent(promises);
        if (written % prefixStep === 0) {
          prefixes++;
          await this.#judge(`after write ${written}`, flushed, unflushed, required);
        }
        for (; drawn < Math.floor((subsets * written) / writes); drawn++) {
          await this.#judge(`after write ${written}, subset ${drawn}`, flushed, this.#draw(unflushed), required);
        }
        if (written % 50 === 0) progress(`${written} of ${writes} writes: ${prefixes} prefixes and ${drawn} subsets judged`);
      }
    }
    return {
      writes,
      flushes,
      prefixes,
      subsets: drawn,
      promisedFragments: this.#promised,
      ...this.#found,
      mostUnflushed,
      repaired: this.#repaired,
    };
  }

  /** What of a volatile cache reached the medium: some writes, in any order, some of these in part. */
  #draw(unflushed: readonly Write[]) {
    return unflushed.flatMap((write) => {
      if (!write.fua && this.#random() >= KEPT) return [];
      if (write.fua || this.#random() >= TORN) return [write];
      const sectors = Math.ceil(write.data.length / SECTOR_BYTES);
      return Array.from({ length: sectors }, (_, at) => at * SECTOR_BYTES)
        .filter(() => this.#random() < KEPT)
        .map((at) => ({ ...write, offset: write.offset + at, data: write.data.subarray(at, at + SECTOR_BYTES) }));
    });
  }

  async #judge(label: string, flushed: string, writes: readonly Write[], promised: ReadonlyMap<string, number>) {
    this.#states++;
    // A file that was mounted may still be, in another mount namespace, and would be shown as it was then.
    const image = join(this.#folder, `state-${this.#states}.img`);
    await command("cp", "--reflink=always", flushed, image);
    apply(image, writes);
    this.#promised += [...promised.values()].reduce((sum, count) => sum + count, 0);
    const note = (kind: Finding, texts: readonly string[]) => this.#found[kind].push(...texts.map((text) => `${label}: ${text}`));
    try {
      const disk = await this.#rig.mount(image, "state").catch(async () => {
        // A superblock torn between its sectors: what a box runs on a file system that does not mount.
        this.#repaired++;
        const { code, stdout } = await runProgram("e2fsck", ["-y", image]);
        if (code === null || code > REPAIRED) throw new Error(`e2fsck: exit ${code}: ${stdout}`);
        return this.#rig.mount(image, "state");
      });
      try {
        const judged = await judgeDisk(disk.folder, promised, `boot-${this.#states}`);
        for (const kind of FINDINGS) note(kind, judged[kind]);
      } finally {
        await disk.unmount();
      }
    } catch (error) {
      note("wrong", [String(error)]);
    }
    await rm(image);
  }
}

function apply(image: string, writes: readonly Write[]): void {
  const file = openSync(image, "r+");
  for (const { data, offset } of writes) writeSync(file, data, 0, data.length, offset);
  closeSync(file);
}

/** By segment: what the marks so far promise, without what may have been deleted since. */
function recent(promises: readonly DurableMark[]): Map<string, number> {
  const newestUtcMs = promises.at(-1)?.utcMs ?? 0;
  return new Map(promises.filter(({ utcMs }) => utcMs > newestUtcMs - PROMISES_KEPT_MS).map(({ key, fragments }) => [key, fragments]));
}
