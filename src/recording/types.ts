import type { Codec, GapCause, StreamKey, TrackDescription } from "../media/types.ts";

/** Live state of a stream, as `camera list` and the demo show it. */
export interface StreamStatus extends StreamKey {
  readonly channel: number;
  /** recording: media is being written. buffering: media arrives but is not written (yet). */
  readonly state: "stopped" | "connecting" | "buffering" | "recording" | "waiting";
  /** Why it is not recording; null while it is. */
  readonly cause: GapCause | null;
  /** Stable word behind the cause ("bad-password"), and a sentence for people. */
  readonly code: string | null;
  readonly detail: string | null;
  readonly sinceUtcMs: number;
  readonly attempt: number;
  readonly retryAtUtcMs: number | null;
  readonly tracks: readonly TrackDescription[];
  /** What looks wrong though it records: an unknown codec beside a known one, for instance. */
  readonly warnings: readonly string[];
  readonly numbers: StreamNumbers;
  readonly segment: {
    readonly run: string;
    readonly sequence: number;
    readonly startUtcMs: number;
    readonly durableUtcMs: number;
    readonly durableFragments: number;
    readonly durableBytes: number;
  } | null;
}

/** Counters since the stream was added, rates over the last seconds. */
export interface StreamNumbers {
  readonly bitsPerSecond: number;
  readonly framesPerSecond: number;
  readonly packets: number;
  readonly lostPackets: number;
  readonly malformedPackets: number;
  readonly discardedUnits: number;
  readonly droppedFragments: number;
  readonly timeJumps: number;
  readonly ringBytes: number;
  readonly queueBytes: number;
}

/** What `camera probe` found out by watching the stream for some seconds. */
export interface ProbeReport {
  readonly url: string;
  readonly server: string | null;
  readonly tracks: readonly (Omit<TrackDescription, "codec"> & {
    /** Null when the track is in a codec that is not recorded. */
    readonly codec: Codec | null;
    readonly payloadType: number;
    readonly supported: boolean;
    readonly encodingName: string;
  })[];
  readonly watchedMs: number;
  readonly declaredFramesPerSecond: number | null;
  readonly measuredFramesPerSecond: number | null;
  readonly keyFrameIntervalMs: number | null;
  readonly videoBitsPerSecond: number | null;
  readonly audioBitsPerSecond: number | null;
  /** Camera clock against ours, parts per million; positive = camera fast. Null when watched too short to say. */
  readonly clockDriftPpm: number | null;
  readonly lostPackets: number;
  /** What looks wrong, a sentence each. */
  readonly findings: readonly string[];
}

/** What the front ends ask of recording; implemented by `Recorder`. */
export interface RecorderPort {
  status(): readonly StreamStatus[];
  /** Applies the stored desired state now instead of at the next period. */
  reconcile(): Promise<void>;
  engineNumbers(): Readonly<Record<string, number>>;
}
