/** The recorder on four virtual cameras, to look at. Usage: ./build.sh demo [--seconds N] */
import { readFileSync } from "node:fs";
import { relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { checkText } from "../../src/cli/check.ts";
import type { Client } from "../../src/cli/client.ts";
import { cameraList } from "../../src/commands/camera-list.ts";
import { ls } from "../../src/commands/ls.ts";
import { status } from "../../src/commands/status.ts";
import { startVirtualCamera, type VirtualCamera } from "../fakes/camera/camera.ts";
import { DEMO_CAMERAS, STREAM } from "./cameras.ts";
import { DemoRecorder } from "./recorder.ts";
import { readRecordings } from "./recordings.ts";
import { Screen } from "./screen.ts";
import { type CameraSummary, type Listed, shortcomings, summaryText } from "./view.ts";

const USAGE = `usage: ./build.sh demo [--seconds N]
  Records four virtual cameras under var/demo until Ctrl-C, or for N seconds, then checks what was recorded.
  Exit code 0: every camera recorded without a gap, and "check --deep" found nothing.
`;

const DIR = resolve(import.meta.dir, "..", "..", "var", "demo");
const REDRAW_MS = 1000;
/** Kernel ticks a second in /proc (USER_HZ, fixed on Linux). */
const USER_HZ = 100;

function readSeconds(argv: string[]): number | null {
  const { values } = parseArgs({ args: argv, options: { seconds: { type: "string" }, help: { type: "boolean", short: "h" } } });
  if (values.help === true) {
    process.stdout.write(USAGE);
    process.exit(0);
  }
  if (values.seconds === undefined) return null;
  const seconds = Number(values.seconds);
  if (!Number.isFinite(seconds) || seconds <= 0) throw new Error(`--seconds is ${values.seconds}, allowed is a number above 0`);
  return seconds;
}

/** Processor time of a process so far, in seconds (proc_pid_stat(5), fields 14 and 15). */
function cpuSeconds(pid: number | null): number | null {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    return (Number(fields[11]) + Number(fields[12])) / USER_HZ;
  } catch {
    return null;
  }
}

/** Segments and gaps by camera. The time before a camera's first picture is no gap of the demo: rows come oldest first. */
async function list(client: Client): Promise<Map<string, Listed>> {
  const listed = new Map<string, Listed>();
  for await (const items of client.stream(ls, {})) {
    for (const item of items) {
      const { segments, bytes, gaps } = listed.get(item.camera) ?? { segments: 0, bytes: 0, gaps: 0 };
      if (item.kind === "segment") listed.set(item.camera, { segments: segments + 1, bytes: bytes + item.bytes, gaps });
      if (item.kind === "gap" && segments > 0) listed.set(item.camera, { segments, bytes, gaps: gaps + 1 });
    }
  }
  return listed;
}

/** Shows the recorder at work until the time is over or `signal` is aborted. Returns what it listed last. */
async function watch(
  recorder: DemoRecorder,
  totalMs: number | null,
  screen: Screen,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Listed>> {
  // Not the demo's own signal: the last round of questions is answered even when Ctrl-C comes in between.
  const client = recorder.client(new AbortController().signal);
  const startedMs = performance.now();
  let listed: ReadonlyMap<string, Listed> = new Map();
  let last = { atMs: startedMs, cpuS: cpuSeconds(recorder.pid) };
  for (;;) {
    if (recorder.ended) throw new Error(`easyrms serve ended: ${recorder.logTail()}`);
    const [service, cameras, files] = await Promise.all([client.call(status, {}), client.call(cameraList, {}), list(client)]);
    listed = files;
    const now = { atMs: performance.now(), cpuS: cpuSeconds(recorder.pid) };
    const elapsedMs = now.atMs - startedMs;
    const spanS = (now.atMs - last.atMs) / 1000;
    screen.show({
      elapsedMs,
      totalMs,
      nowUtcMs: cameras.nowUtcMs,
      streams: cameras.cameras.flatMap(({ streams }) => streams),
      listed,
      roots: service.roots,
      cores: now.cpuS === null || last.cpuS === null || spanS < 0.5 ? null : (now.cpuS - last.cpuS) / spanS,
    });
    last = now;
    if (signal.aborted || (totalMs !== null && elapsedMs >= totalMs)) return listed;
    const restMs = totalMs === null ? REDRAW_MS : totalMs - elapsedMs;
    await pause(Math.min(REDRAW_MS, restMs), signal);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}

/** Says what is on disk and whether it is whole; returns the exit code. */
async function summarize(recorder: DemoRecorder, listed: ReadonlyMap<string, Listed>, screen: Screen): Promise<number> {
  const files = readRecordings(recorder.root);
  const cameras = DEMO_CAMERAS.map(({ id }, index): CameraSummary => {
    const recorded = files.get(`DEMO0001_${index + 1}`) ?? { segments: 0, durationMs: 0, bytes: 0 };
    return { id, ...recorded, gaps: listed.get(id)?.gaps ?? 0 };
  });
  process.stdout.write(summaryText(cameras, screen.colour));
  const report = await recorder.check();
  process.stdout.write(checkText(report, screen.colour));
  process.stdout.write(`Files: ${relative(process.cwd(), recorder.root)}\n`);
  const failures = shortcomings(cameras);
  if (failures.length > 0)
    process.stdout.write(`Not as it should be: ${failures.join(", ")}. See ${relative(process.cwd(), recorder.logPath)}\n`);
  return failures.length === 0 && report.findings.length === 0 ? 0 : 1;
}

async function main(): Promise<number> {
  let seconds: number | null;
  try {
    seconds = readSeconds(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
    return 2;
  }
  const ending = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => ending.abort());
  const recorder = new DemoRecorder(DIR);
  const cameras: VirtualCamera[] = [];
  const screen = new Screen();
  process.on("exit", () => recorder.kill());
  try {
    for (const { options } of DEMO_CAMERAS) cameras.push(await startVirtualCamera(options));
    await recorder.start(ending.signal);
    for (const [index, { id, credentials }] of DEMO_CAMERAS.entries()) {
      const camera = cameras[index];
      if (camera === undefined) continue;
      await recorder.add(id, `rtsp://127.0.0.1:${camera.port}/${STREAM}`, credentials);
    }
    process.stdout.write(`API: curl --unix-socket ${relative(process.cwd(), recorder.socket)} http://localhost/api/v1/cameras\n`);
    process.stdout.write(`Log: ${relative(process.cwd(), recorder.logPath)}\n\n`);
    const listed = await watch(recorder, seconds === null ? null : seconds * 1000, screen, ending.signal);
    screen.end();
    const code = await recorder.stop();
    if (code !== 0) throw new Error(`easyrms serve ended with ${code ?? "SIGKILL"}: ${recorder.logTail()}`);
    return await summarize(recorder, listed, screen);
  } catch (error) {
    screen.end();
    process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
    await recorder.stop();
    return ending.signal.aborted ? 130 : 1;
  } finally {
    for (const camera of cameras) await camera.stop();
  }
}

process.exit(await main());
