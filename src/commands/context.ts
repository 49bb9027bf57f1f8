import type { Alarm } from "../base/alarms.ts";
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { BoxConfig, DesiredStore, Transport } from "../config/types.ts";
import type { LedgerPort } from "../ledger/types.ts";
import type { ProbeReport, RecorderPort } from "../recording/types.ts";
import type { CameraEndpoint } from "../rtsp/types.ts";
import type { CheckReport, ReindexOptions, ReindexReport, ScrubStatus, TimelineReader } from "../store/types.ts";

export interface ProbeOptions {
  readonly transport: Transport;
  /** How long to watch the stream after PLAY. */
  readonly watchMs: number;
  readonly signal: AbortSignal;
}

/** Watches a stream without recording it. Rejects with a CAMERA_* `RecorderError` when it cannot be played. */
export type ProbeCamera = (endpoint: CameraEndpoint, options: ProbeOptions) => Promise<ProbeReport>;

/** How far a check has come. */
export interface CheckProgress {
  readonly segments: number;
  readonly totalSegments: number;
  /** Bytes read so far. */
  readonly bytes: number;
}

export interface CheckOptions {
  /** Reads every box and verifies every checksum instead of names, sizes and seals only. */
  readonly deep: boolean;
  onProgress(progress: CheckProgress): void;
  readonly signal: AbortSignal;
}

/** Compares files and catalog; changes nothing. */
export type CheckSegments = (options: CheckOptions) => Promise<CheckReport>;

export type ReindexProgress = Parameters<ReindexOptions["onProgress"]>[0];

/** Builds the catalog anew. Rejects with CONFLICT while that is under way already. */
export type ReindexCatalog = (options: ReindexOptions) => Promise<ReindexReport>;

/** All that use cases need of the running service; built by `app.ts`, faked by tests. */
export interface CommandContext {
  readonly config: BoxConfig;
  readonly version: string;
  /** By `clock`. */
  readonly startedMonoMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly desired: DesiredStore;
  readonly timeline: TimelineReader;
  readonly ledger: LedgerPort;
  readonly recorder: RecorderPort;
  readonly probe: ProbeCamera;
  readonly check: CheckSegments;
  readonly reindex: ReindexCatalog;
  /** What reading recordings again has come to. */
  readonly scrub: () => ScrubStatus;
  /** What somebody should look after, longest standing first. */
  readonly alarms: () => readonly Alarm[];
}
