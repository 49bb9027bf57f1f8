import type { CoverageState, StreamKind, TimeRange } from "../media/types.ts";
import type { TracedStream } from "../store/types.ts";

/** A stretch of one state. Stretches of an answer follow each other without hole or overlap. */
export interface Stretch extends TimeRange {
  readonly state: CoverageState;
  /** As in `CoverageSpan`. */
  readonly detail: string | null;
}

/** Milliseconds of each state; those that do not occur are absent. */
export type StateMs = Readonly<Partial<Record<CoverageState, number>>>;

/** A part of the calendar and how its time divides. The first and last of an answer are cut off where the range is. */
export interface Bucket extends TimeRange {
  readonly states: StateMs;
}

export interface LedgerDay extends Bucket {
  /** `YYYY-MM-DD` in the site's zone. */
  readonly day: string;
  /** From local midnight on: 23, 24 or 25 of them on a whole day. */
  readonly hours: readonly Bucket[];
}

/**
 * What happened to every second of a stream. The last seconds of a stream that is being recorded are what they are taken for until they are
 * on disk. Ranges end at the present; the time before a stream's first trace is `not-planned`, and whole buckets of it are left out.
 */
export interface LedgerPort {
  /** Streams that ever left a trace. */
  streams(camera: string | null, stream: StreamKind | null): Promise<readonly TracedStream[]>;
  /** The range's stretches, in batches. */
  stretches(stream: TracedStream, range: TimeRange, signal: AbortSignal): AsyncIterable<readonly Stretch[]>;
  /** Seconds or minutes, counted from local midnight, in batches. */
  buckets(stream: TracedStream, range: TimeRange, stepMs: 1000 | 60_000, signal: AbortSignal): AsyncIterable<readonly Bucket[]>;
  /** Days in order. */
  days(stream: TracedStream, range: TimeRange, signal: AbortSignal): AsyncIterable<LedgerDay>;
}
