import type { Alarm } from "../../src/base/alarms.ts";
import { RecorderError } from "../../src/base/errors.ts";
import { silentLogger } from "../../src/base/log.ts";
import type { CheckOptions, CommandContext, ProbeCamera } from "../../src/commands/context.ts";
import { parseBoxConfig } from "../../src/config/box.ts";
import type { DesiredCamera, DesiredState, DesiredStore } from "../../src/config/types.ts";
import { Ledger } from "../../src/ledger/ledger.ts";
import type { ProbeReport, RecorderPort, StreamStatus } from "../../src/recording/types.ts";
import type {
  CheckReport,
  ReindexOptions,
  ReindexReport,
  RootUsage,
  ScrubStatus,
  TimelineQuery,
  TimelineReader,
  TimelineRow,
} from "../../src/store/types.ts";
import { SimulatedClock } from "./clock.ts";
import { FakeLedgerReader } from "./ledger-reader.ts";

/** The desired-state document in memory. */
export class FakeDesiredStore implements DesiredStore {
  document: DesiredState = { revision: 1, cameras: [] };
  passwords = new Map<string, string>();
  /** Called before each write: another writer that comes in between. */
  beforeWrite: () => void = () => {};

  async read() {
    return { document: this.document, passwords: new Map(this.passwords) };
  }

  async write(cameras: readonly DesiredCamera[], passwords: ReadonlyMap<string, string | null>, expectedRevision: number) {
    this.beforeWrite();
    if (expectedRevision !== this.document.revision) throw new RecorderError("CONFLICT", "the document has changed");
    for (const [id, password] of passwords) {
      if (password === null) this.passwords.delete(id);
      else this.passwords.set(id, password);
    }
    for (const id of this.passwords.keys()) if (!cameras.some((camera) => camera.id === id)) this.passwords.delete(id);
    this.document = { revision: expectedRevision + 1, cameras };
    return this.document.revision;
  }
}

/** A timeline in memory, with the order and the limit that the store promises. */
export class FakeTimeline implements TimelineReader {
  rows: TimelineRow[] = [];
  roots: RootUsage[] = [];
  readonly queries: TimelineQuery[] = [];

  async timeline(query: TimelineQuery) {
    this.queries.push(query);
    const { camera, stream, range, limit } = query;
    return this.rows
      .filter((row) => (camera === null || row.camera === camera) && (stream === null || row.stream === stream))
      .filter((row) => row.fromUtcMs < range.toUtcMs && row.toUtcMs > range.fromUtcMs)
      .toSorted((one, other) => one.fromUtcMs - other.fromUtcMs)
      .slice(0, limit);
  }

  async lease() {
    return null;
  }

  async usage() {
    return this.roots;
  }
}

export class FakeRecorder implements RecorderPort {
  streams: StreamStatus[] = [];
  reconciled = 0;
  failure: Error | null = null;

  status() {
    return this.streams;
  }

  async reconcile() {
    this.reconciled++;
    if (this.failure !== null) throw this.failure;
  }

  engineNumbers() {
    return { ticks: 42 };
  }
}

export const PROBE_REPORT: ProbeReport = {
  url: "rtsp://10.0.0.1/ch1",
  server: "Fake/1.0",
  tracks: [
    {
      kind: "video",
      codec: "h264",
      clockRateHz: 90_000,
      channels: 0,
      width: 1920,
      height: 1080,
      payloadType: 96,
      supported: true,
      encodingName: "H264",
    },
  ],
  watchedMs: 8000,
  declaredFramesPerSecond: 25,
  measuredFramesPerSecond: 24.98,
  keyFrameIntervalMs: 2000,
  videoBitsPerSecond: 4_012_345,
  audioBitsPerSecond: null,
  clockDriftPpm: 12.4,
  lostPackets: 0,
  findings: [],
};

export const REINDEX_REPORT: ReindexReport = {
  segments: 20_000,
  runs: 30,
  gaps: 29,
  deletions: 1,
  unreadable: 0,
  foreign: 0,
  unreadableLines: 0,
  tookMs: 1250,
  segmentsPerSecond: 16_000,
};

/** Status of a stream that records well, with what differs. */
export function streamStatus(camera: string, channel: number, change: Partial<StreamStatus> = {}): StreamStatus {
  return {
    camera,
    stream: "main",
    channel,
    state: "recording",
    cause: null,
    code: null,
    detail: null,
    sinceUtcMs: Date.UTC(2026, 5, 1, 7, 58, 0),
    attempt: 0,
    retryAtUtcMs: null,
    tracks: [
      { kind: "video", codec: "h264", clockRateHz: 90_000, channels: 0, width: 1920, height: 1080 },
      { kind: "audio", codec: "aac", clockRateHz: 16_000, channels: 1, width: null, height: null },
    ],
    warnings: [],
    numbers: {
      bitsPerSecond: 4_000_000,
      framesPerSecond: 25,
      packets: 1000,
      lostPackets: 0,
      malformedPackets: 0,
      discardedUnits: 0,
      droppedFragments: 0,
      timeJumps: 0,
      ringBytes: 1,
      queueBytes: 0,
    },
    segment: null,
    ...change,
  };
}

/** A service whose ports are all fakes; each can be steered by the test. */
export class FakeService {
  readonly desired = new FakeDesiredStore();
  readonly timeline = new FakeTimeline();
  readonly ledgerRows = new FakeLedgerReader();
  readonly recorder = new FakeRecorder();
  readonly clock = new SimulatedClock();
  alarms: Alarm[] = [];
  scrub: ScrubStatus = { segments: 0, bytes: 0, damaged: 0, unreadable: 0, share: 0, allowedShare: 0.05, rounds: [] };
  probe: ProbeCamera = async () => PROBE_REPORT;
  check: (options: CheckOptions) => Promise<CheckReport> = async ({ deep }) => ({ deep, segments: 0, bytes: 0, findings: [] });
  reindex: (options: ReindexOptions) => Promise<ReindexReport> = async () => REINDEX_REPORT;

  context(socket = "/nowhere.sock"): CommandContext {
    const text = `serial = "test-1"\nzone = "Europe/Berlin"\n[storage]\nroots = ["/rec"]\n[api]\nsocket = ${JSON.stringify(socket)}\n`;
    return {
      config: parseBoxConfig(text, "/etc/test.toml"),
      version: "9.9.9",
      startedMonoMs: this.clock.monoMs() - 3_725_000,
      clock: this.clock,
      log: silentLogger,
      desired: this.desired,
      timeline: this.timeline,
      ledger: new Ledger({ reader: this.ledgerRows, zone: "Europe/Berlin", clock: this.clock }),
      recorder: this.recorder,
      probe: (endpoint, options) => this.probe(endpoint, options),
      check: (options) => this.check(options),
      reindex: (options) => this.reindex(options),
      scrub: () => this.scrub,
      alarms: () => this.alarms,
    };
  }
}
