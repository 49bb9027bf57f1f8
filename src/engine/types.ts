import type { Codec, StreamKind, TrackDescription } from "../media/types.ts";

/**
 * The boundary to the addon: orders go down as method calls, facts come up in one batch a tick.
 * Names and order are the same in `native/addon/src`. A missing value is `null`, never an absent property.
 * All ids are integers that are never reused within a process, so an order for something that is gone reaches nothing newer.
 */
export interface NativeEngine {
  /** Starts the network thread. `onFacts` gets a JSON array of `Fact`, at most once a wake-up. */
  start(onFacts: (batch: string) => void): void;
  /** Ends all connections, closes open segments with cause "requested", joins all threads; no callback comes after it resolves. */
  stop(): Promise<void>;

  /** Starts the writer thread of a root that `NativeFiles.openRoot` opened. */
  openWriter(root: number, options: WriterOptions): void;
  /**
   * Gives up what the writer has not closed (`segmentFailed` at step close, after a last sync) and resolves when it has ended, which a disk
   * that hangs can keep it from. What was not durable goes on in the segment of the stream's next ticket.
   */
  closeWriter(root: number): Promise<void>;

  /** A stream owns a ring and outlives connections. Returns the stream id. */
  openStream(options: StreamOptions): number;
  /** Disconnects, ends recording, frees the ring. */
  closeStream(stream: number): void;

  /** Opens a TCP connection (address is numeric: DNS is TypeScript's). Facts: connected, or disconnected. Returns the connection id. */
  connect(stream: number, address: string, port: number, timeoutMs: number): number;
  /** Sends RTSP text (request line, headers, empty line, body). */
  send(connection: number, text: string): void;
  /** Announces the tracks of the coming PLAY, so that media before its reply is kept. Starts a new run in the pipeline. */
  play(connection: number, tracks: readonly TrackSetup[]): void;
  /** Sends `template` each `intervalMs` with `{cseq}` replaced from `firstCseq` on. 2xx replies are swallowed, others come up as messages. */
  keepalive(connection: number, template: string, firstCseq: number, intervalMs: number): void;
  /** Sends `lastText` if not null (TEARDOWN), then closes. Fact: disconnected with cause "requested". */
  disconnect(connection: number, lastText: string | null): void;

  /**
   * Gives the stream its next segment ticket; the segment in progress goes on until one of the ticket's cut rules is met.
   * Without a ticket in hand the segment in progress is never cut by time, and media that cannot go on in it waits in the queue.
   */
  ticket(stream: number, ticket: SegmentTicket): void;
  /** Closes the segment in progress at the last whole fragment and withdraws an unused ticket. Media stays in the ring. */
  stopRecording(stream: number): void;
  /** Steps of the close procedure on the root's writer: seal, fdatasync, rename to `finalPath`, fsync directory. Fact: segmentSealed or segmentFailed. */
  finishSegment(root: number, run: string, sequence: number, finalPath: string): void;

  /** Fragments from `fromSequence` on as they are in the ring, serialised as media segments; for live views and tests. */
  tap(stream: number, fromSequence: number): TapResult;

  /** Fills `page` with the numbers of `STREAM_STATS` for the stream; false if the stream is gone. */
  readStreamStats(stream: number, page: Float64Array): boolean;
  /** The same of `WRITER_STATS` for a root's writer. Of one reader: it forgets what peaked since the last reading. */
  readWriterStats(root: number, page: Float64Array): boolean;
  /** Fills `page` with the numbers of `ENGINE_STATS`. */
  readEngineStats(page: Float64Array): void;
}

/**
 * File steps that need no running engine; each runs on a worker thread. Errors reject with `code` = an `ErrorCode`. What only reads goes by
 * path. What changes something goes through an open root, whose directory stays the same whatever is mounted where it was; paths are
 * absolute and below the root's.
 */
export interface NativeFiles {
  /** Looks at what is at a path; changes nothing. */
  inspectRoot(path: string): Promise<RootInspection>;
  /** Makes the directory that was inspected a root, durably. Rejects with CONFLICT if it has a marker, ROOT_UNAVAILABLE if it is another by now. */
  adoptRoot(path: string, inspected: RootInspection, id: string, serial: string): Promise<void>;
  /** Opens a root with the marker of this id, else rejects with ROOT_UNAVAILABLE. Makes its lock file. Resolves with the root's id in this process. */
  openRoot(path: string, id: string): Promise<number>;
  /** Lets go of a root; a writer keeps it until it has ended. */
  closeRoot(root: number): Promise<void>;
  /** Rejects with ROOT_UNAVAILABLE if the path leads to something else by now, or the marker is gone. */
  checkRoot(root: number): Promise<void>;
  /** Writes, syncs and removes a small file; a full disk is no failure. */
  testRoot(root: number): Promise<void>;
  /** Walks every box of a segment file, verifies fragment checksums and, if present, the seal. Reads the disk, and leaves nothing in the cache. */
  scanSegment(path: string): Promise<SegmentScan>;
  /** Begins the same piece by piece. Resolves with the scan's id. */
  openScan(path: string): Promise<number>;
  /** Reads about `bytes` more, one call at a time. At the end of the file the scan is over and tells its result; null before. A rejection ends it. */
  stepScan(scan: number, bytes: number): Promise<SegmentScan | null>;
  /** Gives a scan up; one that is over is passed over. */
  closeScan(scan: number): void;
  /** Reads the identity and the seal only (two small reads). */
  readSegment(path: string): Promise<SegmentHead>;
  /** The same for many files of one folder, in this order; JSON array of `SegmentBrief` and, for each file that cannot be read, `UnreadFile`. */
  readSegments(directory: string, names: readonly string[]): Promise<string>;
  /** Every file of a folder, by name; JSON array of `FolderEntry`. An absent folder is empty. */
  listFolder(directory: string): Promise<string>;
  /** Recovery of an unsealed file: trims to the last whole fragment, appends the seal, fdatasync. `whole = 0 fragments` leaves the file as it is. */
  recoverSegment(root: number, path: string): Promise<SegmentScan>;
  /** rename without replacing (RENAME_NOREPLACE), then fsync of both directories. Creates the target's directory. */
  renameDurable(root: number, from: string, to: string): Promise<void>;
  /** unlink (absent is fine), fsync directory; removes the directory too when that leaves it empty and `pruneDirectory`. */
  removeDurable(root: number, path: string, pruneDirectory: boolean): Promise<void>;
  /** Appends a line and fdatasyncs; creates file and directory, fsyncing the directory then. */
  appendDurable(root: number, path: string, line: string): Promise<void>;
  /** statvfs: bytes available to this user, and total. */
  freeSpace(root: number): Promise<{ availableBytes: number; totalBytes: number }>;
}

/** The wall clock of the process: all media is stamped by it, and everything here that asks for the time. */
export interface NativeClock {
  /** The host's clocks as they are. */
  host(): HostClocks;
  /** UTC in whole milliseconds: the host's until `set` was called, then CLOCK_MONOTONIC plus the offset. */
  utcMs(): number;
  /**
   * Makes the offset of UTC to CLOCK_MONOTONIC this many milliseconds. `step`: times from here on are of another clock than those before:
   * each stream ends its segment at the next random access point and reports `clockStepped`. Without it the change is taken for drift.
   */
  set(offsetMs: number, step: boolean): void;
}

/** Fractions of milliseconds are good to a microsecond. */
export interface HostClocks {
  /** CLOCK_MONOTONIC: counts from the boot. */
  readonly monoMs: number;
  /** CLOCK_REALTIME. */
  readonly utcMs: number;
  /** The kernel says that its clock is kept right (NTP, PTP). */
  readonly synchronised: boolean;
}

export interface NativeAddon {
  readonly version: string;
  /** Names of the slots of the three stats pages, in order. */
  streamStats(): string[];
  writerStats(): string[];
  engineStats(): string[];
  readonly Engine: new (options: EngineOptions) => NativeEngine;
  readonly files: NativeFiles;
  readonly clock: NativeClock;
}

export interface EngineOptions {
  /** Period of the network thread, 50 to 100 ms. */
  readonly tickMs: number;
}

/** What a path leads to. */
export interface RootInspection {
  /** Of the directory, or of the nearest one above it that is there. As text: numbers of the kernel, valid until the next mount. */
  readonly fileSystem: string;
  /** Null where there is no directory. */
  readonly directory: string | null;
  /** Where that file system begins: the shortest path above from which on everything is on it. */
  readonly mountPoint: string;
  /** Null where there is none, or one that cannot be understood. */
  readonly marker: { readonly id: string; readonly serial: string } | null;
}

export interface WriterOptions {
  /** A group sync starts at most this long after a fragment was closed, and by as much later as that is shorter than `fragmentMs`. */
  readonly syncMs: number;
}

export interface StreamOptions {
  /** Greatest length of a fragment. One ends with every multiple of it in UTC. */
  readonly fragmentMs: number;
  /** RAM ring: whole GOPs, at least `ringMs` unless `ringBytes` is reached. */
  readonly ringMs: number;
  readonly ringBytes: number;
  /** Bound of what waits for the writer; beyond it whole GOPs are dropped and counted. */
  readonly queueBytes: number;
}

export interface TrackSetup {
  readonly codec: Codec;
  readonly clockRateHz: number;
  readonly channels: number;
  readonly payloadType: number;
  /** Interleaved channels as the server answered SETUP. */
  readonly rtpChannel: number;
  readonly rtcpChannel: number;
  /** SSRC of the SETUP reply's Transport header, null if absent. A hint only. */
  readonly ssrc: number | null;
  /** H.264: SPS and PPS NAL units from sprop-parameter-sets, base64. AAC: one entry, the AudioSpecificConfig. */
  readonly config: readonly string[];
  /** AAC (RFC 3640): sizelength, indexlength, indexdeltalength; null otherwise. */
  readonly aac: { readonly sizeLength: number; readonly indexLength: number; readonly indexDeltaLength: number } | null;
}

/** Everything the addon needs to open the next segment by itself. */
export interface SegmentTicket {
  readonly root: number;
  /** Path of the file while open, on the root; its directory is created. */
  readonly path: string;
  readonly serial: string;
  readonly channel: number;
  readonly stream: StreamKind;
  /** UUID text. */
  readonly run: string;
  readonly sequence: number;
  readonly zone: string;
  readonly clockTrusted: boolean;
  /** The segment in progress ends at the first random access point at or after this media length. */
  readonly maxDurationMs: number;
  /** UTC instants (local midnights) at whose first random access point the segment in progress ends. Ascending. */
  readonly cutAtUtcMs: readonly number[];
  /** Disk space reserved at open and by which it grows (fallocate keeping size). */
  readonly preallocateBytes: number;
}

export interface TapResult {
  /** Sequence of the next fragment to ask for. */
  readonly nextSequence: number;
  /** True if fragments from `fromSequence` on had left the ring already. */
  readonly lapped: boolean;
  /** `ftyp moov` for `fragments`; empty when there are none. Fragments end before a change of tracks. */
  readonly init: Uint8Array;
  readonly fragments: readonly {
    readonly sequence: number;
    readonly startUtcMs: number;
    readonly durationMs: number;
    readonly randomAccess: boolean;
    readonly data: Uint8Array;
  }[];
}

export type DisconnectCause =
  | "requested"
  | "refused"
  | "unreachable"
  | "timeout"
  | "reset"
  | "closed-by-peer"
  | "framing"
  | "message-too-large"
  | "send-blocked";

export type SegmentEnd = "cut" | "requested" | "disconnected" | "parameter-change" | "time-jump" | "clock-step" | "dropped";

interface SegmentKey {
  readonly stream: number;
  readonly run: string;
  readonly sequence: number;
}

/** Something that happened. `monoMs` is the addon's CLOCK_MONOTONIC. */
export type Fact =
  | { readonly kind: "connected"; readonly connection: number; readonly stream: number; readonly monoMs: number }
  | {
      readonly kind: "disconnected";
      readonly connection: number;
      readonly stream: number;
      readonly cause: DisconnectCause;
      readonly detail: string;
      readonly monoMs: number;
    }
  /** An RTSP reply or a request of the server: head and body, at most 64 KiB. */
  | { readonly kind: "message"; readonly connection: number; readonly text: string }
  /** First random access point of a run, or a changed configuration. */
  | {
      readonly kind: "media";
      readonly connection: number;
      readonly stream: number;
      readonly tracks: readonly TrackDescription[];
      readonly startUtcMs: number;
    }
  /** The wall clock was moved: media from here on is another run, and the tickets given so far are void. It waits for one. */
  | { readonly kind: "clockStepped"; readonly stream: number }
  | ({
      readonly kind: "segmentOpened";
      readonly root: number;
      readonly path: string;
      readonly startUtcMs: number;
      readonly startMonoMs: number;
      readonly tracks: readonly TrackDescription[];
    } & SegmentKey)
  /** All fragments up to `fragments` are on stable storage; cumulative, the newest per segment and batch only. */
  | ({ readonly kind: "durable"; readonly fragments: number; readonly bytes: number; readonly endUtcMs: number } & SegmentKey)
  /** No more will be appended; the file waits for `finishSegment`. `fragments = 0` never happens: such a file is not created. */
  | ({
      readonly kind: "segmentEnded";
      readonly root: number;
      readonly path: string;
      readonly startUtcMs: number;
      readonly endUtcMs: number;
      readonly durationMs: number;
      readonly fragments: number;
      readonly bytes: number;
      readonly reason: SegmentEnd;
    } & SegmentKey)
  | ({
      readonly kind: "segmentSealed";
      readonly root: number;
      readonly path: string;
      readonly bytes: number;
      readonly crc64: string;
      readonly blake3: string;
    } & SegmentKey)
  /** `step` is one of open, append, sync, seal, rename, sync-directory, close. The file is abandoned as it is; recovery may save it. */
  | ({
      readonly kind: "segmentFailed";
      readonly root: number;
      readonly path: string;
      readonly step: string;
      readonly errno: number;
      readonly message: string;
    } & SegmentKey)
  /** Media was discarded on purpose: "queue" = the writer or the next ticket did not come in time. */
  | {
      readonly kind: "dropped";
      readonly stream: number;
      readonly cause: "queue";
      readonly fragments: number;
      readonly bytes: number;
      readonly fromUtcMs: number;
      readonly toUtcMs: number;
    }
  /** Facts lost because TypeScript did not take them; reconcile from state. */
  | { readonly kind: "overflow"; readonly lost: number };

/** One line of a seal's fragment table; also what a scan rebuilds. */
export interface FragmentEntry {
  readonly offset: number;
  readonly bytes: number;
  readonly startUtcMs: number;
  readonly durationMs: number;
  readonly randomAccess: boolean;
}

/** What header and seal tell. Hashes are lower-case hex. */
export interface SegmentHead {
  readonly serial: string;
  readonly channel: number;
  readonly stream: StreamKind;
  readonly run: string;
  readonly sequence: number;
  readonly startMonoMs: number;
  readonly startUtcMs: number;
  readonly zone: string;
  readonly clockTrusted: boolean;
  readonly sealed: boolean;
  /** End of the last fragment, from the seal; null without one. */
  readonly endUtcMs: number | null;
  /** From the seal; null without one. */
  readonly durationMs: number | null;
  readonly bytes: number;
  readonly crc64: string | null;
  readonly blake3: string | null;
  readonly previousBlake3: string | null;
  readonly tracks: readonly TrackDescription[];
}

/** What many files are asked for at once: as in `SegmentHead`. Without a seal the last four but `bytes` are null. */
export interface SegmentBrief
  extends Pick<
    SegmentHead,
    | "serial"
    | "channel"
    | "stream"
    | "run"
    | "sequence"
    | "startMonoMs"
    | "startUtcMs"
    | "zone"
    | "clockTrusted"
    | "endUtcMs"
    | "durationMs"
    | "bytes"
    | "crc64"
    | "blake3"
  > {
  /** Name within the folder. */
  readonly file: string;
}

/** A file whose header cannot be read. `code` is an `ErrorCode`: NOT_FOUND for one that is gone. */
export interface UnreadFile {
  readonly file: string;
  readonly code: string;
  readonly problem: string;
}

/** Name and bytes of a file in a folder. */
export type FolderEntry = readonly [name: string, bytes: number];

/** Result of reading a whole segment. */
export interface SegmentScan {
  /** Null when not even the header is whole. */
  readonly head: SegmentHead | null;
  readonly fragments: readonly FragmentEntry[];
  /** Bytes up to the end of the last whole fragment. */
  readonly wholeBytes: number;
  readonly durationMs: number;
  readonly sealed: boolean;
  /** Everything wrong, each as "offset N: what": damaged boxes, checksum mismatches, bytes behind the seal, a seal that contradicts the file. */
  readonly problems: readonly string[];
}
