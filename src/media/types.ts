/** Words that every level shares: streams, codecs, causes. Types only, and the lists they are made of. */

export const STREAM_KINDS = ["main", "sub"] as const;
/** One RTSP presentation of a camera. */
export type StreamKind = (typeof STREAM_KINDS)[number];

export type VideoCodec = "h264";
export type AudioCodec = "aac" | "pcma" | "pcmu";
export type Codec = VideoCodec | AudioCodec;

/** A stream is named by camera id and kind everywhere above the engine. */
export interface StreamKey {
  readonly camera: string;
  readonly stream: StreamKind;
}

export const streamKeyText = (key: StreamKey): string => `${key.camera}/${key.stream}`;

/** Why a second of a stream is not recorded, or a run ended (DESIGN.md 8). Stored in catalog and journal: never renumber or reuse. */
export const GAP_CAUSES = [
  "not-planned",
  "camera-unreachable",
  "auth-refused",
  "stream-fault",
  "no-media",
  "disk-full",
  "disk-fault",
  "process-down",
  "power-lost",
  "clock-step",
  "deleted-by-rule",
  "unknown",
] as const;
export type GapCause = (typeof GAP_CAUSES)[number];

/** What can be said of a moment of a stream: it is recorded, or why it is not. */
export const COVERAGE_STATES = ["recorded", ...GAP_CAUSES] as const;
export type CoverageState = (typeof COVERAGE_STATES)[number];

/**
 * A hole of this length between two segments is none. Within a run they follow each other, but their bounds are rounded, and wall time is
 * pulled forward between fragments where the camera's clock is slow: by at most 3 % of the longest fragment, two seconds.
 */
export const JOIN_MS = 60;

/** A track as the camera declares and sends it. */
export interface TrackDescription {
  readonly kind: "video" | "audio";
  readonly codec: Codec;
  readonly clockRateHz: number;
  /** 0 for video. */
  readonly channels: number;
  /** Luma samples; null for audio, and for video whose parameter sets could not be read. */
  readonly width: number | null;
  readonly height: number | null;
}

/** UTC milliseconds, half open. */
export interface TimeRange {
  readonly fromUtcMs: number;
  readonly toUtcMs: number;
}
