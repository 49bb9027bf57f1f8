import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Alarm } from "../../src/base/alarms.ts";
import { Client } from "../../src/cli/client.ts";
import { status } from "../../src/commands/status.ts";
import { Box, type ListedRow, type LogLine, sleepMs, until } from "../e2e/box.ts";
import { segmentFiles } from "../e2e/segments.ts";
import { CLIP_FPS, CLIP_GOP_FRAMES } from "../fakes/camera/clip.ts";
import { startCameraProcess } from "./camera-process.ts";
import type { FaultPlace, FaultRow } from "./diskfaults-rows.ts";
import { DiskRig, WITH_PARENT } from "./disks/disk-rig.ts";
import { brokenPromises, type ExaminedFile, examineFile, promisedFragments, segmentKey } from "./promises.ts";
import { progress } from "./proof.ts";
import { seededRandom } from "./rng.ts";
import { buildTracer, tracedPoints, tracerCommand } from "./traced.ts";

export interface FaultReport {
  readonly name: string;
  readonly rounds: number;
  /** From when the fault was met (a slow disk: from when its time was up) to the alarm in `status`, per round. */
  readonly alarmMs: readonly number[];
  /** From when the fault was made; it is met with the next write at the earliest. */
  readonly alarmFromOrderMs: readonly number[];
  /** From the end of the fault to the first durable fragment of the last camera, per round. */
  readonly backMs: readonly number[];
  /** Reports of durable fragments. */
  readonly promisedFragments: number;
  /** Pictures that are in no file, by their stamps. */
  readonly missingPictures: number;
  /** Fragments that the recorder says it dropped. */
  readonly droppedFragments: number;
  readonly shortWrites: number;
  /** Everything that must not be. */
  readonly problems: readonly string[];
}

const CAMERAS = ["cam1", "cam2"];
/** With the default memory for it a stream waits for half a minute. */
const BITRATE_BPS = 4_000_000;
const DISK_BYTES = 320 << 20;
const ROOM_BYTES = 2 ** 30;
const PICTURE_MS = 1000 / CLIP_FPS;
/** Fragments are of a second at most. */
const FRAGMENT_PICTURES = CLIP_FPS;
const GROUP_MS = CLIP_GOP_FRAMES * PICTURE_MS;
const LOOK_MS = 20;
/** Alarms that stand for so long after the last fault would hide the next one. */
const CLEAR_WITHIN_MS = 120_000;

/** Makes one fault so many times while two cameras are recorded, then compares the disk with what was told. Needs root. */
export async function faultRun(row: FaultRow, options: { readonly name: string; readonly rounds: number; readonly seed: number }) {
  const { name, rounds, seed } = options;
  const random = seededRandom(seed);
  const rig = await DiskRig.open(name, { memoryBytes: ROOM_BYTES });
  const camera = await startCameraProcess(["--streams", String(CAMERAS.length), "--bitrate", String(BITRATE_BPS), "--audio", "pcma"]);
  try {
    const image = await rig.image(join(rig.folder, "disk.img"), DISK_BYTES, "ext4");
    const device = await rig.blockDevice(image, "block");
    const first = await rig.mount(device.file, "disk");
    const roots = [first.folder];
    if (row.roots === 2) roots.push((await rig.mount(await rig.image(join(rig.folder, "two.img"), DISK_BYTES, "ext4"), "two")).folder);
    const box = await Box.create({ name, segment: "4s", reserve: "8MB", roots });
    try {
      const trace = { watched: first.folder, act: "short", point: row.shortWrites ?? 0, tracePath: join(box.dir, "trace") } as const;
      if (row.shortWrites !== undefined) buildTracer();
      await box.serve(row.shortWrites === undefined ? WITH_PARENT : [...WITH_PARENT, ...tracerCommand(trace)]);
      const place: FaultPlace = { rig, device, pid: box.pid, mount: first };
      const watch = new Watch(box);
      for (const id of CAMERAS) await box.add(id, camera.urls[id] ?? "");
      for (let round = 1; round <= rounds; round += 1) {
        await watch.calm(row);
        await sleepMs(random() * GROUP_MS);
        await watch.round(row, place);
        const [alarmMs, backMs] = [watch.alarmMs.at(-1), watch.backMs.at(-1)];
        progress(`${row.name} ${round}/${rounds}: alarm after ${alarmMs ?? "-"} ms, back after ${backMs} ms`);
      }
      await watch.allDurableAfter(Date.now());
      const droppedFragments = await watch.dropped();
      const listed = await box.list();
      if ((await box.end()) !== 0) watch.problems.push("the recorder did not end in order");
      const shortWrites = row.shortWrites === undefined ? 0 : Math.floor(writesOf(trace.tracePath) / row.shortWrites);
      if (row.shortWrites !== undefined && shortWrites === 0) watch.problems.push("no write was short");
      const judged = await judge(row, place, image, box, () => camera.stop());
      const told = untold(judged.holes, listed, box.log, droppedFragments);
      return {
        name: row.name,
        rounds,
        alarmMs: watch.alarmMs,
        alarmFromOrderMs: watch.alarmFromOrderMs,
        backMs: watch.backMs,
        promisedFragments: judged.promisedFragments,
        missingPictures: judged.holes.reduce((sum, { pictures }) => sum + pictures, 0),
        droppedFragments,
        shortWrites,
        problems: [...watch.problems, ...judged.problems, ...told],
      } satisfies FaultReport;
    } finally {
      await box.end("SIGKILL");
    }
  } finally {
    await camera.stop();
    await rig.close();
  }
}

/** What is to be seen of the recorder from outside. */
class Watch {
  readonly alarmMs: number[] = [];
  readonly alarmFromOrderMs: number[] = [];
  readonly backMs: number[] = [];
  readonly problems: string[] = [];
  readonly #box: Box;
  readonly #client: Client;

  constructor(box: Box) {
    this.#box = box;
    this.#client = new Client(join(box.dir, "api.sock"), new AbortController().signal);
  }

  async #alarms(): Promise<readonly Alarm[]> {
    return (await this.#client.call(status, {})).alarms;
  }

  async dropped(): Promise<number> {
    const streams = (await this.#box.cameras()).flatMap((camera) => camera.streams);
    return streams.reduce((sum, { numbers }) => sum + numbers.droppedFragments, 0);
  }

  /** No alarm, and the second segment since now of each camera: what the last round left is over. */
  async calm({ loses }: FaultRow): Promise<void> {
    await this.allDurableAfter(Date.now());
    await until("the alarms to end", async () => ((await this.#alarms()).length === 0 ? true : null), CLEAR_WITHIN_MS);
    if (loses !== true) await this.allDurableAfter(Date.now());
  }

  async round(row: FaultRow, place: FaultPlace): Promise<void> {
    const orderedUtcMs = Date.now();
    const seen = this.#firstSeen(row, orderedUtcMs + row.lastsMs + CLEAR_WITHIN_MS);
    const { metUtcMs, end } = await row.begin(place);
    let endUtcMs = metUtcMs;
    if (end !== undefined) {
      await sleepMs(Math.max(0, metUtcMs + row.lastsMs - Date.now()));
      const up = new Set((await this.#alarms()).map(({ code }) => code));
      for (const code of row.also ?? []) if (!up.has(code)) this.problems.push(`no alarm ${code} while it lasted`);
      endUtcMs = await end();
    }
    const seenUtcMs = await seen;
    if (seenUtcMs !== null) {
      this.alarmMs.push(Math.round(seenUtcMs - metUtcMs - (row.patienceMs ?? 0)));
      this.alarmFromOrderMs.push(seenUtcMs - orderedUtcMs);
    }
    const sinceUtcMs = row.roots === 2 ? metUtcMs : endUtcMs;
    this.backMs.push((await this.allDurableAfter(sinceUtcMs)) - sinceUtcMs);
  }

  /** When `status` first shows the row's alarm; null where it has none. */
  async #firstSeen({ alarm }: FaultRow, deadlineUtcMs: number): Promise<number | null> {
    if (alarm === null) return null;
    for (;;) {
      if ((await this.#alarms()).some(({ code }) => code === alarm)) return Date.now();
      if (Date.now() > deadlineUtcMs) throw new Error(`no alarm ${alarm}`);
      await sleepMs(LOOK_MS);
    }
  }

  /** When each camera had told of a durable fragment after that moment. */
  allDurableAfter(sinceUtcMs: number): Promise<number> {
    return until(`durable fragments of all cameras`, async () => {
      const firsts = CAMERAS.map((id) => this.#box.logOf(id, "fragment.durable").find(({ time }) => Date.parse(time) > sinceUtcMs));
      return firsts.includes(undefined) ? null : Math.max(...firsts.map((line) => Date.parse(line?.time ?? "")));
    });
  }
}

/** Pictures of a camera that are in no file, between two that are. */
interface Hole {
  readonly camera: string;
  readonly pictures: number;
  /** The first one after. */
  readonly toPicture: number;
  /** When the last picture before and the first after were sent. */
  readonly fromUtcMs: number;
  readonly toUtcMs: number;
}

/**
 * Looks at the disk itself, past every cache of file system and device: what it holds after a start of the recorder must be all that was
 * promised, and whole.
 */
async function judge(row: FaultRow, place: FaultPlace, image: string, box: Box, stopCamera: () => Promise<void>) {
  const problems: string[] = [];
  const { rig, device, mount } = place;
  await mount.unmount();
  await device.stop();
  const below = readdirSync(mount.folder);
  if (below.length > 0) problems.push(`written where the disk was not: ${below.join(", ")}`);
  await stopCamera();
  const promised = promisedFragments(box.log);
  problems.push(...toldAfterFailure(box.log));
  for (const id of CAMERAS) {
    const sessions = box.logOf(id, "session.playing").length;
    if (sessions !== 1) problems.push(`${id}: ${sessions} sessions`);
  }
  const plain = await rig.mount(image, "disk");
  await box.serve(WITH_PARENT);
  await box.end();
  const check = await box.run("check", "--deep", "--json");
  if (check.code !== 0) problems.push(`${check.stdout}${check.stderr}`);
  const files: ExaminedFile[] = [];
  for (const root of box.roots) for (const path of await segmentFiles(root)) files.push(await examineFile(path));
  problems.push(...files.flatMap(({ path, complaints }) => complaints.map((complaint) => `${path}: ${complaint}`)));
  problems.push(...brokenPromises(row.deletes === true ? stillThere(promised, files) : promised, files));
  const holes = CAMERAS.flatMap((id, index) =>
    holesOf(
      id,
      files.filter(({ channel }) => channel === index + 1),
    ),
  );
  const allowed = row.loses === true ? Number.POSITIVE_INFINITY : row.mayLoseTail === true ? FRAGMENT_PICTURES : 0;
  for (const { camera, pictures } of holes) if (pictures > allowed) problems.push(`${camera}: ${pictures} pictures lost`);
  if (row.loses === true && holes.length === 0) problems.push("nothing was lost: it does not last long enough to show that it is told");
  await plain.unmount();
  return { problems, holes, promisedFragments: [...promised.values()].reduce((sum, count) => sum + count, 0) };
}

function writesOf(tracePath: string): number {
  return tracedPoints(tracePath).filter(({ call }) => call.includes("write")).length;
}

/** Reports of a file that had failed before. */
function toldAfterFailure(log: readonly LogLine[]): string[] {
  const failed = new Set<string>();
  const told: string[] = [];
  for (const line of log) {
    const key = segmentKey(String(line["run"]), Number(line["sequence"]));
    if (line.event === "segment.failed") failed.add(key);
    else if (line.event === "fragment.durable" && failed.has(key)) told.push(`${key}: durable, although it had failed`);
  }
  return told;
}

/** The ring deletes what is oldest: promises from a run's first file that is left on. */
function stillThere(promised: ReadonlyMap<string, number>, files: readonly ExaminedFile[]): Map<string, number> {
  const oldest = new Map<string, number>();
  for (const { key } of files) {
    const [run = "", sequence] = key.split("/");
    oldest.set(run, Math.min(oldest.get(run) ?? Number.POSITIVE_INFINITY, Number(sequence)));
  }
  return new Map(
    [...promised].filter(([key]) => {
      const [run = "", sequence] = key.split("/");
      return Number(sequence) >= (oldest.get(run) ?? Number.POSITIVE_INFINITY);
    }),
  );
}

function holesOf(camera: string, files: readonly ExaminedFile[]): Hole[] {
  const parts = files.flatMap(({ pictures }) => pictures ?? []).sort((a, b) => a.first - b.first);
  const holes: Hole[] = [];
  let before = parts[0];
  for (const part of parts.slice(1)) {
    if (before !== undefined && part.first > before.last + 1) {
      const pictures = part.first - before.last - 1;
      holes.push({ camera, pictures, toPicture: part.first, fromUtcMs: before.lastSentUtcMs, toUtcMs: part.firstSentUtcMs });
    }
    if (before === undefined || part.last > before.last) before = part;
  }
  return holes;
}

/** What is lost must end where a group of pictures begins, be counted, and be in a gap of the listing. */
function untold(holes: readonly Hole[], listed: readonly ListedRow[], log: readonly LogLine[], droppedFragments: number): string[] {
  const problems: string[] = [];
  const lost = holes.reduce((sum, { pictures }) => sum + pictures, 0);
  const drops = log.filter(({ event }) => event === "media.dropped");
  const sum = (of: (line: LogLine) => number): number => drops.reduce((total, line) => total + of(line), 0);
  const [countedFragments, countedMs] = [
    sum((line) => Number(line["fragments"])),
    sum((line) => Number(line["toUtcMs"]) - Number(line["fromUtcMs"])),
  ];
  if (countedFragments !== droppedFragments) problems.push(`${droppedFragments} fragments counted, ${countedFragments} in the log`);
  // What was dropped is in a file all the same where the disk had it before the sync failed.
  if (countedMs < (lost - holes.length) * PICTURE_MS) problems.push(`${countedMs} ms counted of ${lost} pictures lost`);
  for (const { camera, pictures, toPicture, fromUtcMs, toUtcMs } of holes) {
    const gaps = listed.filter((row) => row.kind === "gap" && row.camera === camera && row.to > fromUtcMs && row.from < toUtcMs);
    const toldMs = gaps.reduce((sum, { from, to }) => sum + to - from, 0);
    if (toPicture % CLIP_GOP_FRAMES !== 0) problems.push(`${camera}: goes on with picture ${toPicture}, which begins no group`);
    if (Math.abs(toldMs - pictures * PICTURE_MS) > PICTURE_MS) problems.push(`${camera}: ${toldMs} ms told of ${pictures} pictures lost`);
  }
  return problems;
}
