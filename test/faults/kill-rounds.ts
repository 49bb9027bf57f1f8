import { Box, until } from "../e2e/box.ts";
import { ffprobeComplaints, scan, segmentFiles } from "../e2e/segments.ts";
import { readRecording } from "../fakes/frames.ts";
import { startCameraProcess } from "./camera-process.ts";
import { progress } from "./proof.ts";
import { seededRandom } from "./rng.ts";

export interface KillReport {
  readonly kills: number;
  readonly reportedFragments: number;
  /** Segments that hold fewer fragments than were reported durable; must be empty. */
  readonly lost: readonly string[];
  /** Files that a player complains about; must be empty. */
  readonly unplayable: readonly string[];
  /** What `check --deep` found; must be empty. */
  readonly findings: readonly string[];
  /** From the start of the process to the first open segment of the last camera, per restart. */
  readonly backMs: readonly number[];
  /** Missing media per kill and camera. */
  readonly gapMs: readonly number[];
}

const CAMERAS = ["cam1", "cam2", "cam3", "cam4"];

/** Records four cameras at 4 Mbit/s and kills the recorder `kills` times at random moments, starting it again each time. */
export async function killRounds(kills: number, seed: number): Promise<KillReport> {
  const random = seededRandom(seed);
  const camera = await startCameraProcess(["--streams", "4", "--bitrate", "4000000", "--audio", "pcma"]);
  const box = await Box.create({ name: `kill-${seed}`, segment: "5s" });
  const backMs: number[] = [];
  try {
    await box.serve();
    for (const id of CAMERAS) await box.add(id, camera.urls[id] ?? "");
    for (let round = 0; round < kills; round += 1) {
      await until("durable fragments of all cameras", async () => (reported(box, round).cameras === CAMERAS.length ? true : null));
      await new Promise((resolve) => setTimeout(resolve, random() * 6000));
      await box.end("SIGKILL");
      const started = Date.now();
      mark(box);
      await box.serve();
      await until("all cameras recording again", async () => (openedSince(box) === CAMERAS.length ? true : null));
      backMs.push(lastOpened(box) - started);
      progress(`kill ${round + 1}/${kills}: all four recording after ${backMs.at(-1)} ms`);
    }
    await until("durable fragments after the last kill", async () => (reported(box, kills).cameras === CAMERAS.length ? true : null));
    await box.end();
    return { kills, backMs, ...(await examine(box)) };
  } finally {
    await box.end("SIGKILL");
    await camera.stop();
  }
}

let marked = 0;

function mark(box: Box): void {
  marked = box.log.length;
}

function openedSince(box: Box): number {
  return new Set(box.log.slice(marked).flatMap((line) => (line.event === "segment.opened" ? [line["camera"]] : []))).size;
}

function lastOpened(box: Box): number {
  const firsts = new Map<unknown, number>();
  for (const line of box.log.slice(marked)) {
    if (line.event === "segment.opened" && !firsts.has(line["camera"])) firsts.set(line["camera"], Date.parse(line.time));
  }
  return Math.max(...firsts.values());
}

/** Cameras with a durable fragment since the last start. */
function reported(box: Box, round: number): { cameras: number } {
  const lines = round === 0 ? box.log : box.log.slice(marked);
  return { cameras: new Set(lines.flatMap((line) => (line.event === "fragment.durable" ? [line["camera"]] : []))).size };
}

async function examine(box: Box): Promise<Omit<KillReport, "kills" | "backMs">> {
  const promised = new Map<string, number>();
  for (const line of box.log) {
    if (line.event === "fragment.durable") promised.set(`${String(line["run"])}/${String(line["sequence"])}`, Number(line["fragments"]));
  }
  const unplayable: string[] = [];
  const held = new Map<string, number>();
  for (const path of await segmentFiles(box.roots[0] ?? "")) {
    const { head, fragments } = await scan(path);
    if (head !== null) held.set(`${head.run}/${head.sequence}`, fragments.length);
    const complaints = await ffprobeComplaints(path);
    const { frames } = await readRecording(path);
    if (complaints !== "" || frames.length === 0) unplayable.push(`${path}: ${complaints}`);
  }
  const lost = [...promised].flatMap(([key, count]) => ((held.get(key) ?? 0) < count ? [`${key}: ${held.get(key) ?? 0} of ${count}`] : []));
  const check = await box.run("check", "--deep", "--json");
  const findings = check.code === 0 ? [] : check.stdout.split("\n").filter((line) => line !== "");
  const gapMs = gapsBetween((await segmentSpans(box)).sort((a, b) => a.from - b.from));
  return { reportedFragments: [...promised.values()].reduce((sum, count) => sum + count, 0), lost, unplayable, findings, gapMs };
}

interface Span {
  readonly camera: number;
  readonly run: string;
  readonly from: number;
  readonly to: number;
}

async function segmentSpans(box: Box): Promise<Span[]> {
  const spans: Span[] = [];
  for (const path of await segmentFiles(box.roots[0] ?? "")) {
    const { head, durationMs } = await scan(path);
    if (head !== null) spans.push({ camera: head.channel, run: head.run, from: head.startUtcMs, to: head.startUtcMs + durationMs });
  }
  return spans;
}

/** Distance from the end of one run to the start of the camera's next. */
function gapsBetween(spans: readonly Span[]): number[] {
  const last = new Map<number, Span>();
  const gaps: number[] = [];
  for (const span of spans) {
    const before = last.get(span.camera);
    if (before !== undefined && before.run !== span.run) gaps.push(span.from - before.to);
    last.set(span.camera, span);
  }
  return gaps;
}
