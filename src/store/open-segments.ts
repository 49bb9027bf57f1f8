import type { Clock } from "../base/clock.ts";
import type { Root } from "./context.ts";
import { segmentKey } from "./leases.ts";
import type { Progress } from "./timeline.ts";
import type { SegmentId } from "./types.ts";

/** A segment that grows: what the catalog says of it, and how far it has got, which is never written. */
export interface OpenSegment {
  readonly root: Root;
  /** Path below `<root>/<name>/`. */
  readonly file: string;
  readonly startUtcMs: number;
  readonly startMonoMs: number;
}

interface Entry extends OpenSegment {
  bytes: number;
  endUtcMs: number;
}

/** The segments this process has open. */
export class OpenSegments implements Progress {
  readonly #roots: readonly Root[];
  readonly #clock: Clock;
  readonly #segments = new Map<string, Entry>();
  readonly #runEnds = new Map<string, number>();

  constructor(roots: readonly Root[], clock: Clock) {
    this.#roots = roots;
    this.#clock = clock;
  }

  add(id: SegmentId, segment: OpenSegment): void {
    this.#segments.set(segmentKey(id), { ...segment, bytes: 0, endUtcMs: segment.startUtcMs });
  }

  get(id: SegmentId): OpenSegment | null {
    return this.#segments.get(segmentKey(id)) ?? null;
  }

  delete(id: SegmentId): void {
    this.#segments.delete(segmentKey(id));
  }

  progress(id: SegmentId, bytes: number, endUtcMs: number): void {
    const entry = this.#segments.get(segmentKey(id));
    if (entry === undefined) return;
    entry.bytes = bytes;
    entry.endUtcMs = endUtcMs;
    this.#runEnds.set(id.run, Math.max(endUtcMs, this.#runEnds.get(id.run) ?? 0));
  }

  forgetRun(run: string): void {
    this.#runEnds.delete(run);
  }

  /** Bytes reported of the open segments on a root. */
  bytes(root: number): number {
    let sum = 0;
    for (const entry of this.#segments.values()) if (entry.root.index === root) sum += entry.bytes;
    return sum;
  }

  segment(run: string, sequence: number): { readonly bytes: number; readonly endUtcMs: number } | null {
    return this.#segments.get(segmentKey({ run, sequence })) ?? null;
  }

  runEndUtcMs(run: string): number | null {
    return this.#runEnds.get(run) ?? null;
  }

  utcMs(): number {
    return this.#clock.utcMs();
  }

  root(id: number): { readonly index: number; readonly path: string } | null {
    return this.#roots.find((root) => root.id === id) ?? null;
  }

  rootIds(): readonly number[] {
    return this.#roots.map((root) => root.id);
  }
}
