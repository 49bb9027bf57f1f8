import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { StreamStatus } from "../../src/recording/types.ts";

const REPOSITORY = join(import.meta.dirname, "..", "..");
const EASYRMS = join(REPOSITORY, "dist", "easyrms");

/** One line of the service's log. */
export interface LogLine {
  readonly level: string;
  readonly time: string;
  readonly event: string;
  readonly [field: string]: unknown;
}

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface BoxOptions {
  /** Folder under `var/`; emptied first. */
  readonly name: string;
  /** That folder lies here instead. */
  readonly dir?: string;
  readonly limit?: string;
  readonly reserve?: string;
  readonly segment?: string;
  /** Recording roots; default one inside the folder. */
  readonly roots?: readonly string[];
  /** Default one inside the folder. */
  readonly stateDir?: string;
  readonly zone?: string;
  /** `clock.trust`; default "always": the machine of a test may have no RTC and no NTP. */
  readonly trust?: "auto" | "always";
  /** Default "debug", which reports every durable fragment. */
  readonly logLevel?: "debug" | "info";
}

/** One line of `ls --json`. */
export interface ListedRow {
  readonly kind: "segment" | "run" | "gap";
  readonly camera: string;
  readonly stream: string;
  readonly from: number;
  readonly to: number;
  readonly path?: string;
  readonly bytes?: number;
  readonly state?: string;
  readonly cause?: string;
  readonly detail?: string | null;
  readonly open?: boolean;
  readonly run?: string;
  readonly sequence?: number;
  readonly endCause?: string | null;
}

/** One camera of `camera list --json`. */
export interface ListedCamera {
  readonly id: string;
  readonly url: string;
  readonly username: string | null;
  readonly hasPassword: boolean;
  readonly streams: readonly StreamStatus[];
}

/** The built product in a folder of its own, driven from outside: config file, process, command line. */
export class Box {
  readonly dir: string;
  readonly config: string;
  readonly roots: readonly string[];
  /** Log lines of all `serve` processes so far. */
  readonly log: LogLine[] = [];
  #serve: ChildProcess | null = null;
  readonly #waiting = new Set<(line: LogLine) => void>();

  private constructor(dir: string, roots: readonly string[]) {
    this.dir = dir;
    this.config = join(dir, "easyrms.toml");
    this.roots = roots;
  }

  static async create(options: BoxOptions): Promise<Box> {
    const dir = options.dir ?? join(REPOSITORY, "var", "test", options.name);
    await rm(dir, { recursive: true, force: true });
    await mkdir(dir, { recursive: true });
    const roots = options.roots ?? [join(dir, "media")];
    for (const root of roots) await mkdir(root, { recursive: true });
    const box = new Box(dir, roots);
    await writeFile(
      box.config,
      [
        'serial = "TEST0001"',
        `zone = "${options.zone ?? "Asia/Shanghai"}"`,
        "[storage]",
        `roots = ${JSON.stringify(roots)}`,
        `reserve = "${options.reserve ?? "64MB"}"`,
        ...(options.limit === undefined ? [] : [`limit = "${options.limit}"`]),
        "[clock]",
        `trust = "${options.trust ?? "always"}"`,
        "[state]",
        `dir = "${options.stateDir ?? "state"}"`,
        "[api]",
        'socket = "api.sock"',
        "[recording]",
        `segment = "${options.segment ?? "60s"}"`,
        "[log]",
        `level = "${options.logLevel ?? "debug"}"`,
        "",
      ].join("\n"),
    );
    return box;
  }

  get pid(): number {
    const pid = this.#serve?.pid;
    if (pid === undefined) throw new Error("serve is not running");
    return pid;
  }

  /** Starts `serve` (through `wrapper` if given, e.g. strace) and waits until it is ready. */
  async serve(wrapper: readonly string[] = []): Promise<void> {
    const [command = EASYRMS, ...args] = [...wrapper, EASYRMS, "serve", "--config", this.config];
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#serve = child;
    let stderr = "";
    child.stderr.on("data", (chunk) => {
      stderr = (stderr + String(chunk)).slice(-4000);
    });
    createInterface({ input: child.stdout }).on("line", (text) => this.#take(text));
    const ended = new Promise<never>((_resolve, reject) => {
      child.once("exit", (code, signal) => reject(new Error(`serve ended with ${code ?? signal}: ${stderr}`)));
    });
    ended.catch(() => {});
    await Promise.race([this.next((line) => line.event === "service.ready", 30_000), ended]);
  }

  /** The next log line that fits, from now on. */
  next(fits: (line: LogLine) => boolean, timeoutMs: number): Promise<LogLine> {
    return new Promise((resolve, reject) => {
      const take = (line: LogLine) => {
        if (!fits(line)) return;
        clearTimeout(timer);
        this.#waiting.delete(take);
        resolve(line);
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(take);
        reject(new Error(`no such log line within ${timeoutMs} ms; last: ${JSON.stringify(this.log.at(-1))}`));
      }, timeoutMs);
      this.#waiting.add(take);
    });
  }

  /** Sends the signal and waits for the end of the process. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    const child = this.#serve;
    if (child === null) return null;
    this.#serve = null;
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const exit = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
    child.kill(signal);
    return exit;
  }

  /** Runs one CLI command on this box. */
  run(...args: readonly string[]): Promise<CliResult> {
    return runCli([...args, "--config", this.config]);
  }

  /** Runs one CLI command that must succeed; returns its JSON lines. */
  async json<T>(...args: readonly string[]): Promise<T[]> {
    const result = await this.run(...args, "--json");
    if (result.code !== 0) throw new Error(`easyrms ${args.join(" ")}: exit ${result.code}: ${result.stderr}${result.stdout}`);
    return result.stdout
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as T);
  }

  async add(id: string, url: string, ...flags: readonly string[]): Promise<void> {
    const result = await this.run("camera", "add", id, url, ...flags);
    if (result.code !== 0) throw new Error(`camera add ${id}: exit ${result.code}: ${result.stderr}`);
  }

  /** Rows of `ls` since the beginning of time. */
  list(...args: readonly string[]): Promise<ListedRow[]> {
    return this.json<ListedRow>("ls", ...args, "--from", "2020-01-01T00:00:00Z");
  }

  /** `camera list --json`. */
  async cameras(): Promise<readonly ListedCamera[]> {
    const [reply] = await this.json<{ readonly cameras: readonly ListedCamera[] }>("camera", "list");
    return reply?.cameras ?? [];
  }

  /** Lines of the log about one camera. */
  logOf(camera: string, event?: string): LogLine[] {
    return this.log.filter((line) => line["camera"] === camera && (event === undefined || line.event === event));
  }

  #take(text: string): void {
    let line: LogLine;
    try {
      line = JSON.parse(text) as LogLine;
    } catch {
      return;
    }
    this.log.push(line);
    for (const take of [...this.#waiting]) take(line);
  }
}

/** Runs the built command line tool. */
export function runCli(args: readonly string[], stdin: string | null = null): Promise<CliResult> {
  return runProgram(EASYRMS, args, stdin);
}

/** Runs a program to its end. */
export function runProgram(command: string, args: readonly string[], stdin: string | null = null): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...args], { stdio: ["pipe", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk) => {
      stdout += String(chunk);
    });
    child.stderr.on("data", (chunk) => {
      stderr += String(chunk);
    });
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, stdout, stderr }));
    child.stdin.end(stdin ?? "");
  });
}

export const sleepMs = (delayMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, delayMs));

/** Asks until the answer is not null; the condition is what the test waits for, never a duration. */
export async function until<T>(what: string, ask: () => Promise<T | null>, timeoutMs = 30_000): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== null) return answer;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await sleepMs(200);
  }
}
