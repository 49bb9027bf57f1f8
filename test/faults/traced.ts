import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { LogLine } from "../e2e/box.ts";

const REPOSITORY = join(import.meta.dirname, "..", "..");
const TARGET = join(REPOSITORY, "var", "tracer");
const TRACER = join(TARGET, "release", "tracer");

/** What happens at the chosen call, or with "short" at each of so many that write. Errors are numbers of errno(3). */
export type TracerAct = "kill" | "short" | `error:${number}`;

/** A call that changes something below the watched folder. */
export interface TracedPoint {
  readonly number: number;
  /** Since the start of the program. */
  readonly elapsedMs: number;
  readonly call: string;
  /** Below the watched folder. */
  readonly path: string;
}

/** Builds the tracer, where it is not yet. */
export function buildTracer(): void {
  const { status, stderr } = spawnSync("cargo", ["build", "--release", "--quiet", "--locked", "--target-dir", TARGET], {
    cwd: join(import.meta.dirname, "tracer"),
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`the tracer does not build: ${stderr}`);
}

export interface TracedOptions {
  /** Calls on files below are points. */
  readonly watched: string;
  readonly act: TracerAct;
  /** Number of the call that is interfered with, or of calls that write for each that is; 0 for none. */
  readonly point: number;
  /** Where the calls are written to. */
  readonly tracePath: string;
}

/** To be put in front of a command. */
export function tracerCommand({ watched, act, point, tracePath }: TracedOptions): string[] {
  return [TRACER, tracePath, `${watched}/`, act, String(point), "--"];
}

/** A recorder whose calls are counted and interfered with. */
export class TracedServe {
  readonly log: LogLine[] = [];
  readonly ended: Promise<number>;
  readonly #child: ChildProcess;
  readonly #tracePath: string;
  #running = true;

  constructor(options: TracedOptions & { readonly config: string }) {
    this.#tracePath = options.tracePath;
    const command = [...tracerCommand(options), join(REPOSITORY, "dist", "easyrms"), "serve", "--config", options.config];
    const [program = "", ...args] = command;
    this.#child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    if (this.#child.stdout === null) throw new Error("the recorder has no stdout");
    const lines = createInterface({ input: this.#child.stdout });
    lines.on("line", (text) => {
      if (text.startsWith("{")) this.log.push(JSON.parse(text) as LogLine);
    });
    const closed = new Promise((resolve) => lines.once("close", resolve));
    this.ended = new Promise((resolve, reject) => {
      this.#child.once("error", reject);
      this.#child.once("exit", (code) => {
        this.#running = false;
        void closed.then(() => resolve(code ?? -1));
      });
    });
  }

  get running(): boolean {
    return this.#running;
  }

  has(event: string): boolean {
    return this.log.some((line) => line.event === event);
  }

  count(event: string): number {
    return this.log.filter((line) => line.event === event).length;
  }

  /** Asks the program, through its tracer, to end; `SIGKILL` ends both. */
  signal(signal: "SIGTERM" | "SIGKILL"): void {
    this.#child.kill(signal);
  }

  /** The calls so far. */
  points(): TracedPoint[] {
    return tracedPoints(this.#tracePath);
  }
}

/** The calls that a tracer has written there. */
export function tracedPoints(tracePath: string): TracedPoint[] {
  if (!existsSync(tracePath)) return [];
  return readFileSync(tracePath, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [number = "", elapsedMs = "", call = "", path = ""] = line.split("\t");
      return { number: Number(number), elapsedMs: Number(elapsedMs), call, path };
    });
}
