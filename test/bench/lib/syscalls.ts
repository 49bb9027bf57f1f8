import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { sleepMs, until } from "../../e2e/box.ts";
import type { Cameras } from "./cameras.ts";

/** Syscalls of a subject while strace counted them; null numbers if it fell behind, since then packets sent are not packets taken. */
export interface SyscallCount {
  readonly perPacket: number | null;
  readonly perSecond: number | null;
  /** The most frequent ones, calls per second by name. */
  readonly top: Readonly<Record<string, number>>;
}

const TOP = 8;
/** Of a subject with a process per camera no more are traced: each stop costs so much that sixteen of them no longer keep up. */
const MAX_TRACED = 2;
/** More than this waiting in the cameras is a subject that falls behind. */
const BEHIND_BYTES = 1_000_000;

/**
 * Attaches strace to all threads of the subject's processes for so long. Slows them down, so nothing else is measured meanwhile.
 * Several processes are taken for equals: some of them are traced, and numbers are scaled up to all.
 */
export async function countSyscalls(all: readonly number[], seconds: number, cameras: Cameras, summary: string): Promise<SyscallCount> {
  const pids = all.slice(0, MAX_TRACED);
  const strace = spawn("strace", ["-c", "-f", "-o", summary, ...pids.flatMap((pid) => ["-p", `${pid}`])], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  strace.stderr.on("data", (chunk) => {
    said += String(chunk);
  });
  const ended = new Promise<void>((resolve, reject) => {
    strace.once("error", reject);
    strace.once("exit", () => resolve());
  });
  ended.catch(() => {});
  await until("strace attached", () => {
    if (strace.exitCode !== null) throw new Error(`strace ended with ${strace.exitCode}: ${said}`);
    return Promise.resolve(pids.every((pid) => said.includes(`Process ${pid} attached`)) ? true : null);
  });
  const [before, started] = [await cameras.sent(), performance.now()];
  await sleepMs(seconds * 1000);
  strace.kill("SIGINT");
  const [after, elapsedS] = [await cameras.sent(), (performance.now() - started) / 1000];
  await ended;
  const calls = parseSummary(await readFile(summary, "utf8"));
  if (after.problems.length > 0 || after.queuedBytes > BEHIND_BYTES) return { perPacket: null, perSecond: null, top: {} };
  const scale = all.length / pids.length;
  const total = [...calls.values()].reduce((sum, count) => sum + count, 0) * scale;
  return {
    perPacket: total / (after.packets - before.packets),
    perSecond: total / elapsedS,
    top: Object.fromEntries(
      [...calls]
        .sort(([, a], [, b]) => b - a)
        .slice(0, TOP)
        .map(([name, count]) => [name, Math.round((count * scale) / elapsedS)]),
    ),
  };
}

/** Calls by name out of strace's table: % time, seconds, usecs/call, calls, errors (may be empty), syscall. */
function parseSummary(text: string): Map<string, number> {
  const calls = new Map<string, number>();
  for (const line of text.split("\n")) {
    const [, count, name] = /^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$/.exec(line) ?? [];
    if (name !== undefined && name !== "total") calls.set(name, Number(count));
  }
  return calls;
}
