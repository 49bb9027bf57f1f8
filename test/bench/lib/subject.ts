import type { AudioKind } from "../../fakes/camera/clip.ts";

/** Sound of the benchmark's cameras. */
export const BENCH_AUDIO: AudioKind = "pcma";

/** How a subject's processes are started. */
export interface Launch {
  /** Folder of its own, emptied already; everything it writes is below. */
  readonly dir: string;
  /** Put before each command: CPU account and CPU mask. */
  readonly wrapper: readonly string[];
}

/** Counters of a subject since its start, by name; empty where it has none. */
export type SubjectCounters = Readonly<Record<string, number>>;

/** A recorder under measurement: started without cameras, then given all of them, then ended. */
export interface Subject {
  readonly name: string;
  /** Starts what it needs before there are cameras. */
  start(launch: Launch): Promise<void>;
  /** Begins to record; resolves when all was asked for. */
  record(urls: Readonly<Record<string, string>>): Promise<void>;
  /** Processes that run now. */
  pids(): readonly number[];
  /** Its own numbers; costs the subject a little, so not to be read within a window. */
  counters(): Promise<SubjectCounters>;
  /** What it says it lost; empty if nothing. */
  losses(): Promise<readonly string[]>;
  /** Ends it so that its files are whole; returns them in order, by camera. Safe to call twice. */
  stop(): Promise<ReadonlyMap<string, readonly string[]>>;
}
