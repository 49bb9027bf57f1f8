import { mkdirSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { sleepMs } from "../../e2e/box.ts";
import { progress } from "../../faults/proof.ts";
import { Cameras, type Pacing } from "./cameras.ts";
import { type CpuAccount, type CpuTime, type Memory, machineBusyUs, memoryOf, openCpuAccount, threadTimes } from "./cpu.ts";
import { checkFrames, type FrameCheck } from "./frames.ts";
import type { Subject, SubjectCounters } from "./subject.ts";
import { countSyscalls, type SyscallCount } from "./syscalls.ts";

export interface Load {
  readonly streams: number;
  readonly pacing: Pacing;
}

/** A subject without cameras. */
export interface Idle extends Memory {
  readonly corePercent: number;
}

/** One subject, measured alone with the cameras. Shares of CPU are percent of one core. */
export interface Round {
  readonly subject: string;
  readonly seconds: number;
  readonly corePercent: number;
  readonly systemCorePercent: number | null;
  /** By thread name; "main" are the first threads of processes. */
  readonly threads: Readonly<Record<string, number>>;
  readonly memory: Memory;
  /** Null for a subject that has no process without cameras. */
  readonly idle: Idle | null;
  /** Media that it holds in RAM on purpose; null if it does not say. */
  readonly ringBytes: number | null;
  /** What its own counters grew by, per second. */
  readonly rates: SubjectCounters;
  readonly packetsPerSecond: number;
  readonly cameraCorePercent: number;
  /** Everything else that ran on the machine meanwhile: the noise. */
  readonly foreignCorePercent: number;
  readonly frames: FrameCheck;
  readonly cpuMethod: CpuAccount["method"];
}

/** After PLAY: rings, pools and the disk's cache are in their steady state. */
const SETTLE_MS = 5000;
const IDLE_MS = 5000;
const WORK_DIR = join(import.meta.dirname, "..", "..", "..", "var", "bench-record");

/** With two cores or more the cameras have the first and the subject the second, whatever it consists of. */
export const PINNED = availableParallelism() >= 2;
const pin = (cpu: number): readonly string[] => (PINNED ? ["taskset", "-c", `${cpu}`] : []);

/** Starts cameras and subject, hands them over, and leaves nothing behind. */
async function withSubject<T>(
  subject: Subject,
  { streams, pacing }: Load,
  work: (cameras: Cameras, account: CpuAccount) => Promise<T>,
): Promise<T> {
  rmSync(WORK_DIR, { recursive: true, force: true });
  mkdirSync(WORK_DIR, { recursive: true });
  const account = openCpuAccount(subject.name);
  const cameras = await Cameras.start(streams, pacing, pin(0));
  try {
    await subject.start({ dir: WORK_DIR, wrapper: [...account.wrapper, ...pin(1)] });
    return await work(cameras, account);
  } finally {
    const files = await subject.stop();
    await cameras.stop();
    account.close();
    for (const path of [...files.values()].flat()) rmSync(path, { force: true });
    rmSync(WORK_DIR, { recursive: true, force: true });
  }
}

/** Records for a window of `seconds` and says what it cost. */
export function measureRound(subject: Subject, load: Load, seconds: number): Promise<Round> {
  return withSubject(subject, load, async (cameras, account) => {
    const idle = await measureIdle(subject, account);
    await subject.record(cameras.urls);
    await cameras.playing();
    await sleepMs(SETTLE_MS);
    const [countersBefore, countersFrom] = [await subject.counters(), performance.now()];
    const [before, sentBefore] = [look(subject, cameras, account), await cameras.sent()];
    await sleepMs(seconds * 1000);
    const [after, sentAfter] = [look(subject, cameras, account), await cameras.sent()];
    const memory = memoryOf(subject.pids());
    const [countersAfter, countersS] = [await subject.counters(), (performance.now() - countersFrom) / 1000];
    const losses = await subject.losses();
    progress(`${subject.name}: checking every picture`);
    const files = await subject.stop();
    const sent = await cameras.sent();
    const frames = await checkFrames(files, sent.frames);
    const wallUs = after.wallUs - before.wallUs;
    const share = (us: number): number => (us / wallUs) * 100;
    const subjectUs = after.cpu.totalUs - before.cpu.totalUs;
    const cameraUs = after.cameraUs - before.cameraUs;
    return {
      subject: subject.name,
      seconds: wallUs / 1e6,
      corePercent: share(subjectUs),
      systemCorePercent: before.cpu.systemUs === null ? null : share((after.cpu.systemUs ?? 0) - before.cpu.systemUs),
      threads: threadShares(before, after, share),
      memory,
      idle,
      ringBytes: countersAfter["ring_bytes"] ?? null,
      rates: Object.fromEntries(
        Object.entries(countersAfter).map(([name, value]) => [name, (value - (countersBefore[name] ?? 0)) / countersS]),
      ),
      packetsPerSecond: ((sentAfter.packets - sentBefore.packets) * 1e6) / wallUs,
      cameraCorePercent: share(cameraUs),
      foreignCorePercent: share(Math.max(0, after.busyUs - before.busyUs - subjectUs - cameraUs)),
      frames: { ...frames, problems: [...sent.problems, ...losses, ...frames.problems] },
      cpuMethod: account.method,
    };
  });
}

/** Counts syscalls in a recording of its own. */
export function measureSyscalls(subject: Subject, load: Load, seconds: number): Promise<SyscallCount> {
  return withSubject(subject, load, async (cameras) => {
    await subject.record(cameras.urls);
    await cameras.playing();
    await sleepMs(SETTLE_MS);
    return countSyscalls(subject.pids(), seconds, cameras, join(WORK_DIR, "strace.txt"));
  });
}

async function measureIdle(subject: Subject, account: CpuAccount): Promise<Idle | null> {
  if (subject.pids().length === 0) return null;
  await sleepMs(IDLE_MS);
  const [before, from] = [account.read(subject.pids()), performance.now()];
  await sleepMs(IDLE_MS);
  const [after, elapsedUs] = [account.read(subject.pids()), (performance.now() - from) * 1000];
  return { ...memoryOf(subject.pids()), corePercent: ((after.totalUs - before.totalUs) / elapsedUs) * 100 };
}

/** Everything that is read at both ends of a window, at one moment. */
interface Look {
  readonly wallUs: number;
  readonly cpu: CpuTime;
  readonly busyUs: number;
  readonly cameraUs: number;
  /** By process and thread id. */
  readonly threads: ReadonlyMap<string, { readonly name: string; readonly us: number }>;
}

function look(subject: Subject, cameras: Cameras, account: CpuAccount): Look {
  const pids = subject.pids();
  return {
    wallUs: performance.now() * 1000,
    cpu: account.read(pids),
    busyUs: machineBusyUs(),
    cameraUs: [...threadTimes(cameras.pid).values()].reduce((sum, { us }) => sum + us, 0),
    threads: new Map(pids.flatMap((pid) => [...threadTimes(pid)].map(([tid, time]) => [`${pid}/${tid}`, time] as const))),
  };
}

function threadShares(before: Look, after: Look, share: (us: number) => number): Record<string, number> {
  const shares: Record<string, number> = {};
  for (const [key, { name, us }] of after.threads) {
    shares[name] = (shares[name] ?? 0) + share(us - (before.threads.get(key)?.us ?? 0));
  }
  return shares;
}
