import { mkdir, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { loadAddon } from "../../src/engine/loader.ts";
import type { SegmentScan } from "../../src/engine/types.ts";
import { Box, type ListedRow, until } from "../e2e/box.ts";
import { ffmpegDecode, ffprobeComplaints, gstreamerDecode, scan, segmentFiles } from "../e2e/segments.ts";
import { startCameraProcess } from "./camera-process.ts";
import { DiskRig } from "./disks/disk-rig.ts";
import { seededRandom } from "./rng.ts";

/** Small enough that every byte of a fragment can be cut off in minutes. */
const BITRATE_BPS = 150_000;
const PICTURES_PER_SECOND = 25;
const BLOCK_BYTES = 4096;
/** A tail of noise is tried at one of so many cuts. */
const NOISE_EVERY = 4;
const RECOVERED_AT_ONCE = 4;

export interface TornOptions {
  readonly name: string;
  readonly seed: number;
  /** Distance of the cuts, in bytes: 1 for every one. */
  readonly step: number;
  /** Lives of the service, each begun on the torn files of four cameras. */
  readonly starts: number;
}

export interface TornReport {
  /** Files whose end was missing, zero or noise, by how. */
  readonly cases: Readonly<Record<string, number>>;
  readonly bytesOfLastFragment: number;
  readonly bytesOfSeal: number;
  /** Recovered files that are not, byte for byte, one of the two that were played; must be empty. */
  readonly wrong: readonly string[];
  /** What players said of those two, and pictures that are missing; must be empty. */
  readonly unplayable: readonly string[];
  /** Torn files that a service found at its start, and what its listing and `check` said against; the latter must be empty. */
  readonly startedOn: number;
  readonly listing: readonly string[];
}

/** Tears the end of a recorded file at every byte, in every way a power cut can, and recovers it. Needs root: it works in a tmpfs. */
export async function tornRun({ name, seed, step, starts }: TornOptions): Promise<TornReport> {
  const random = seededRandom(seed);
  const rig = await DiskRig.open(name, { memoryBytes: 512 << 20 });
  try {
    const camera = await startCameraProcess(["--streams", "4", "--bitrate", String(BITRATE_BPS), "--audio", "pcma"]);
    try {
      const whole = await recordOne(name, camera.urls["cam1"] ?? "");
      const bench = await TearBench.open(join(rig.folder, "root"), whole);
      const { unplayable, wrong, cases } = await tearEverywhere(bench, step, random);
      const { startedOn, listing } = await startOnTorn(name, camera.urls, starts, random);
      return {
        cases,
        bytesOfLastFragment: bench.lastBytes,
        bytesOfSeal: whole.bytes.length - bench.sealAt,
        wrong,
        unplayable,
        startedOn,
        listing,
      };
    } finally {
      await camera.stop();
    }
  } finally {
    await rig.close();
  }
}

interface Recorded {
  readonly bytes: Buffer;
  readonly scan: SegmentScan;
}

/** The first segment of a run: its seal names no segment before, so that recovery can write the same one. */
async function recordOne(name: string, url: string): Promise<Recorded> {
  const box = await Box.create({ name, segment: "4s" });
  try {
    await box.serve();
    await box.add("cam1", url);
    const row = await until(
      "a closed segment",
      async () => (await box.list()).find(({ kind, state }) => kind === "segment" && state === "closed") ?? null,
    );
    const path = row.path ?? "";
    return { bytes: await readFile(path), scan: await scan(path) };
  } finally {
    await box.end("SIGKILL");
  }
}

/** A root on which torn copies of one file are recovered and compared with what they should have become. */
class TearBench {
  readonly #root: string;
  readonly #handle: number;
  /** The sealed file: with all its fragments, and without the last. */
  readonly #all: Buffer;
  readonly #without: Buffer;
  readonly lastAt: number;
  readonly lastBytes: number;
  readonly sealAt: number;

  private constructor(root: string, handle: number, { bytes, scan }: Recorded, without: Buffer) {
    const last = scan.fragments.at(-1);
    if (last === undefined || scan.fragments.length < 2) throw new Error(`the recorded file has ${scan.fragments.length} fragments`);
    this.#root = root;
    this.#handle = handle;
    this.#all = bytes;
    this.#without = without;
    this.lastAt = last.offset;
    this.lastBytes = last.bytes;
    this.sealAt = last.offset + last.bytes;
  }

  static async open(root: string, recorded: Recorded): Promise<TearBench> {
    await mkdir(root);
    const { files } = loadAddon();
    const id = crypto.randomUUID();
    await files.adoptRoot(root, await files.inspectRoot(root), id, "TEST0001");
    const handle = await files.openRoot(root, id);
    const last = recorded.scan.fragments.at(-1);
    // Cut exactly between two fragments: what every tear inside the last one must become.
    const path = join(root, "between.mp4.open");
    await writeFile(path, recorded.bytes.subarray(0, last?.offset));
    await files.recoverSegment(handle, path);
    return new TearBench(root, handle, recorded, await readFile(path));
  }

  get bytes(): Buffer {
    return this.#all;
  }

  /** Recovers a file of these bytes; says what is wrong with the result, null if nothing. */
  async recover(label: string, torn: Uint8Array, keepsLast: boolean): Promise<string | null> {
    const path = join(this.#root, `${label}.mp4.open`);
    await writeFile(path, torn);
    const found = await loadAddon().files.recoverSegment(this.#handle, path);
    const is = await readFile(path);
    await rm(path);
    if (!found.sealed || found.problems.length > 0) return `${label}: sealed ${found.sealed}, ${found.problems.join("; ")}`;
    return is.equals(keepsLast ? this.#all : this.#without) ? null : `${label}: ${is.length} bytes, ${found.fragments.length} fragments`;
  }

  /** What players make of the two files that all tears must become. */
  async play(): Promise<string[]> {
    const said: string[] = [];
    for (const [which, bytes] of [["all fragments", this.#all] as const, ["without the last", this.#without] as const]) {
      const path = join(this.#root, "played.mp4");
      await writeFile(path, bytes);
      const { fragments, problems } = await scan(path);
      const pictures = Math.round((fragments.reduce((sum, { durationMs }) => sum + durationMs, 0) * PICTURES_PER_SECOND) / 1000);
      const [probed, ffmpeg, gstreamer] = [await ffprobeComplaints(path), await ffmpegDecode(path), await gstreamerDecode(path)];
      for (const complaint of [...problems, probed, ffmpeg.complaints, gstreamer.complaints]) {
        if (complaint !== "") said.push(`${which}: ${complaint}`);
      }
      if (ffmpeg.frames !== pictures || gstreamer.frames !== pictures) {
        said.push(`${which}: ${pictures} pictures, ffmpeg plays ${ffmpeg.frames}, GStreamer ${gstreamer.frames}`);
      }
    }
    return said;
  }
}

const range = (from: number, to: number, step: number): number[] =>
  Array.from({ length: Math.ceil((to - from) / step) }, (_, index) => from + index * step);

const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

async function tearEverywhere(bench: TearBench, step: number, random: () => number) {
  const wrong: string[] = [];
  const cases: Record<string, number> = {};
  const { bytes, lastAt, sealAt } = bench;
  const noise = Buffer.from(Uint8Array.from({ length: bytes.length }, () => Math.floor(random() * 256)));
  const pending: Promise<void>[] = [];
  const recover = async (kind: string, at: number, torn: Uint8Array, keepsLast: boolean) => {
    cases[kind] = (cases[kind] ?? 0) + 1;
    const complaint = await bench.recover(`${kind}-${at}`, torn, keepsLast);
    if (complaint !== null) wrong.push(complaint);
  };
  const queue = async (...task: Parameters<typeof recover>) => {
    pending.push(recover(...task));
    if (pending.length >= RECOVERED_AT_ONCE) await Promise.all(pending.splice(0));
  };
  const cuts = [...range(lastAt, sealAt, step), ...range(sealAt, bytes.length, step)];
  for (const [cut, at] of cuts.entries()) {
    const where = at < sealAt ? "fragment" : "seal";
    const head = bytes.subarray(0, at);
    await queue(`${where} cut`, at, head, at >= sealAt);
    // Zeros in place of zeros take nothing away.
    if (!isZero(bytes.subarray(at))) {
      await queue(`${where} zeros`, at, Buffer.concat([head, Buffer.alloc(bytes.length - at)]), isZero(bytes.subarray(at, sealAt)));
      if (cut % NOISE_EVERY === 0 || at === sealAt)
        await queue(`${where} noise`, at, Buffer.concat([head, noise.subarray(at)]), at >= sealAt);
    }
  }
  // Blocks of a page that never reached the disk, in any place of the last fragment.
  for (let at = lastAt - (lastAt % BLOCK_BYTES) + BLOCK_BYTES; at + BLOCK_BYTES <= sealAt; at += BLOCK_BYTES) {
    await queue("fragment hole", at, Buffer.from(bytes.subarray(0, sealAt)).fill(0, at, at + BLOCK_BYTES), false);
  }
  await Promise.all(pending);
  return { wrong, cases, unplayable: await bench.play() };
}

/** Tears every segment of a service that was killed, and begins the next life on them; its listing must name each, and `check` find nothing. */
async function startOnTorn(name: string, urls: Readonly<Record<string, string>>, starts: number, random: () => number) {
  const listing: string[] = [];
  let startedOn = 0;
  for (let round = 0; round < starts; round++) {
    const box = await Box.create({ name: `${name}-start`, segment: "1s" });
    const ids = Object.keys(urls);
    try {
      await box.serve();
      for (const id of ids) await box.add(id, urls[id] ?? "");
      const enough = (rows: readonly ListedRow[]) => ids.every((id) => closedOf(rows, id) >= 3);
      await until("three segments of each camera", async () => (enough(await box.list()) ? true : null));
      await box.end("SIGKILL");
      // Without its catalog the service knows of these files what they say themselves.
      for (const suffix of ["", "-wal", "-shm"]) await rm(join(box.dir, "state", `catalog.db${suffix}`), { force: true });
      const expected = new Map<string, number>();
      for (const path of await segmentFiles(box.roots[0] ?? "")) {
        const torn = await tearFile(path, random);
        if (torn !== null) expected.set(torn.key, torn.fragments);
      }
      startedOn += expected.size;
      await box.serve();
      const rows = (await box.list()).filter(({ kind }) => kind === "segment");
      for (const [key, fragments] of expected) {
        const row = rows.find(({ run, sequence }) => `${run}-${sequence}` === key);
        if (row?.path === undefined) listing.push(`${key}: not listed`);
        else {
          const { fragments: held, problems, sealed } = await scan(row.path);
          if (!sealed || problems.length > 0 || held.length !== fragments)
            listing.push(`${key}: ${held.length} of ${fragments} fragments, ${problems.join("; ")}`);
        }
      }
      await box.end();
      const check = await box.run("check", "--deep", "--json");
      if (check.code !== 0) listing.push(`check: ${check.stdout}${check.stderr}`);
    } finally {
      await box.end("SIGKILL");
    }
  }
  return { startedOn, listing };
}

const closedOf = (rows: readonly ListedRow[], id: string): number =>
  rows.filter(({ kind, camera, state }) => kind === "segment" && camera === id && state === "closed").length;

/** Makes a closed file one that still grew, torn at a random byte behind its first fragment; null for one of a single fragment. */
async function tearFile(path: string, random: () => number): Promise<{ readonly key: string; readonly fragments: number } | null> {
  const { head, fragments } = await scan(path);
  const [first, last] = [fragments[0], fragments.at(-1)];
  if (head === null || first === undefined || last === undefined || first === last) return null;
  const key = `${head.run}-${head.sequence}`;
  const from = first.offset + first.bytes;
  const at = from + Math.floor(random() * (last.offset + last.bytes - from));
  const grown = join(dirname(path), `${key}.mp4.open`);
  if (basename(path) !== basename(grown)) await rename(path, grown);
  const file = await open(grown, "r+");
  await file.truncate(at);
  // Half of them keep their length: the file system had grown them, but not yet written.
  if (random() < 0.5) await file.truncate(last.offset + last.bytes);
  await file.sync();
  await file.close();
  return { key, fragments: fragments.filter(({ offset, bytes }) => offset + bytes <= at).length };
}
