import type { StreamStatus } from "../../src/recording/types.ts";
import type { ClientRecord } from "../fakes/camera/connection.ts";
import { isSudden } from "../fakes/camera/faults.ts";
import { continuityProblems, type Recording, readRecording } from "../fakes/frames.ts";
import { Box, type ListedCamera, type ListedRow, type LogLine, sleepMs, until } from "./box.ts";
import type { FaultCase, InterruptedCase, NeverCase, RecordedCase } from "./fault-cases.ts";
import { ffprobeComplaints, scan, segmentFiles } from "./segments.ts";
import { type Source, STREAM, virtual } from "./sources.ts";

/** Shorter than what a case records, so that cut segments differ from full ones. */
const SEGMENT_S = 6;
const HEALTHY = "healthy";
/** Asking is a process each time; all cases share the answers. */
const POLL_MS = 300;
const WAIT_MS = 60_000;

/** What one fault came to. */
export interface FaultOutcome {
  readonly case: FaultCase;
  /** `camera list` while the fault was there. */
  readonly listed: StreamStatus;
  /** `ls` at the end. */
  readonly rows: readonly ListedRow[];
  /** Warnings and errors of the camera in the log. */
  readonly logged: readonly LogLine[];
  /** Sessions that were tried. */
  readonly attempts: number;
  readonly refusedCredentials: number;
  readonly problems: readonly string[];
}

export interface FaultReport {
  readonly outcomes: readonly FaultOutcome[];
  /** What is wrong with the recording of the camera without fault; must be empty. */
  readonly healthyProblems: readonly string[];
  /** What `check --deep` says after all; must be empty. */
  readonly findings: readonly string[];
  /** Resident memory of the service when all cases had begun, and at the end. */
  readonly residentBytes: { readonly before: number; readonly after: number };
  readonly logLines: number;
}

/** Plays all cases at once on one recorder beside a healthy camera, then reads files, listing and log back. */
export async function runFaults(cases: readonly FaultCase[], name = "faults"): Promise<FaultReport> {
  const box = await Box.create({ name, segment: `${SEGMENT_S}s` });
  const watch = new Watch(box);
  const sources = new Map<string, Source>();
  const open = async (id: string, from: () => Promise<Source>): Promise<Source> => {
    const source = await from();
    sources.set(id, source);
    await box.add(id, source.url);
    return source;
  };
  try {
    await box.serve();
    watch.start();
    await open(HEALTHY, virtual({ server: { sessionTimeoutS: 6 }, stream: { audio: "aac" } }));
    const running: Promise<StreamStatus>[] = [];
    for (const fault of cases) {
      const source = await open(fault.id, fault.open);
      const played = play(fault, source, box, watch);
      played.catch(() => {});
      running.push(played);
    }
    const before = await residentBytes(box.pid);
    const settled = await Promise.allSettled(running);
    const after = await residentBytes(box.pid);
    const rows = await box.list();
    await watch.stop();
    await box.end();
    const recordings = await readAll(box);
    const outcomes = cases.map((fault, index): FaultOutcome => {
      const result = settled[index];
      const failure = result?.status === "rejected" ? [String(result.reason)] : [];
      const listed = result?.status === "fulfilled" ? result.value : watch.last(fault.id);
      const clients = sources.get(fault.id)?.camera?.clients() ?? [];
      const outcome = {
        case: fault,
        listed,
        rows: rows.filter((row) => row.camera === fault.id),
        logged: box.logOf(fault.id).filter((line) => line.level === "warn" || line.level === "error"),
        attempts: watch.last(fault.id).attempt,
        refusedCredentials: clients.reduce((sum, client) => sum + client.refusedCredentials, 0),
      };
      const runs = recordings.get(index + 2) ?? [];
      return { ...outcome, problems: [...failure, ...problemsOf(fault, outcome, runs, clients)] };
    });
    const healthyClients = sources.get(HEALTHY)?.camera?.clients() ?? [];
    const gaps = rows.filter((row) => row.camera === HEALTHY && row.kind === "gap").map((row) => `gap ${row.cause}: ${row.detail}`);
    const healthyProblems = [...gaps, ...unbroken(recordings.get(1) ?? [], healthyClients, { firstFrame: 0, missingPictures: 0 })];
    const check = await box.run("check", "--deep", "--json");
    const findings = check.code === 0 ? [] : [check.stdout, check.stderr];
    return { outcomes, healthyProblems, findings, residentBytes: { before, after }, logLines: box.log.length };
  } finally {
    await watch.stop();
    await box.end("SIGKILL");
    await Promise.all([...sources.values()].map((source) => source.stop()));
  }
}

/** Drives one case to where its fault has shown all it does; returns what `camera list` said then. */
function play(fault: FaultCase, source: Source, box: Box, watch: Watch): Promise<StreamStatus> {
  switch (fault.kind) {
    case "never":
      return playNever(fault, watch);
    case "interrupted":
      return playInterrupted(fault, source, box, watch);
    case "recorded":
      return playRecorded(fault, source, box, watch);
  }
}

async function playNever(fault: NeverCase, watch: Watch): Promise<StreamStatus> {
  const named = await watch.until(fault.id, "its end named", ({ code }) => fault.codes.includes(code ?? ""));
  if (!fault.retried) return named;
  return watch.until(fault.id, "a third attempt", ({ attempt, code }) => attempt >= 3 && fault.codes.includes(code ?? ""));
}

async function playInterrupted(fault: InterruptedCase, source: Source, box: Box, watch: Watch): Promise<StreamStatus> {
  await durable(box, fault.id, 3);
  const seen = await strike(fault, source, box, watch);
  if (!fault.recovers) return seen;
  for (const one of fault.faults) if (!isSudden(one)) source.camera?.clear(STREAM, one.kind);
  await watch.until(fault.id, "recording again", ({ state, code }) => state === "recording" && code === null);
  await durable(box, fault.id, box.logOf(fault.id, "fragment.durable").length + 2);
  return seen;
}

/** A short fault may be over before a list is asked for; it is then made again. */
async function strike(fault: InterruptedCase, source: Source, box: Box, watch: Watch): Promise<StreamStatus> {
  const lasting = fault.faults.some((one) => !isSudden(one));
  for (let tries = 1; ; tries++) {
    const ended = box.next((line) => line.event === "session.ended" && line["camera"] === fault.id, WAIT_MS);
    for (const one of fault.faults) source.camera?.inject(STREAM, one);
    if (lasting) return watch.until(fault.id, "its end named", ({ code }) => fault.codes.includes(code ?? ""));
    // The same end is logged once; what makes it listed a second time is not worth waiting for in the log.
    if (tries === 1) await ended;
    else ended.catch(() => {});
    const status = await watch.now(fault.id);
    if (fault.codes.includes(status.code ?? "")) return status;
    if (tries === 5) throw new Error(`camera list never said ${fault.codes.join(" or ")}; at last ${JSON.stringify(status)}`);
    await watch.until(fault.id, "recording again", ({ state }) => state === "recording");
  }
}

async function playRecorded(fault: RecordedCase, source: Source, box: Box, watch: Watch): Promise<StreamStatus> {
  await durable(box, fault.id, 3);
  for (const one of fault.during) source.camera?.inject(STREAM, one);
  // Two groups of pictures for the fault to show, and more than a segment for the cut.
  await durable(box, fault.id, 3 + SEGMENT_S + 3);
  return watch.until(fault.id, "recording", ({ state }) => state === "recording");
}

/** So many fragments of the camera have been reported durable. */
async function durable(box: Box, camera: string, count: number): Promise<void> {
  await until(
    `${count} durable fragments of ${camera}`,
    async () => (box.logOf(camera, "fragment.durable").length >= count ? true : null),
    WAIT_MS,
  );
}

function problemsOf(
  fault: FaultCase,
  outcome: Omit<FaultOutcome, "problems">,
  recordings: readonly RunRecording[],
  clients: readonly ClientRecord[],
): string[] {
  const { rows, logged, listed } = outcome;
  const problems: string[] = [];
  const gaps = rows.filter((row) => row.kind === "gap");
  const runs = rows.filter((row) => row.kind === "run");
  if (fault.kind === "recorded" && fault.breaks) {
    const foreign = gaps.filter((gap) => gap.cause !== "stream-fault" && gap.cause !== "no-media");
    return [
      ...foreign.map((gap) => `gap ${gap.cause} (${gap.detail})`),
      ...[...byRun(recordings).values()].flatMap((files) => damaged(files)),
    ];
  }
  if (fault.kind === "recorded") {
    for (const gap of gaps) problems.push(`gap ${gap.cause} (${gap.detail}) of ${gap.to - gap.from} ms`);
    if (runs.length !== 1) problems.push(`${runs.length} runs, expected is 1`);
    const unexpected = logged.filter((line) => line.event === "session.ended");
    for (const line of unexpected) problems.push(`session ended: ${String(line["detail"])}`);
    problems.push(...fault.says(listed), ...unbroken(recordings, clients, fault));
    const cuts = recordings.slice(0, -1).filter(({ durationMs }) => durationMs < (SEGMENT_S - 0.5) * 1000).length;
    if (fault.cut !== cuts > 0) problems.push(`${cuts} segments were cut before they were full`);
    return problems;
  }
  if (!fault.causes.includes(listed.cause ?? "")) problems.push(`camera list names the cause ${listed.cause}, expected ${fault.causes}`);
  if (listed.detail === null || listed.detail === "") problems.push("camera list gives no sentence");
  const named = gaps.filter((gap) => fault.causes.includes(gap.cause ?? ""));
  if (named.length === 0) problems.push(`ls has no gap with cause ${fault.causes}, but ${JSON.stringify(gaps)}`);
  if (named.some((gap) => !gap.detail)) problems.push("a gap has no detail");
  const lines = logged.filter((line) => line.event === "session.ended" && fault.codes.includes(String(line["code"])));
  if (outcome.refusedCredentials > 1) problems.push(`${outcome.refusedCredentials} logins were refused, 1 is allowed`);
  if (lines.length === 0) problems.push("the log does not name the end");
  for (const code of fault.codes) {
    const count = lines.filter((line) => line["code"] === code).length;
    if (count > 1) problems.push(`the log says ${code} ${count} times`);
  }
  if (fault.kind === "never") {
    if (recordings.length > 0 || runs.length > 0) problems.push("something was recorded");
    if (!named.some((gap) => gap.open)) problems.push("the gap is not open");
    return problems;
  }
  if (fault.recovers !== runs.length > 1) problems.push(`there are ${runs.length} runs`);
  if (fault.recovers === gaps.some((gap) => gap.open))
    problems.push(fault.recovers ? "a gap is open though media flows" : "no gap is open");
  // The camera may still be mute when the next session begins; its time goes on.
  for (const [at, files] of [...byRun(recordings).values()].entries())
    problems.push(...continuityProblems(files, at === 0 ? { firstFrame: 0 } : {}));
  return problems;
}

/** What is wrong with files that should be one run up to what the camera sent last. */
function unbroken(
  recordings: readonly RunRecording[],
  clients: readonly ClientRecord[],
  expected: { readonly firstFrame: number; readonly missingPictures: number },
): string[] {
  const runs = byRun(recordings);
  if (runs.size !== 1) return [`files of ${runs.size} runs, expected is 1`];
  const problems = recordings.flatMap(({ complaints, path }) => (complaints === "" ? [] : [`ffprobe about ${path}: ${complaints}`]));
  const numbers = recordings.flatMap(({ frames }) => frames.map(({ number }) => number));
  const last = numbers.at(-1) ?? -1;
  if (expected.missingPictures === 0) problems.push(...continuityProblems(recordings, { firstFrame: expected.firstFrame }));
  else {
    const missing = last + 1 - expected.firstFrame - new Set(numbers).size;
    if (missing === 0 || missing > expected.missingPictures) problems.push(`${missing} pictures are missing`);
    problems.push(...damaged(recordings));
  }
  const sent = Math.max(0, ...clients.map(({ counts }) => counts?.frames ?? 0));
  if (sent - last > ENDING_PICTURES) problems.push(`ends with picture ${last}, the camera sent ${sent}`);
  return problems;
}

/** Pictures of one run that are not in order, or not as the camera sent them. */
function damaged(recordings: readonly RunRecording[]): string[] {
  const frames = recordings.flatMap((recording) => recording.frames);
  const disorder = frames.findIndex(({ number }, index) => index > 0 && number <= (frames[index - 1]?.number ?? -1));
  const changed = frames.filter(({ variant }) => variant === null).map(({ number }) => number);
  return [
    ...(disorder < 0 ? [] : [`picture ${frames[disorder]?.number} comes after ${frames[disorder - 1]?.number}`]),
    ...(changed.length === 0 ? [] : [`pictures ${changed.slice(0, 10).join(", ")} are not the clip's, bit for bit`]),
  ];
}

/** Pictures on their way when the session is ended: a tick of the network thread, and the time TEARDOWN takes to be read. */
export const ENDING_PICTURES = 5;

/** A recording with what the segment says of itself. */
export interface RunRecording extends Recording {
  readonly run: string;
  readonly sequence: number;
  readonly durationMs: number;
  readonly complaints: string;
}

export function byRun<R extends RunRecording>(recordings: readonly R[]): Map<string, R[]> {
  return Map.groupBy(recordings, ({ run }) => run);
}

/** All closed files of a box by channel, in the order of their runs and sequences. Sound is not read. */
async function readAll(box: Box): Promise<Map<number, RunRecording[]>> {
  const channels = new Map<number, RunRecording[]>();
  const paths = await segmentFiles(box.roots[0] ?? "");
  await inTurns(paths, 3, async (path) => {
    const [{ head, durationMs }, complaints, recording] = await Promise.all([scan(path), ffprobeComplaints(path), readRecording(path)]);
    if (head === null) throw new Error(`${path} has no identity`);
    const { run, sequence, channel } = head;
    channels.set(channel, [...(channels.get(channel) ?? []), { ...recording, run, sequence, durationMs, complaints }]);
  });
  for (const recordings of channels.values()) recordings.sort((a, b) => a.path.localeCompare(b.path) || a.sequence - b.sequence);
  return channels;
}

/** Works through items, so many at a time. */
export async function inTurns<T>(items: readonly T[], width: number, work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  const worker = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

export async function residentBytes(pid: number): Promise<number> {
  const text = await Bun.file(`/proc/${pid}/status`).text();
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
}

/** One loop that asks `camera list` for everybody who waits for something in it. */
class Watch {
  readonly #box: Box;
  readonly #stopping = new AbortController();
  #cameras: readonly ListedCamera[] = [];
  #loop: Promise<void> | null = null;

  constructor(box: Box) {
    this.#box = box;
  }

  start(): void {
    this.#loop = (async () => {
      while (!this.#stopping.signal.aborted) {
        this.#cameras = await this.#box.cameras().catch(() => this.#cameras);
        await sleepMs(POLL_MS);
      }
    })();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  /** The newest answer about a camera. */
  last(id: string): StreamStatus {
    const status = this.#cameras.find((camera) => camera.id === id)?.streams[0];
    if (status === undefined) throw new Error(`camera list has no ${id}`);
    return status;
  }

  /** Asks now. */
  async now(id: string): Promise<StreamStatus> {
    this.#cameras = await this.#box.cameras();
    return this.last(id);
  }

  async until(id: string, what: string, fits: (status: StreamStatus) => boolean): Promise<StreamStatus> {
    const known = (): StreamStatus | null => {
      const status = this.#cameras.find((camera) => camera.id === id)?.streams[0];
      return status !== undefined && fits(status) ? status : null;
    };
    try {
      return await until(what, async () => known(), WAIT_MS);
    } catch (error) {
      const status = this.#cameras.find((camera) => camera.id === id)?.streams[0];
      throw new Error(`${id}: ${String(error)}; at last ${JSON.stringify(status)}`);
    }
  }
}
