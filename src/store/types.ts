import type { FolderEntry, RootInspection, SegmentBrief, SegmentHead, SegmentScan, UnreadFile } from "../engine/types.ts";
import type { CoverageState, GapCause, StreamKey, StreamKind, TimeRange } from "../media/types.ts";

/** A stream as paths and files know it. */
export interface StreamPlace extends StreamKey {
  readonly channel: number;
  /** `<Serial>_<Channel>` for main, `<Serial>_<Channel>_sub` for sub. */
  readonly name: string;
}

/** A run as recording begins it. */
export interface RunBegin extends StreamPlace {
  /** UUID of the run. */
  readonly run: string;
  readonly startUtcMs: number;
  readonly startMonoMs: number;
  readonly clockTrusted: boolean;
}

export interface RunStart extends RunBegin {
  /** Boot it was recorded in, as /proc/sys/kernel/random/boot_id names it; null where nothing but its files speaks. */
  readonly boot: string | null;
}

/** Where the next segment of a run grows; only `store` makes paths. */
export interface SegmentPlan {
  /** The open root, as the engine knows it. */
  readonly root: number;
  /** Its index in the configuration. */
  readonly rootIndex: number;
  /** Absolute path of the open file. */
  readonly path: string;
  /** The next two local midnights, UTC milliseconds. */
  readonly midnightsUtcMs: readonly number[];
}

/** The key of a segment outside the catalog. */
export interface SegmentId {
  readonly run: string;
  readonly sequence: number;
}

/** What is wrong with a sealed file's bytes, one sentence; null: nothing (any more). */
export interface SegmentDamage extends SegmentId {
  readonly damage: string | null;
}

export type SegmentState = "open" | "closed" | "deleting";

export interface SegmentRow extends SegmentId, StreamKey, TimeRange {
  readonly kind: "segment";
  readonly root: number;
  readonly path: string;
  readonly bytes: number;
  readonly state: SegmentState;
  /** What is wrong with the file's bytes, one sentence: it is not given out. Null if nothing is known. */
  readonly damage: string | null;
}

export interface RunRow extends StreamKey, TimeRange {
  readonly kind: "run";
  readonly run: string;
  readonly clockTrusted: boolean;
  /** Why the run ended; null while it goes on. */
  readonly endCause: string | null;
}

export interface GapRow extends StreamKey, TimeRange {
  readonly kind: "gap";
  readonly cause: GapCause;
  readonly detail: string | null;
  /** True while the gap goes on; `toUtcMs` is then the time of the query. */
  readonly open: boolean;
}

export type TimelineRow = SegmentRow | RunRow | GapRow;

export interface TimelineQuery {
  readonly camera: string | null;
  readonly stream: StreamKind | null;
  readonly range: TimeRange;
  /** Rows at most. */
  readonly limit: number;
}

/** Keeps a file under a reader: retention passes it over until `release`, or 60 s of idleness since the last `touch`. */
export interface SegmentLease {
  readonly segment: SegmentRow;
  touch(): void;
  release(): void;
}

export interface RootUsage {
  readonly root: number;
  readonly path: string;
  /** Bytes of all segments by the catalog: closed ones as sealed, open ones as last reported. */
  readonly segmentBytes: number;
  readonly segments: number;
  readonly limitBytes: number | null;
  readonly reserveBytes: number;
  readonly availableBytes: number;
  readonly totalBytes: number;
}

/**
 * The file steps the store orders; implemented by the engine. Rust executes, TypeScript commits. What changes something goes through an open
 * root (`Root.handle`), never by a path alone: another file system may have come to lie under it.
 */
export interface FileSteps {
  inspectRoot(path: string): Promise<RootInspection>;
  adoptRoot(path: string, inspected: RootInspection, id: string, serial: string): Promise<void>;
  openRoot(path: string, id: string): Promise<number>;
  closeRoot(root: number): Promise<void>;
  checkRoot(root: number): Promise<void>;
  testRoot(root: number): Promise<void>;
  /** Reads a whole file from the disk; `rest` is awaited between pieces, and where it rejects the scan is given up. */
  scanSegment(path: string, rest: () => Promise<void>): Promise<SegmentScan>;
  readSegment(path: string): Promise<SegmentHead>;
  /** Header and seal of many files of one folder, in this order; a file that cannot be read is answered as such. */
  readSegments(directory: string, names: readonly string[]): Promise<readonly (SegmentBrief | UnreadFile)[]>;
  /** Every file of a folder, by name; an absent folder is empty. */
  listFolder(directory: string): Promise<readonly FolderEntry[]>;
  recoverSegment(root: number, path: string): Promise<SegmentScan>;
  renameDurable(root: number, from: string, to: string): Promise<void>;
  removeDurable(root: number, path: string, pruneDirectory: boolean): Promise<void>;
  appendDurable(root: number, path: string, line: string): Promise<void>;
  freeSpace(root: number): Promise<{ availableBytes: number; totalBytes: number }>;
  /** Seal, sync, rename and directory sync of a segment that the engine still holds open, on its writer thread. */
  finishSegment(root: number, id: SegmentId, finalPath: string): Promise<{ bytes: number; crc64: string; blake3: string }>;
}

/** What recording tells the store. Every promise resolves once the change is committed. */
export interface SegmentStore {
  planSegment(place: StreamPlace, id: SegmentId): SegmentPlan;
  beginRun(run: RunBegin): Promise<void>;
  endRun(run: string, endUtcMs: number, cause: string): Promise<void>;
  /** `root` as in the plan. */
  segmentOpened(
    place: StreamPlace,
    id: SegmentId,
    opened: { root: number; path: string; startUtcMs: number; startMonoMs: number },
  ): Promise<void>;
  /** Close procedure: final name, seal, sync, rename, sync directory, row. */
  closeSegment(place: StreamPlace, id: SegmentId, ended: { startUtcMs: number; endUtcMs: number; durationMs: number }): Promise<void>;
  /** The file was abandoned by the writer; recovery saves what it holds. */
  segmentFailed(place: StreamPlace, id: SegmentId): Promise<void>;
  /** Opens a gap, or changes the cause of the open one from `fromUtcMs` on. No effect if one with this cause is open. */
  openGap(place: StreamPlace, fromUtcMs: number, cause: GapCause, detail: string | null): Promise<void>;
  closeGap(place: StreamPlace, toUtcMs: number): Promise<void>;
  /**
   * The wall clock was moved: a gap that goes on ends at the moment of it by the clock before, and begins anew by the other. Time that neither
   * showed becomes a gap of its own, cause clock-step.
   */
  splitGap(place: StreamPlace, move: Instant): Promise<void>;
  /** The same for every stream but these. */
  splitGaps(move: Instant, except: readonly StreamPlace[]): Promise<void>;
  openSegmentProgress(id: SegmentId, bytes: number, endUtcMs: number): void;
}

/** One moment by the wall clock before it was moved, and after. */
export interface Instant {
  readonly fromUtcMs: number;
  readonly toUtcMs: number;
}

/** What readers ask the store. Answers come from indexes, never from directories or media files. */
export interface TimelineReader {
  /** Rows that overlap the range, in ascending order of their start; `limit` leaves out the latest. */
  timeline(query: TimelineQuery): Promise<readonly TimelineRow[]>;
  /**
   * Null for a segment that is not there, not closed, or going. The file is looked at first.
   * @throws RecorderError SEGMENT_MISMATCH if it is not that segment by header and size, or cannot be read; SEGMENT_DAMAGED if its bytes are
   * known not to be those that were recorded.
   */
  lease(id: SegmentId): Promise<SegmentLease | null>;
  /** Of the roots whose file systems answer. */
  usage(): Promise<readonly RootUsage[]>;
}

/** What reading recordings again has come to. */
export interface ScrubStatus {
  /** Read since the service started. */
  readonly segments: number;
  readonly bytes: number;
  /** Segments whose bytes are known to be wrong now. */
  readonly damaged: number;
  /** Segments that the disk refused to read when they were asked for last. */
  readonly unreadable: number;
  /** Of the time since the scrub began, 0 to 1. */
  readonly share: number;
  /** It is kept at or below this. */
  readonly allowedShare: number;
  /** One for each root whose first round has begun. A round goes back in time; `reachedUtcMs` null: it is over. */
  readonly rounds: readonly { readonly path: string; readonly beganUtcMs: number | null; readonly reachedUtcMs: number | null }[];
}

/** A stream that has left a trace in the catalog, under whatever channels its camera had. */
export interface TracedStream extends StreamKey {
  /** The newest one. */
  readonly channel: number;
  /** Start of the oldest row that tells of it. */
  readonly firstUtcMs: number;
  /** End of the newest row that tells more than not-planned, the time of the query while it goes on; 0 if there is none. */
  readonly lastUtcMs: number;
}

/** What one row says of a stretch of a stream's time. Rows may overlap. */
export interface CoverageSpan extends TimeRange {
  readonly state: CoverageState;
  /** Of a gap its sentence, of deleted media the rule, of damaged media what is wrong; else null. */
  readonly detail: string | null;
  /** True while it goes on; `toUtcMs` is then the time of the query, or of the newest durable media. */
  readonly live: boolean;
}

/** What the ledger asks the store. Times of one answer are of one state of the catalog. */
export interface LedgerReader {
  /** In order of channel, main before sub. */
  tracedStreams(camera: string | null, stream: StreamKind | null): Promise<readonly TracedStream[]>;
  /** Every row of the stream that overlaps the range: some for each segment, so ask for hours, not months. */
  coverageSpans(stream: StreamKey, range: TimeRange): Promise<readonly CoverageSpan[]>;
  /**
   * The same without closed segments, and instead of them the milliseconds they cover by whole UTC hour since 1970: absent for none, null
   * where only `coverageSpans` can tell. Costs rows by gaps and hours, however many segments there are.
   */
  coverageHours(
    stream: StreamKey,
    range: TimeRange,
  ): Promise<{ readonly spans: readonly CoverageSpan[]; readonly recordedMs: ReadonlyMap<number, number | null> }>;
}

/** What retention needs. */
export interface SegmentRemoval {
  usage(): Promise<readonly RootUsage[]>;
  /** Closed, unleased segments of the root, oldest start first. */
  oldestSegments(root: number, limit: number): Promise<readonly SegmentRow[]>;
  /** Delete procedure: mark, commit, journal, unlink, sync directory, drop row. False if a lease holds it or it is gone. Rejects where the disk keeps the file; the segment is then as before. */
  deleteSegment(id: SegmentId, rule: "limit" | "reserve" | "age" | "command"): Promise<boolean>;
}

/** Result of `check`. Exit code and output of the CLI come from this. */
export interface CheckReport {
  readonly deep: boolean;
  readonly segments: number;
  readonly bytes: number;
  readonly findings: readonly CheckFinding[];
}

export interface CheckFinding {
  readonly code:
    | "root-unavailable"
    | "missing-file"
    | "unknown-file"
    | "wrong-size"
    | "wrong-name"
    | "unsealed"
    | "damaged"
    | "identity-mismatch"
    | "left-over";
  readonly path: string;
  readonly message: string;
}

/** What reading files and journals into a catalog came to. */
export interface IndexReport {
  /** Entered, or put right. */
  segments: number;
  gaps: number;
  deletions: number;
  /** Files and journals that cannot be read, or have no seal; the log names them. */
  unreadable: number;
  /** Files of other boxes, or in folders that are not theirs. */
  foreign: number;
  /** Journal lines that are not whole or not ours. */
  unreadableLines: number;
}

export interface ReindexReport extends IndexReport {
  /** Rows of the new catalog. */
  runs: number;
  tookMs: number;
  segmentsPerSecond: number;
}

export interface ReindexOptions {
  readonly signal: AbortSignal;
  onProgress(progress: { readonly segments: number; readonly totalSegments: number }): void;
}
