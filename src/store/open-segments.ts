import type { Clock } from "../base/clock.ts";
import type { BootShift } from "./clock/boot-shift.ts";
import type { Root } from "./context.ts";
import { segmentKey } from "./leases.ts";
import type { Roots } from "./roots/roots.ts";
import type { Progress } from "./timeline.ts";
import type { RunStart, SegmentId, StreamPlace } from "./types.ts";

/** A segment that grows. How far it has got is kept here only, never written. */
export interface OpenSegment {
  readonly root: Root;
  /** Durable, as last reported. */
  readonly bytes: number;
  readonly endUtcMs: number;
  /** Path below `<root>/<name>/`. */
  readonly file: string;
  readonly run: RunStart;
  /** The final name once Close 1 has chosen it, null before. */
  finalFile: string | null;
  readonly startUtcMs: number;
}

interface Entry extends OpenSegment {
  bytes: number;
  endUtcMs: number;
}

/** Tickets of a stream that may still become files: one is unused at most, the others wait for their facts to be booked. */
const MAX_PLANNED = 8;

/** The segments this process has open. */
export class OpenSegments implements Progress {
  readonly #roots: Pick<Roots, "known">;
  readonly #clock: Clock;
  readonly #shift: BootShift;
  readonly #segments = new Map<string, Entry>();
  /** Runs that go on, as they began. */
  readonly #runs = new Map<string, RunStart>();
  readonly #runEnds = new Map<string, number>();
  /** Per stream, the newest planned segments: their files appear before anybody tells us. */
  readonly #planned = new Map<string, string[]>();

  /** Times are kept as files say them, and told as `shift` moves them. */
  constructor(roots: Pick<Roots, "known">, clock: Clock, shift: BootShift) {
    this.#roots = roots;
    this.#clock = clock;
    this.#shift = shift;
  }

  plan(place: StreamPlace, id: SegmentId): void {
    const planned = this.#planned.get(place.name) ?? [];
    this.#planned.set(place.name, [...planned, segmentKey(id)].slice(-MAX_PLANNED));
  }

  beginRun(run: RunStart): void {
    this.#runs.set(run.run, run);
  }

  /** The run as it began; undefined for one that is not going on. */
  endRun(run: string): RunStart | undefined {
    const begun = this.#runs.get(run);
    this.#runs.delete(run);
    this.#runEnds.delete(run);
    return begun;
  }

  /** The run is as `beginRun` told; one never told of began with this segment, and its clock is not vouched for. */
  add(place: StreamPlace, id: SegmentId, opened: { root: Root; file: string; startUtcMs: number; startMonoMs: number }): OpenSegment {
    const { root, file, startUtcMs, startMonoMs } = opened;
    const run = this.#runs.get(id.run) ?? { ...place, run: id.run, startUtcMs, startMonoMs, clockTrusted: false, boot: null };
    const entry: Entry = { root, file, run, finalFile: null, startUtcMs, bytes: 0, endUtcMs: startUtcMs };
    this.#segments.set(segmentKey(id), entry);
    return entry;
  }

  /** Runs that go on, as they began. */
  runs(): readonly RunStart[] {
    return [...this.#runs.values()];
  }

  hasRun(run: string): boolean {
    return this.#runs.has(run);
  }

  list(): readonly (OpenSegment & { readonly sequence: number })[] {
    return [...this.#segments].map(([key, entry]) => ({ ...entry, sequence: Number(key.slice(key.lastIndexOf("/") + 1)) }));
  }

  /** True if the file of this segment may be growing. */
  mayGrow(id: SegmentId): boolean {
    const key = segmentKey(id);
    return this.#segments.has(key) || [...this.#planned.values()].some((planned) => planned.includes(key));
  }

  get(id: SegmentId): OpenSegment | null {
    return this.#segments.get(segmentKey(id)) ?? null;
  }

  /** It grows no more. */
  delete(place: StreamPlace, id: SegmentId): void {
    const key = segmentKey(id);
    this.#segments.delete(key);
    const planned = this.#planned.get(place.name);
    if (planned !== undefined)
      this.#planned.set(
        place.name,
        planned.filter((candidate) => candidate !== key),
      );
  }

  progress(id: SegmentId, bytes: number, endUtcMs: number): void {
    const entry = this.#segments.get(segmentKey(id));
    if (entry === undefined) return;
    entry.bytes = bytes;
    entry.endUtcMs = endUtcMs;
    this.#runEnds.set(id.run, Math.max(endUtcMs, this.#runEnds.get(id.run) ?? 0));
  }

  /** Bytes reported of the open segments on a root. */
  bytes(root: number): number {
    let sum = 0;
    for (const entry of this.#segments.values()) if (entry.root.index === root) sum += entry.bytes;
    return sum;
  }

  segment(run: string, sequence: number): { readonly bytes: number; readonly endUtcMs: number } | null {
    const entry = this.#segments.get(segmentKey({ run, sequence }));
    return entry === undefined ? null : { bytes: entry.bytes, endUtcMs: entry.endUtcMs + this.#shift.ofRun(entry.run) };
  }

  runEndUtcMs(run: string): number | null {
    const endUtcMs = this.#runEnds.get(run);
    const begun = this.#runs.get(run);
    return endUtcMs === undefined ? null : endUtcMs + (begun === undefined ? 0 : this.#shift.ofRun(begun));
  }

  utcMs(): number {
    return this.#clock.utcMs();
  }

  root(id: number): { readonly index: number; readonly path: string } | null {
    return this.#roots.known().find((root) => root.id === id) ?? null;
  }

  rootIds(): readonly number[] {
    return this.#roots.known().map((root) => root.id);
  }
}
