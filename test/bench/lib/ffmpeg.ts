import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { segmentFiles } from "../../e2e/segments.ts";
import type { Launch, Subject, SubjectCounters } from "./subject.ts";

/** Same length as the product's segments. */
const SEGMENT_S = 60;

/** What most network video recorders do: one `ffmpeg -c copy -f segment` per camera. Fragmented QuickTime, since ffmpeg's MP4 takes no PCMA. */
export class Ffmpeg implements Subject {
  readonly name = "ffmpeg";
  readonly #children = new Map<string, ChildProcess>();
  #launch: Launch | null = null;
  #complaints = "";

  start(launch: Launch): Promise<void> {
    this.#launch = launch;
    return Promise.resolve();
  }

  record(urls: Readonly<Record<string, string>>): Promise<void> {
    const { dir, wrapper } = this.#started;
    for (const [id, url] of Object.entries(urls)) {
      const out = join(dir, id);
      mkdirSync(out, { recursive: true });
      const input = ["-nostdin", "-v", "error", "-rtsp_transport", "tcp", "-i", url, "-map", "0", "-c", "copy"];
      const fragments = "movflags=frag_keyframe+empty_moov+default_base_moof";
      const segments = ["-f", "segment", "-segment_time", `${SEGMENT_S}`, "-segment_format", "mov", "-segment_format_options", fragments];
      const [command = "", ...args] = [...wrapper, "ffmpeg", ...input, ...segments, "-reset_timestamps", "1", join(out, "%05d.mp4")];
      const child = spawn(command, args, { stdio: ["ignore", "ignore", "pipe"] });
      child.stderr?.on("data", (chunk) => {
        this.#complaints = (this.#complaints + String(chunk)).slice(-4000);
      });
      child.once("error", (error) => {
        this.#complaints += error.message;
      });
      this.#children.set(id, child);
    }
    return Promise.resolve();
  }

  pids(): readonly number[] {
    return [...this.#children.values()].flatMap(({ pid, exitCode, signalCode }) =>
      pid === undefined || exitCode !== null || signalCode !== null ? [] : [pid],
    );
  }

  counters(): Promise<SubjectCounters> {
    return Promise.resolve({});
  }

  losses(): Promise<readonly string[]> {
    const ended = this.#children.size - this.pids().length;
    const complaints = this.#complaints === "" ? [] : [`ffmpeg says: ${this.#complaints}`];
    return Promise.resolve(ended === 0 ? complaints : [`${ended} ffmpeg processes have ended`, ...complaints]);
  }

  async stop(): Promise<ReadonlyMap<string, readonly string[]>> {
    await Promise.all([...this.#children.values()].map(interrupt));
    const files = new Map<string, readonly string[]>();
    for (const id of this.#children.keys()) files.set(id, await segmentFiles(join(this.#started.dir, id)));
    return files;
  }

  get #started(): Launch {
    if (this.#launch === null) throw new Error("ffmpeg was not started");
    return this.#launch;
  }
}

function interrupt(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once("exit", () => resolve());
    child.kill("SIGINT");
  });
}
