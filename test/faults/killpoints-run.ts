import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { GapCause } from "../../src/media/types.ts";
import { Box, sleepMs } from "../e2e/box.ts";
import { startCameraProcess } from "./camera-process.ts";
import { judgeDisk, MEDIA, STATE } from "./disk-judge.ts";
import { command, DiskRig } from "./disks/disk-rig.ts";
import { promisedFragments } from "./promises.ts";
import { progress } from "./proof.ts";
import { buildTracer, type TracedPoint, TracedServe, type TracerAct } from "./traced.ts";

const CAMERAS = ["cam1", "cam2"];
/** The least a configuration may say; at this rate it is reached in some fifteen seconds, and each further segment deletes one. */
const LIMIT = "64MiB";
const BITRATE_BPS = 16_000_000;
/** A life that has not come to its end by then has lost its way. */
const LIFE_MS = 30_000;
const LANES = 3;
/** How many calls later or sooner a kind of call is looked for in another life. */
const CATCH_UP = 6;
/** A life that had time to say that it ends has said process-down. */
const DOWN: readonly GapCause[] = ["power-lost", "process-down"];
const EIO = 5;
const ENOSPC = 28;
const WRITES = new Set(["write", "pwrite64", "writev", "pwritev", "pwritev2", "fallocate", "ftruncate", "openat", "mkdirat"]);

export interface KillpointsOptions {
  readonly name: string;
  /** Each so many points are killed at, beginning with `first`; 1 for all. */
  readonly killStep: number;
  /** The same for calls that fail, once; 0 for none. */
  readonly errorStep: number;
  readonly first: number;
}

/** A point at which a life was interfered with. */
interface Hit {
  readonly act: TracerAct;
  readonly phase: Phase;
  readonly what: string;
  readonly problems: readonly string[];
}

type Phase = "start" | "record" | "stop";

export interface KillpointsReport {
  /** Calls of a life that nothing happened to, by seed. */
  readonly points: Readonly<Record<string, number>>;
  readonly kills: number;
  readonly errors: number;
  /** Interferences by phase, file and call: all, and those after which the next life found everything. */
  readonly table: Readonly<Record<string, { readonly hits: number; readonly recovered: number }>>;
  /** Must be empty. */
  readonly problems: readonly string[];
  /** Kinds of calls that a whole life makes and that no life was killed at; empty where every point is tried. */
  readonly missed: readonly string[];
}

/**
 * Lets lives of the recorder go from the same start (a kill amid recording and deleting) through recovery, recording, closing, deleting and
 * the way down, and interferes with one file call in each; then the next life must find all that was promised. Needs root.
 */
export async function killpointsRun(options: KillpointsOptions): Promise<KillpointsReport> {
  buildTracer();
  const rig = await DiskRig.open(options.name, { memoryBytes: 4 * 2 ** 30 });
  const camera = await startCameraProcess(["--streams", String(CAMERAS.length), "--bitrate", String(BITRATE_BPS), "--audio", "pcma"]);
  try {
    const pool = await rig.mount(await rig.image(join(rig.folder, "pool.img"), 3 * 2 ** 30, "xfs"), "pool");
    return await new Killpoints(options, pool.folder).run(camera.urls);
  } finally {
    await camera.stop();
    await rig.close();
  }
}

/** A state of the disk from which lives begin, and what was promised until then. */
interface Seed {
  readonly name: string;
  readonly folder: string;
  readonly promised: ReadonlyMap<string, number>;
}

interface Life {
  readonly folder: string;
  readonly exitCode: number;
  readonly phase: Phase;
  readonly promised: ReadonlyMap<string, number>;
  readonly points: readonly TracedPoint[];
  readonly late: boolean;
}

class Killpoints {
  readonly #options: KillpointsOptions;
  readonly #pool: string;
  readonly #hits: Hit[] = [];
  #lives = 0;

  constructor(options: KillpointsOptions, pool: string) {
    this.#options = options;
    this.#pool = pool;
  }

  async run(urls: Readonly<Record<string, string>>): Promise<KillpointsReport> {
    const recorded = await this.#record(urls);
    // One stopped before a deleted file goes, one before the folder of a renamed file is synced: Start 3 and Start 5 have something to do.
    const deleting = await this.#killedAt(recorded, "deleting", ({ call, path }) => call === "unlinkat" && path.endsWith(".mp4"));
    const renamed = await this.#killedAt(recorded, "renamed", (point, before) => point.call === "fsync" && before?.call === "renameat2");
    const points: Record<string, number> = {};
    const usual = new Set<string>();
    for (const seed of [deleting, renamed]) {
      const whole = await this.#live(seed, "kill", 0);
      const problems = await this.#judge(seed, whole);
      if (whole.exitCode !== 0 || problems.length > 0)
        throw new Error(`a life without a kill ended with ${whole.exitCode}: ${problems.join("; ")}`);
      points[seed.name] = whole.points.length;
      for (const point of whole.points) usual.add(kindOf(point));
      // The second seed differs in its start alone.
      const last = seed === deleting ? whole.points.length : Math.min(whole.points.length, startPoints(whole.points));
      const tasks: (() => Promise<void>)[] = [];
      const { killStep, errorStep, first } = this.#options;
      for (let point = first; point <= last; point += killStep) tasks.push(() => this.#interfere(seed, "kill", point, last));
      for (let point = first; errorStep > 0 && point <= last; point += errorStep) {
        tasks.push(() => this.#interfere(seed, `error:${EIO}`, point, last));
        if (WRITES.has(whole.points[point - 1]?.call ?? "")) tasks.push(() => this.#interfere(seed, `error:${ENOSPC}`, point, last));
      }
      await Promise.all(Array.from({ length: LANES }, () => drain(tasks)));
      if (killStep === 1) await this.#catchUp(seed, whole.points.slice(0, last));
    }
    return this.#report(points, usual);
  }

  /** Lives differ by some calls: kinds that no kill has met are tried again around where they were. */
  async #catchUp(seed: Seed, points: readonly TracedPoint[]): Promise<void> {
    const met = () => new Set(this.#hits.filter(({ act }) => act === "kill").map(({ what }) => what));
    for (const [at, point] of points.entries()) {
      for (let off = 0; off <= CATCH_UP && !met().has(kindOf(point)); off++) {
        await this.#interfere(seed, "kill", at + 1 + off, points.length);
        if (off > 0 && off <= at) await this.#interfere(seed, "kill", at + 1 - off, points.length);
      }
    }
  }

  #report(points: Readonly<Record<string, number>>, usual: ReadonlySet<string>): KillpointsReport {
    const table: Record<string, { hits: number; recovered: number }> = {};
    for (const { act, phase, what, problems } of this.#hits) {
      const key = act === "kill" ? `kill ${phase} ${what}` : `${act} ${what}`;
      const { hits, recovered } = table[key] ?? { hits: 0, recovered: 0 };
      table[key] = { hits: hits + 1, recovered: recovered + (problems.length === 0 ? 1 : 0) };
    }
    const kills = this.#hits.filter(({ act }) => act === "kill");
    const killed = new Set(kills.map(({ what }) => what));
    return {
      points,
      kills: kills.length,
      errors: this.#hits.length - kills.length,
      table: Object.fromEntries(Object.entries(table).sort(([a], [b]) => (a < b ? -1 : 1))),
      problems: this.#hits.flatMap(({ act, phase, what, problems }) => problems.map((problem) => `${act} ${phase} ${what}: ${problem}`)),
      missed: [...usual].filter((kind) => !killed.has(kind)),
    };
  }

  /** Records until something was deleted, and kills. */
  async #record(urls: Readonly<Record<string, string>>): Promise<Seed> {
    const folder = join(this.#pool, "recorded");
    await command("mkdir", "-p", join(folder, MEDIA), join(folder, STATE));
    const box = await this.#box(folder);
    try {
      await box.serve();
      for (const id of CAMERAS) await box.add(id, urls[id] ?? "");
      await box.next(({ event }) => event === "ring.deleted", 120_000);
      const since = Date.now();
      await box.next(({ event, time }) => event === "fragment.durable" && Date.parse(time) > since, 10_000);
      await box.end("SIGKILL");
      const recent = box.log.filter(({ time }) => Date.parse(time) > since - 4000);
      return { name: "recorded", folder, promised: promisedFragments(recent) };
    } finally {
      await box.end("SIGKILL");
    }
  }

  async #killedAt(seed: Seed, name: string, fits: (point: TracedPoint, before: TracedPoint | undefined) => boolean): Promise<Seed> {
    const whole = await this.#live(seed, "kill", 0);
    const at = whole.points.findIndex((point, index) => fits(point, whole.points[index - 1]));
    await rm(whole.folder, { recursive: true });
    if (at < 0) throw new Error(`no life came to the point "${name}"`);
    const life = await this.#live(seed, "kill", at + 1);
    const folder = join(this.#pool, name);
    await command("mv", life.folder, folder);
    return { name, folder, promised: new Map([...seed.promised, ...life.promised]) };
  }

  async #interfere(seed: Seed, act: TracerAct, point: number, last: number): Promise<void> {
    const life = await this.#live(seed, act, point);
    const hit = life.points[point - 1];
    if (hit === undefined) {
      // This life was shorter than the one that was counted.
      await rm(life.folder, { recursive: true });
      return;
    }
    const problems = await this.#judge(seed, life);
    this.#hits.push({ act, phase: life.phase, what: kindOf(hit), problems });
    if (problems.length > 0 || point % 20 === 0)
      progress(`${seed.name} ${act} ${point}/${last} ${kindOf(hit)}: ${problems.join("; ") || "recovered"}`);
  }

  /** One life from a copy of the seed: it ends at the point, or in order once it has recorded, closed and deleted. */
  async #live(seed: Seed, act: TracerAct, point: number): Promise<Life> {
    const id = ++this.#lives;
    const folder = join(this.#pool, `life-${id}`);
    await command("cp", "--recursive", "--reflink=always", seed.folder, folder);
    const box = await this.#box(folder);
    const serve = new TracedServe({ config: box.config, watched: folder, act, point, tracePath: join(box.dir, "trace") });
    const deadlineMs = performance.now() + LIFE_MS;
    const over = () => serve.count("segment.ended") >= CAMERAS.length && serve.has("ring.deleted");
    while (serve.running && !over() && performance.now() < deadlineMs) await sleepMs(20);
    const phase = serve.running ? "stop" : serve.has("service.ready") ? "record" : "start";
    const late = serve.running && !over();
    if (serve.running) serve.signal("SIGTERM");
    const stuck = setTimeout(() => serve.signal("SIGKILL"), LIFE_MS);
    const exitCode = await serve.ended;
    clearTimeout(stuck);
    const points = serve.points();
    await rm(box.dir, { recursive: true });
    return { folder, exitCode, phase, late, points, promised: promisedFragments(serve.log) };
  }

  async #judge(seed: Seed, life: Life): Promise<string[]> {
    const { folder, late } = life;
    try {
      const promised = new Map(seed.promised);
      for (const [key, count] of life.promised) promised.set(key, Math.max(count, promised.get(key) ?? 0));
      const { lost, orphans, dangling, wrong } = await judgeDisk(folder, promised, `boot-${this.#lives}`, DOWN);
      return [...(late ? ["did not come to its end"] : []), ...lost, ...orphans, ...dangling, ...wrong];
    } catch (error) {
      return [`the next life does not start: ${String(error)}`];
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  #box(folder: string): Promise<Box> {
    const roots = [join(folder, MEDIA)];
    return Box.create({
      name: `${this.#options.name}-${folder.slice(folder.lastIndexOf("/") + 1)}`,
      segment: "1s",
      limit: LIMIT,
      reserve: "1MB",
      roots,
      stateDir: join(folder, STATE),
    });
  }
}

async function drain(tasks: (() => Promise<void>)[]): Promise<void> {
  for (let task = tasks.shift(); task !== undefined; task = tasks.shift()) await task();
}

/** Points until the first file of this life is created. */
const startPoints = (points: readonly TracedPoint[]): number => {
  const first = points.findIndex(({ call, path }) => call === "openat" && path.endsWith(".mp4.open"));
  return first < 0 ? points.length : first;
};

/** Numbered steps of src/store/README.md, by what they do to a file. Commits and the writer's own calls serve several. */
const STEPS: readonly (readonly [RegExp, string])[] = [
  [/^growing file (openat|fallocate)$/, "Open 2"],
  [/^growing file pwritev?(64)?$/, "Open 2, Append 1, Close 2, Start 4"],
  [/^growing file sync_file_range$/, "Append 2"],
  [/^growing file fdatasync$/, "Append 2, Close 3, Start 4"],
  [/^growing file ftruncate$/, "Close 2, Start 4"],
  [/^growing file renameat2$/, "Close 4, Start 4"],
  [/^day folder fsync$/, "Open 2, Close 5, Delete 5"],
  [/^(growing|closed) file unlinkat$/, "Delete 4, Start 3"],
  [/^day folder (mkdirat|unlinkat)$/, "Open 2, Delete 5"],
  [/^journal\.ndjson /, "Journals, Delete 3"],
  [/^catalog\.db/, "commit: Open 3, Close 6, Delete 1, 2 and 6, Start 5 to 7"],
  [/^state\.db/, "commit: Start 8"],
];

/** Kind of file and call, and the steps it belongs to. */
function kindOf({ call, path }: TracedPoint): string {
  const name = path.slice(path.lastIndexOf("/") + 1);
  const file = path.startsWith(`${STATE}/`)
    ? name
    : name.endsWith(".mp4.open")
      ? "growing file"
      : name.endsWith(".mp4")
        ? "closed file"
        : /^\d{8}$/.test(name)
          ? "day folder"
          : name;
  const kind = `${file} ${call}`;
  const steps = STEPS.find(([pattern]) => pattern.test(kind))?.[1];
  return steps === undefined ? kind : `${kind} (${steps})`;
}
