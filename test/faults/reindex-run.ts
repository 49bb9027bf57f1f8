import { copyFile, link, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import sqlite3 from "sqlite3";
import { Connection } from "../../src/store/database.ts";
import { SiteZone, segmentFile, streamName } from "../../src/store/paths.ts";
import { Box, until } from "../e2e/box.ts";
import { segmentFiles } from "../e2e/segments.ts";
import { type Dump, dumpCatalog } from "../store/dump.ts";
import { type CameraProcess, startCameraProcess } from "./camera-process.ts";
import { DiskRig } from "./disks/disk-rig.ts";
import { HistoryStore, placesOf, SERIAL, writeHistory } from "./history.ts";
import { progress } from "./proof.ts";
import { seededRandom } from "./rng.ts";
import { SegmentMint } from "./segment-mint.ts";

export interface ReindexRunOptions {
  readonly name: string;
  readonly seed: number;
  /** Files of the box that is rebuilt. */
  readonly segments: number;
  /** Catalogs with flipped bytes, of a box with `flipSegments` files. */
  readonly flips: number;
  readonly flipSegments: number;
  /** Rows and files of the box that only starts. */
  readonly startRows: number;
}

interface Rebuilt {
  readonly segments: number;
  readonly segmentsPerSecond: number;
  readonly tookMs: number;
  /** Rows of the new catalog that differ from those of the old one, by table; must be empty. */
  readonly differences: readonly string[];
}

export interface ReindexRunReport {
  readonly offline: Rebuilt;
  readonly online: Rebuilt & {
    /** Pauses in what the camera recorded meanwhile, findings of `check` after it; must be empty. */
    readonly problems: readonly string[];
    readonly recordedMeanwhile: number;
  };
  /** How many of the spoilt catalogs were set aside, how many put right in place or not affected; and what differs in the end, which must be nothing. */
  readonly flips: { readonly setAside: number; readonly inPlace: number; readonly differences: readonly string[] };
  readonly older: { readonly differences: readonly string[] };
  /** Leases on segments whose file was replaced by one of another box or another segment; none may be given, none of another box entered. */
  readonly foreign: { readonly asked: number; readonly given: number; readonly entered: number; readonly mismatches: number };
  readonly start: { readonly rows: number; readonly readyMs: number; readonly openedMs: number; readonly durableMs: number };
}

/** Rebuilds and repairs catalogs of boxes with a history, and compares each with the one that was there. Needs root: files lie in a tmpfs. */
export async function reindexRun(options: ReindexRunOptions): Promise<ReindexRunReport> {
  const random = seededRandom(options.seed);
  const bytes = 512 * 2 ** 20 + (options.segments + options.flipSegments) * 64 * 1024 + options.startRows * 1024;
  const rig = await DiskRig.open(options.name, { memoryBytes: bytes });
  const camera = await startCameraProcess(["--streams", "1", "--audio", "none"]);
  try {
    const mint = await SegmentMint.open(`${options.name}-mint`);
    const offline = await rebuildOffline(options, rig, mint, camera, random);
    const online = await rebuildOnline(offline.box);
    const foreign = await replaceFiles(offline.box, mint, random);
    const { flips, older } = await spoil(options, rig, mint, random);
    const start = await startLarge(options, rig, mint, camera);
    return { offline: offline.rebuilt, online, flips, older, foreign, start };
  } finally {
    await camera.stop();
    await rig.close();
  }
}

const STRANGER = "OTHR0002";

const catalogOf = (box: Box): string => join(box.dir, "state", "catalog.db");

async function newBox(name: string, rig: DiskRig, logLevel: "info" | "debug" = "debug"): Promise<Box> {
  const roots = ["a", "b"].map((root) => join(rig.folder, name, root));
  return Box.create({ name, roots, segment: "4s", logLevel });
}

async function rebuildOffline(
  { name, segments }: ReindexRunOptions,
  rig: DiskRig,
  mint: SegmentMint,
  camera: CameraProcess,
  random: () => number,
): Promise<{ readonly box: Box; readonly rebuilt: Rebuilt }> {
  const box = await newBox(`${name}-box`, rig);
  const began = Date.now();
  await writeHistory(box, mint, { segments, hours: 96, endUtcMs: began - 3_600_000, random, url: camera.urls["cam1"] ?? "" });
  progress(`${segments} segments minted in ${((Date.now() - began) / 1000).toFixed(1)} s`);
  const before = await dumpCatalog(catalogOf(box));
  const rebuilt = await rebuild(box);
  const differences = differencesOf(before, await dumpCatalog(catalogOf(box)));
  progress(`offline: ${rebuilt.segmentsPerSecond} segments/s, ${differences.length} differences`);
  return { box, rebuilt: { ...rebuilt, differences } };
}

/** Runs `reindex`, through the service if there is one. */
async function rebuild(box: Box): Promise<Omit<Rebuilt, "differences">> {
  const [report] = await box.json<{ segments: number; segmentsPerSecond: number; tookMs: number }>("reindex");
  if (report === undefined) throw new Error("reindex said nothing");
  const { segments, segmentsPerSecond, tookMs } = report;
  return { segments, segmentsPerSecond, tookMs };
}

/** While one camera records: the history comes out as it was, and nothing of what is recorded is lost. */
async function rebuildOnline(box: Box): Promise<ReindexRunReport["online"]> {
  await box.serve();
  await until("media", async () => (box.logOf("cam1", "fragment.durable").length >= 3 ? true : null));
  const sinceUtcMs = Math.min(...(await box.list()).filter(({ state }) => state === "open").map(({ from }) => from));
  const before = await dumpCatalog(catalogOf(box));
  const logged = box.log.length;
  const rebuilt = await rebuild(box);
  const recordedMeanwhile = box.log.slice(logged).filter(({ event }) => event === "fragment.durable").length;
  const told = (dump: Dump) => toldBefore(dump, sinceUtcMs);
  const differences = differencesOf(told(before), told(await dumpCatalog(catalogOf(box))));
  const count = box.logOf("cam1", "segment.opened").length;
  await until("two more segments", async () => (box.logOf("cam1", "segment.opened").length >= count + 2 ? true : null));
  await box.end();
  const rows = (await dumpCatalog(catalogOf(box))).segment.filter(({ start_utc_ms }) => Number(start_utc_ms) >= sinceUtcMs);
  const times = rows.map(({ start_utc_ms, end_utc_ms }) => [Number(start_utc_ms), Number(end_utc_ms)] as const).sort(([a], [b]) => a - b);
  const problems = times.flatMap(([from], index) => {
    const end = times[index - 1]?.[1] ?? from;
    return Math.abs(from - end) > 1 ? [`${from - end} ms missing at ${end}`] : [];
  });
  if (times.length < 3) problems.push(`only ${times.length} segments of the camera are listed`);
  const checked = await box.json<{ findings: readonly unknown[] }>("check");
  for (const { findings } of checked) for (const finding of findings) problems.push(JSON.stringify(finding));
  progress(`online: ${rebuilt.segmentsPerSecond} segments/s, ${differences.length} differences, ${recordedMeanwhile} fragments meanwhile`);
  return { ...rebuilt, differences, problems, recordedMeanwhile };
}

/** What a dump says of the time before; sums of roots and hours may have moved on. */
function toldBefore(dump: Dump, untilUtcMs: number): Dump {
  const before = (column: string) => (row: Readonly<Record<string, string | number | null>>) => Number(row[column]) < untilUtcMs;
  return {
    root: [],
    stream: [],
    run: dump.run.filter(before("start_utc_ms")),
    segment: dump.segment.filter(before("start_utc_ms")),
    gap: dump.gap.filter(before("from_utc_ms")),
    deletion: dump.deletion,
    coverage_hour: dump.coverage_hour.filter(({ hour }) => (Number(hour) + 1) * 3_600_000 < untilUtcMs),
  };
}

/** Puts files of another box and of other segments in the place of some, and asks for leases on them. */
async function replaceFiles(box: Box, mint: SegmentMint, random: () => number): Promise<ReindexRunReport["foreign"]> {
  const other = await Box.create({
    name: `${box.dir.slice(box.dir.lastIndexOf("/") + 1)}-other`,
    roots: [join(box.roots[0] ?? "", "..", "other")],
  });
  await writeHistory(other, mint, { segments: 64, hours: 4, endUtcMs: Date.now() - 3_600_000, random, url: null, serial: STRANGER });
  const strangers = await segmentFiles(other.roots[0] ?? "");
  const history = await HistoryStore.open(box, mint, Date.now());
  const range = { fromUtcMs: 0, toUtcMs: Date.now() * 2 };
  const rows = (await history.store.timeline({ camera: null, stream: null, range, limit: 2000 })).filter((row) => row.kind === "segment");
  const chosen = rows.filter((row) => row.state === "closed" && random() < 0.05).slice(0, 60);
  for (const [at, { path }] of chosen.entries()) {
    const source = at % 2 === 0 ? strangers[at % strangers.length] : chosen[(at + 2) % chosen.length]?.path;
    await copyFile(source ?? "", `${path}.new`);
    await rename(`${path}.new`, path);
  }
  let given = 0;
  for (const { run, sequence } of chosen) {
    const lease = await history.store.lease({ run, sequence }).catch((error: { code?: string }) => {
      if (error.code !== "SEGMENT_MISMATCH") throw error;
      return null;
    });
    if (lease !== null) given += 1;
  }
  await history.store.stop();
  await rebuild(box);
  const runs = new Set((await dumpCatalog(catalogOf(other))).run.map(({ uuid }) => uuid));
  const entered = (await dumpCatalog(catalogOf(box))).segment.filter(({ uuid }) => runs.has(uuid ?? null)).length;
  const { stdout } = await box.run("check", "--json");
  const mismatches = stdout.split("identity-mismatch").length - 1;
  progress(`foreign: ${given} of ${chosen.length} leases given`);
  return { asked: chosen.length, given, entered, mismatches };
}

/** Flips bytes anywhere in the catalog, restores an older one, and lets the service find out. */
async function spoil(options: ReindexRunOptions, rig: DiskRig, mint: SegmentMint, random: () => number) {
  const box = await newBox(`${options.name}-flips`, rig, "info");
  const older = join(box.dir, "older.db");
  await writeHistory(box, mint, {
    segments: options.flipSegments,
    hours: 72,
    endUtcMs: Date.now() - 3_600_000,
    random,
    url: null,
    half: () => copyFile(catalogOf(box), older),
  });
  await serveUntilSettled(box);
  const expected = await dumpCatalog(catalogOf(box));
  const whole = join(box.dir, "whole.db");
  await copyFile(catalogOf(box), whole);
  const found = { setAside: 0, inPlace: 0 };
  const differences: string[] = [];
  for (let round = 0; round < options.flips; round += 1) {
    await copyFile(whole, catalogOf(box));
    const told = await flip(catalogOf(box), random);
    await serveUntilSettled(box);
    const damaged = (await readdir(join(box.dir, "state"))).filter((name) => name.startsWith("catalog.db.damaged-"));
    for (const name of damaged) await rm(join(box.dir, "state", name));
    found[damaged.length > 0 ? "setAside" : "inPlace"] += 1;
    const wrong = differencesOf(expected, await dumpCatalog(catalogOf(box)));
    differences.push(...wrong.map((text) => `${told}: ${text}`));
    progress(
      `flip ${round + 1} of ${options.flips}, ${told}: ${damaged.length > 0 ? "set aside" : "in place"}, ${wrong.length} differences`,
    );
  }
  await copyFile(older, catalogOf(box));
  await serveUntilSettled(box);
  const afterOlder = differencesOf(expected, await dumpCatalog(catalogOf(box)));
  progress(`older catalog: ${afterOlder.length} differences`);
  return { flips: { ...found, differences }, older: { differences: afterOlder } };
}

async function serveUntilSettled(box: Box): Promise<void> {
  const logged = box.log.length;
  await box.serve();
  await until(
    "the catalog to be compared or filled",
    async () => {
      const events = box.log.slice(logged).map(({ event }) => event);
      const filled = events.includes("catalog.filled") || (events.includes("catalog.reconciled") && !events.includes("alarm.raised"));
      return filled ? true : null;
    },
    300_000,
  );
  await box.end();
}

/** Flips one to sixteen bytes in a row, anywhere. */
async function flip(path: string, random: () => number): Promise<string> {
  const { size } = await stat(path);
  const length = 1 + Math.floor(random() * 16);
  const offset = Math.floor(random() * (size - length));
  const file = await open(path, "r+");
  const bytes = Buffer.alloc(length);
  await file.read(bytes, 0, length, offset);
  for (let at = 0; at < length; at += 1) bytes[at] = (bytes[at] ?? 0) ^ (1 + Math.floor(random() * 255));
  await file.write(bytes, 0, length, offset);
  await file.close();
  return `${length} bytes at ${offset} of ${size}`;
}

/** A catalog and folders with so many segments; links to a few files stand for most. How soon is the camera recorded? */
async function startLarge(
  { name, startRows }: ReindexRunOptions,
  rig: DiskRig,
  mint: SegmentMint,
  camera: CameraProcess,
): Promise<ReindexRunReport["start"]> {
  const box = await newBox(`${name}-large`, rig);
  const endUtcMs = Date.now() - 3_600_000;
  const random = seededRandom(1);
  await writeHistory(box, mint, { segments: 160, hours: 1, endUtcMs, random, url: camera.urls["cam1"] ?? "" });
  await grow(box, startRows, endUtcMs - 2 * 3_600_000);
  progress(`${startRows} rows and files made`);
  const began = Date.now();
  await box.serve();
  const readyMs = Date.now() - began;
  await until("durable media", async () => (box.logOf("cam1", "fragment.durable").length > 0 ? true : null));
  const at = (event: string) => Date.parse(box.logOf("cam1", event)[0]?.time ?? "") - began;
  const [openedMs, durableMs] = [at("segment.opened"), at("fragment.durable")];
  await box.end("SIGKILL");
  progress(`start: ready after ${readyMs} ms, first segment after ${openedMs} ms, durable after ${durableMs} ms`);
  return { rows: startRows, readyMs, openedMs, durableMs };
}

/** Adds minutes of segments before an instant to all streams, as rows and as links to one file a stream. */
async function grow(box: Box, rows: number, endUtcMs: number): Promise<void> {
  const zone = new SiteZone("Asia/Shanghai");
  const connection = await Connection.open(catalogOf(box), sqlite3.OPEN_READWRITE);
  const each = Math.floor(rows / placesOf(SERIAL).length);
  for (const { channel, stream } of placesOf(SERIAL)) {
    const name = streamName(SERIAL, channel, stream);
    const root = (
      await Promise.all(box.roots.map(async (path) => ((await segmentFiles(join(path, name)).catch(() => [])).length > 0 ? path : null)))
    ).find((path) => path !== null);
    const [file = ""] = await segmentFiles(join(root ?? "", name));
    const { size } = await stat(file);
    await connection.exec("BEGIN");
    await connection.run(
      `INSERT INTO run (uuid, stream_id, start_utc_ms, start_mono_ms, clock_trusted, end_utc_ms, end_cause)
       SELECT 'large-' || name, stream_id, ?, 0, 1, ?, 'no-media' FROM stream WHERE name = ?`,
      [endUtcMs - each * 60_000, endUtcMs, name],
    );
    const values: (string | number)[][] = [];
    let folder = "";
    for (let at = 0; at < each; at += 1) {
      const startUtcMs = endUtcMs - (each - at) * 60_000;
      const path = segmentFile(zone.stamp(startUtcMs), 60_000);
      const day = join(root ?? "", name, path.slice(0, 8));
      if (day !== folder) await mkdir(day, { recursive: true });
      folder = day;
      await link(file, join(root ?? "", name, path));
      values.push([at, startUtcMs, path]);
    }
    await connection.run(
      `INSERT INTO segment (run_id, sequence, stream_id, root_id, state, start_utc_ms, end_utc_ms, bytes, file, crc64, blake3)
       SELECT run_id, value ->> 0, stream_id, (SELECT root_id FROM root WHERE path = ?3), 1, value ->> 1, (value ->> 1) + 60000, ?4, value ->> 2,
       zeroblob(8), zeroblob(32) FROM json_each(?1) JOIN run ON run.uuid = ?2`,
      [JSON.stringify(values), `large-${name}`, root ?? "", size],
    );
    await connection.exec("UPDATE stream SET longest_segment_ms = max(longest_segment_ms, 60000), longest_run_ms = 1000000000000; COMMIT");
  }
  await connection.close();
}

/** Rows that only one of two dumps has, as text; at most some of each table. */
export function differencesOf(before: Dump, after: Dump): string[] {
  const differences: string[] = [];
  for (const table of ["root", "run", "segment", "gap", "deletion", "coverage_hour"] as const) {
    const [old, now] = [before, after].map((dump) => new Set(dump[table].map((row) => JSON.stringify(row))));
    const lost = [...(old ?? [])].filter((row) => now?.has(row) === false).map((row) => `${table} lost ${row}`);
    const added = [...(now ?? [])].filter((row) => old?.has(row) === false).map((row) => `${table} added ${row}`);
    differences.push(...lost.slice(0, 5), ...added.slice(0, 5));
  }
  return differences;
}
