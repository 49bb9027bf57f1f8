import { Box, type ListedRow, type LogLine, sleepMs, until } from "../e2e/box.ts";
import { CLIP_FPS, CLIP_GOP_FRAMES } from "../fakes/camera/clip.ts";
import { startCameraProcess } from "./camera-process.ts";
import { brokenPromises, type ExaminedFile, examineFile, promisedFragments, segmentKey } from "./promises.ts";
import { progress } from "./proof.ts";
import { seededRandom } from "./rng.ts";
import { findStrays, strayLines } from "./strays.ts";

export interface KillReport {
  readonly kills: number;
  readonly reportedFragments: number;
  /** Segments that hold fewer fragments than were reported durable; must be empty. */
  readonly lost: readonly string[];
  /** Files that a player or our reader complains about; must be empty. */
  readonly unplayable: readonly string[];
  /** Files without rows, rows without files, and files left growing, with the start after which they were seen first; must be empty. */
  readonly strays: readonly string[];
  /** What `check --deep` found at the end; must be empty. */
  readonly findings: readonly string[];
  /** From the start of the process to the first file of the last camera, per kill. */
  readonly backMs: readonly number[];
  /** Missing media per kill and camera: from the end of the last file to the beginning of the next. */
  readonly gapMs: readonly number[];
  /** Of that, without the restart: from the kill until the camera lets the new process in. */
  readonly gapWithoutRestartMs: readonly number[];
  /** Age, at the kill, of the newest picture that is in a file. */
  readonly lostTailMs: readonly number[];
  readonly deleted: number;
}

const CAMERAS = ["cam1", "cam2", "cam3", "cam4"];
/** A group of pictures of the virtual camera; a new client is let in at its first one. */
export const GROUP_MS = (CLIP_GOP_FRAMES / CLIP_FPS) * 1000;
const PICTURE_MS = 1000 / CLIP_FPS;
/** Kills are spread evenly over so long, a whole segment, so that every moment of its life is met. */
const KILL_WITHIN_MS = 4000;
/** Room for some twenty lives, so that deleting is killed as well, and what one life promised is still there in the next. */
const LIMIT = "300MB";

/** One life of the recorder, from its start to its kill. */
interface Life {
  readonly startedUtcMs: number;
  readonly killedUtcMs: number;
  /** Fragments reported durable, by segment. */
  readonly promised: ReadonlyMap<string, number>;
  /** When each camera let it in, by channel. */
  readonly playingUtcMs: ReadonlyMap<number, number>;
}

/** Records four cameras at 4 Mbit/s and kills the recorder `kills` times at random moments, starting it again each time. */
export async function killRounds(kills: number, seed: number): Promise<KillReport> {
  const random = seededRandom(seed);
  const camera = await startCameraProcess(["--streams", "4", "--bitrate", "4000000", "--audio", "pcma"]);
  const box = await Box.create({ name: `kill-${seed}`, segment: "4s", limit: LIMIT });
  const examination = new Examination();
  const backMs: number[] = [];
  const strays = new Map<string, string>();
  let deleted = 0;
  /** The files of the life before are read beside the life that goes on. */
  let examining: Promise<void> = Promise.resolve();
  let life: Life | null = null;
  try {
    for (let round = 0; round <= kills; round += 1) {
      const startedUtcMs = Date.now();
      await box.serve();
      if (round === 0) for (const id of CAMERAS) await box.add(id, camera.urls[id] ?? "");
      const opened = await until("all cameras recording", async () => allCameras(firsts(box.log, "segment.opened")));
      if (round > 0) backMs.push(Math.max(...opened.values()) - startedUtcMs);
      await until("durable fragments of all cameras", async () => allCameras(firsts(box.log, "fragment.durable")));
      const look = await findStrays(box, startedUtcMs);
      for (const line of strayLines(look)) if (!strays.has(line)) strays.set(line, `after kill ${round}: ${line}`);
      const before = life;
      if (before !== null) examining = examining.then(() => examination.add(before, look.rows));
      await sleepMs(random() * KILL_WITHIN_MS);
      const killedUtcMs = Date.now();
      // The last life ends in order, so that what is left behind is what the kills left.
      await box.end(round < kills ? "SIGKILL" : "SIGTERM");
      await examining;
      const playingUtcMs = new Map([...firsts(box.log, "session.playing")].map(([id, utcMs]) => [CAMERAS.indexOf(id) + 1, utcMs]));
      life = { startedUtcMs, killedUtcMs, promised: promisedFragments(box.log), playingUtcMs };
      deleted += box.log.reduce((sum, line) => sum + (line.event === "ring.deleted" ? Number(line["segments"]) : 0), 0);
      box.log.length = 0;
      if (round < kills)
        progress(`kill ${round + 1}/${kills}${round === 0 ? "" : `: all four recording ${backMs.at(-1)} ms after the last`}`);
    }
    const findings = await checkFindings(box);
    return { kills, ...examination.report(), strays: [...strays.values()], findings, backMs, deleted };
  } finally {
    await box.end("SIGKILL");
    await camera.stop();
  }
}

/** When each camera's first line of an event was written. */
function firsts(log: readonly LogLine[], event: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const line of log) {
    const camera = String(line["camera"]);
    if (line.event === event && !found.has(camera)) found.set(camera, Date.parse(line.time));
  }
  return found;
}

const allCameras = <T>(found: Map<string, T>): Map<string, T> | null => (found.size === CAMERAS.length ? found : null);

async function checkFindings(box: Box): Promise<string[]> {
  const check = await box.run("check", "--deep", "--json");
  return check.code === 0 ? [] : `${check.stdout}${check.stderr}`.split("\n").filter((line) => line !== "");
}

/** What the files of each life hold, and what is missing between two lives. Keeps numbers and complaints alone. */
class Examination {
  readonly #lost: string[] = [];
  readonly #unplayable: string[] = [];
  readonly #gapMs: number[] = [];
  readonly #gapWithoutRestartMs: number[] = [];
  readonly #lostTailMs: number[] = [];
  #reportedFragments = 0;
  /** By channel: when the newest picture of the last life was sent, and when that life was killed. */
  readonly #ends = new Map<number, { readonly sentUtcMs: number; readonly killedUtcMs: number }>();

  /** `rows` are of the life that follows: what the last one left has its final name by then. */
  async add(life: Life, rows: readonly ListedRow[]): Promise<void> {
    const files: ExaminedFile[] = [];
    for (const { run, sequence, path } of rows) {
      const key = segmentKey(run ?? "", sequence ?? 0);
      if (path !== undefined && life.promised.has(key)) files.push(await examineFile(path));
    }
    this.#reportedFragments += [...life.promised.values()].reduce((sum, count) => sum + count, 0);
    this.#lost.push(...brokenPromises(life.promised, files));
    this.#unplayable.push(...files.flatMap(({ path, complaints }) => complaints.map((complaint) => `${path}: ${complaint}`)));
    for (const [channel, playingUtcMs] of life.playingUtcMs) {
      const pictures = files.filter((file) => file.channel === channel).flatMap((file) => file.pictures ?? []);
      if (pictures.length === 0) continue;
      const firstUtcMs = Math.min(...pictures.map(({ firstSentUtcMs }) => firstSentUtcMs));
      const sentUtcMs = Math.max(...pictures.map(({ lastSentUtcMs }) => lastSentUtcMs));
      const end = this.#ends.get(channel);
      if (end !== undefined) {
        const gapMs = firstUtcMs - end.sentUtcMs - PICTURE_MS;
        this.#gapMs.push(Math.round(gapMs));
        this.#gapWithoutRestartMs.push(Math.round(gapMs - (playingUtcMs - end.killedUtcMs)));
      }
      this.#lostTailMs.push(Math.round(life.killedUtcMs - sentUtcMs));
      this.#ends.set(channel, { sentUtcMs, killedUtcMs: life.killedUtcMs });
    }
  }

  report() {
    return {
      reportedFragments: this.#reportedFragments,
      lost: this.#lost,
      unplayable: this.#unplayable,
      gapMs: this.#gapMs,
      gapWithoutRestartMs: this.#gapWithoutRestartMs,
      lostTailMs: this.#lostTailMs,
    };
  }
}
