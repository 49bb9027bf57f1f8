import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** CPU time used so far, microseconds. */
export interface CpuTime {
  readonly totalUs: number;
  readonly userUs: number | null;
  readonly systemUs: number | null;
}

/** Accounts for a subject's processes, all of them and their children, those that have ended included. */
export interface CpuAccount {
  /** How it counts, for the report. */
  readonly method: "cgroup v2 cpu.stat" | "schedstat of all threads";
  /** Put before a command, it makes the command's process and its children part of the account. */
  readonly wrapper: readonly string[];
  read(pids: readonly number[]): CpuTime;
  close(): void;
}

/** A cgroup where one can be made; else the threads of the processes, where threads that end between two reads are lost. */
export function openCpuAccount(name: string): CpuAccount {
  return openCgroup(name) ?? { method: "schedstat of all threads", wrapper: [], read: readSchedstat, close() {} };
}

function openCgroup(name: string): CpuAccount | null {
  const mount = /^\S+ (\S+) cgroup2 /m.exec(readFileSync("/proc/self/mounts", "utf8"))?.[1];
  const own = /^0::(.*)$/m.exec(readFileSync("/proc/self/cgroup", "utf8"))?.[1];
  if (mount === undefined || own === undefined) return null;
  const dir = join(mount, own, `easyrms-bench-${process.pid}-${name}`);
  try {
    mkdirSync(dir);
    // What the child will do to itself before it becomes the subject.
    writeFileSync(join(dir, "cgroup.procs"), "");
  } catch (error) {
    if (!isRefusal(error)) throw error;
    removeCgroup(dir);
    return null;
  }
  return {
    method: "cgroup v2 cpu.stat",
    wrapper: ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', dir],
    read() {
      const text = readFileSync(join(dir, "cpu.stat"), "utf8");
      const at = (key: string): number => Number(new RegExp(`^${key} (\\d+)$`, "m").exec(text)?.[1] ?? Number.NaN);
      return { totalUs: at("usage_usec"), userUs: at("user_usec"), systemUs: at("system_usec") };
    },
    close: () => removeCgroup(dir),
  };
}

const isRefusal = (error: unknown): boolean =>
  error instanceof Error && "code" in error && ["EACCES", "EPERM", "EROFS", "ENOENT", "EINVAL"].includes(String(error.code));

function removeCgroup(dir: string): void {
  try {
    rmdirSync(dir);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
}

function readSchedstat(pids: readonly number[]): CpuTime {
  const totalUs = pids.reduce((sum, pid) => sum + [...threadTimes(pid).values()].reduce((all, { us }) => all + us, 0), 0);
  return { totalUs, userUs: null, systemUs: null };
}

/** CPU time of each thread of a process by thread id, microseconds (first field of schedstat, in nanoseconds). */
export function threadTimes(pid: number): Map<number, { readonly name: string; readonly us: number }> {
  const times = new Map<number, { readonly name: string; readonly us: number }>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      const name = thread === String(pid) ? "main" : readFileSync(`/proc/${pid}/task/${thread}/comm`, "utf8").trim();
      const [ns] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ");
      times.set(Number(thread), { name, us: Number(ns) / 1000 });
    } catch {
      // The thread ended meanwhile.
    }
  }
  return times;
}

/** CPU time of the whole machine spent on something, all cores together, microseconds. /proc/stat counts in hundredths of a second. */
export function machineBusyUs(): number {
  const [, ...fields] = (/^cpu +.*$/m.exec(readFileSync("/proc/stat", "utf8"))?.[0] ?? "").split(/ +/);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0] = fields.map(Number);
  return (user + nice + system + irq + softIrq) * 10_000;
}

/** Memory of a process, bytes. */
export interface Memory {
  readonly rssBytes: number;
  /** Shared pages divided among those who share them. */
  readonly pssBytes: number;
}

/** Memory of the processes together. */
export function memoryOf(pids: readonly number[]): Memory {
  const sum = { rssBytes: 0, pssBytes: 0 };
  for (const pid of pids) {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    const at = (key: string): number => Number(new RegExp(`^${key}: +(\\d+) kB$`, "m").exec(text)?.[1] ?? Number.NaN) * 1024;
    sum.rssBytes += at("Rss");
    sum.pssBytes += at("Pss");
  }
  return sum;
}
