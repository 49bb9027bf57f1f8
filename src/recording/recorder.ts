import type { Alarms } from "../base/alarms.ts";
import { type Clock, sleep, untilNext } from "../base/clock.ts";
import type { ClockMove } from "../base/clock-watch.ts";
import { toRecorderError } from "../base/errors.ts";
import type { Part } from "../base/lifecycle.ts";
import type { Logger } from "../base/log.ts";
import type { BoxConfig, DesiredCamera, DesiredStore } from "../config/types.ts";
import type { Engine } from "../engine/engine.ts";
import { type GapCause, type StreamKey, type StreamKind, streamKeyText } from "../media/types.ts";
import type { Accounts } from "../rtsp/accounts.ts";
import type { Resolve } from "../rtsp/types.ts";
import { streamName } from "../store/paths.ts";
import type { SegmentStore, StreamPlace } from "../store/types.ts";
import { sizeSegment } from "./segment-policy.ts";
import { StreamRecorder } from "./stream-recorder.ts";
import type { RecorderPort, StreamStatus } from "./types.ts";

/** Desired and actual state are compared at least this often, whatever was missed. */
const RECONCILE_MS = 10_000;
const SAMPLE_MS = 2_000;

export interface RecorderOptions {
  readonly config: BoxConfig;
  readonly engine: Pick<Engine, "openStream" | "numbers">;
  readonly store: SegmentStore;
  readonly desired: DesiredStore;
  /** Room for segments per root, bytes; Infinity where unbounded. */
  readonly capacityBytes: (root: number) => number;
  readonly resolve: Resolve;
  /** One verdict on an account serves all its streams, and probes. */
  readonly accounts: Accounts;
  readonly alarms: Alarms;
  readonly clock: Clock;
  /** Whether the wall clock is known to be right. */
  readonly clockTrusted: () => boolean;
  readonly log: Logger;
}

interface Wanted {
  readonly place: StreamPlace;
  readonly url: string;
  readonly username: string | null;
  readonly password: string | null;
}

/** Makes what records equal to what is desired, again and again. */
export class Recorder implements Part, RecorderPort {
  readonly name = "recorder";
  readonly #options: RecorderOptions;
  readonly #streams = new Map<string, { readonly wanted: Wanted; readonly recorder: StreamRecorder }>();
  readonly #stopping = new AbortController();
  #stopped: readonly StreamStatus[] = [];
  #reconciling: Promise<void> = Promise.resolve();
  #loops: Promise<void>[] = [];

  constructor(options: RecorderOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    await this.reconcile();
    this.#loops = [this.#every(RECONCILE_MS, () => this.reconcile()), this.#every(SAMPLE_MS, async () => this.#sample())];
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#loops);
    await this.#reconciling;
    await Promise.all([...this.#streams.keys()].map((key) => this.#remove(key, "process-down")));
  }

  status(): readonly StreamStatus[] {
    const running = [...this.#streams.values()].map(({ recorder }) => recorder.status());
    return [...running, ...this.#stopped].sort((a, b) => a.channel - b.channel || a.stream.localeCompare(b.stream));
  }

  /** The wall clock was moved: streams that record see to their own gaps. */
  clockMoved(move: ClockMove): void {
    const { store, log } = this.#options;
    const recorded = [...this.#streams.values()].map(({ wanted, recorder }) => {
      recorder.clockMoved(move);
      return wanted.place;
    });
    const byMs = move.toUtcMs - move.fromUtcMs;
    this.#stopped = this.#stopped.map((status) => ({ ...status, sinceUtcMs: status.sinceUtcMs + byMs }));
    if (move.recorded !== null) return;
    void store.splitGaps(move, recorded).catch((error: unknown) => log.error("gap.split-failed", { error: toRecorderError(error) }));
  }

  engineNumbers(): Readonly<Record<string, number>> {
    return this.#options.engine.numbers();
  }

  /** Roots came or went: each stream chooses anew where its next segment begins. */
  rootsChanged(): void {
    for (const { recorder } of this.#streams.values()) recorder.rootsChanged();
  }

  /** How the open segments of a root fill it; retention plans with it. */
  growth(root: number): { reservedBytes: number; reserveStepBytes: number; openSegments: number; bytesPerSecond: number } {
    const sum = { reservedBytes: 0, reserveStepBytes: 0, openSegments: 0, bytesPerSecond: 0 };
    for (const { recorder } of this.#streams.values()) {
      const growth = recorder.growth();
      if (growth.root !== root) continue;
      sum.reservedBytes += growth.reservedBytes;
      sum.reserveStepBytes = Math.max(sum.reserveStepBytes, growth.reserveStepBytes);
      sum.bytesPerSecond += growth.bytesPerSecond;
      // A stream without a segment may open one before the next pass.
      sum.openSegments += 1;
    }
    return sum;
  }

  /** One pass at a time; a call during a pass is followed by a pass that sees its change. */
  reconcile(): Promise<void> {
    this.#reconciling = this.#reconciling
      .then(() => this.#pass())
      .catch((error: unknown) => {
        this.#options.log.error("reconcile.failed", { error: toRecorderError(error) });
      });
    return this.#reconciling;
  }

  /** What goes wrong with one stream is logged, and tried again in the next pass; the others go on. */
  async #pass(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    const { document, passwords } = await this.#options.desired.read();
    const wanted = new Map<string, Wanted>();
    const idle: StreamPlace[] = [];
    for (const camera of document.cameras) {
      for (const want of this.#wantedOf(camera, passwords.get(camera.id) ?? null)) {
        if (camera.record) wanted.set(streamKeyText(want.place), want);
        else idle.push(want.place);
      }
    }
    await Promise.all(
      [...this.#streams].map(async ([key, { wanted: running }]) => {
        const want = wanted.get(key);
        if (want !== undefined && sameWish(running, want)) return;
        await this.#remove(key, "not-planned");
      }),
    );
    for (const [key, want] of wanted) {
      if (!this.#streams.has(key)) this.#add(key, want);
    }
    this.#stopped = await Promise.all(idle.map((place) => this.#notRecorded(place)));
  }

  #wantedOf(camera: DesiredCamera, password: string | null): Wanted[] {
    const want = (stream: StreamKind, url: string): Wanted => ({
      place: this.#place(camera, stream),
      url,
      username: camera.username,
      password,
    });
    return [want("main", camera.url), ...(camera.subUrl === null ? [] : [want("sub", camera.subUrl)])];
  }

  #place(camera: DesiredCamera, stream: StreamKind): StreamPlace {
    const { id, channel } = camera;
    return { camera: id, stream, channel, name: streamName(this.#options.config.serial, channel, stream) };
  }

  #add(key: string, wanted: Wanted): void {
    const { config, engine, store, resolve, accounts, alarms, clock, clockTrusted, log, capacityBytes } = this.#options;
    const { fragmentMs, ringMs, ringBytes, queueBytes, segmentMs } = config.recording;
    const recorder = new StreamRecorder({
      place: wanted.place,
      endpoint: { url: wanted.url, username: wanted.username, password: wanted.password },
      serial: config.serial,
      zone: config.zone,
      stream: { fragmentMs, ringMs, ringBytes, queueBytes },
      openStream: (options, handlers) => engine.openStream(options, handlers),
      store,
      sizing: (root, rate) => sizeSegment(segmentMs, capacityBytes(root), this.#streams.size, rate),
      resolve,
      accounts,
      alarms,
      clock,
      clockTrusted,
      log,
    });
    this.#streams.set(key, { wanted, recorder });
    try {
      recorder.start();
    } catch (error) {
      this.#streams.delete(key);
      log.error("stream.start-failed", { stream: key, error: toRecorderError(error) });
    }
  }

  async #remove(key: string, cause: GapCause): Promise<void> {
    try {
      await this.#streams.get(key)?.recorder.stop(cause);
    } catch (error) {
      this.#options.log.error("stream.stop-failed", { stream: key, error: toRecorderError(error) });
    }
    this.#streams.delete(key);
  }

  /** Streams that are known but not wanted show up in listings too, and their time is accounted for. */
  async #notRecorded(place: StreamPlace): Promise<StreamStatus> {
    const { store, clock, log } = this.#options;
    const before = this.#stopped.find((status) => streamKeyText(status) === streamKeyText(place) && status.channel === place.channel);
    const status = before ?? stoppedStatus(place, clock.utcMs());
    // Once it is open this changes nothing.
    await store.openGap(place, status.sinceUtcMs, "not-planned", null).catch((error: unknown) => {
      log.error("gap.open-failed", { stream: streamKeyText(place), error: toRecorderError(error) });
    });
    return status;
  }

  #sample(): void {
    for (const { recorder } of this.#streams.values()) recorder.sample();
  }

  async #every(periodMs: number, work: () => Promise<void>): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await sleep(this.#options.clock, untilNext(this.#options.clock, periodMs), signal);
      } catch {
        return;
      }
      try {
        await work();
      } catch (error) {
        this.#options.log.error("recorder.pass-failed", { error: toRecorderError(error) });
      }
    }
  }
}

function sameWish(a: Wanted, b: Wanted): boolean {
  return a.url === b.url && a.username === b.username && a.password === b.password && a.place.name === b.place.name;
}

function stoppedStatus(place: StreamKey & { readonly channel: number }, nowUtcMs: number): StreamStatus {
  return {
    camera: place.camera,
    stream: place.stream,
    channel: place.channel,
    state: "stopped",
    cause: "not-planned",
    code: null,
    detail: null,
    sinceUtcMs: nowUtcMs,
    attempt: 0,
    retryAtUtcMs: null,
    tracks: [],
    warnings: [],
    numbers: {
      bitsPerSecond: 0,
      framesPerSecond: 0,
      packets: 0,
      lostPackets: 0,
      malformedPackets: 0,
      discardedUnits: 0,
      droppedFragments: 0,
      timeJumps: 0,
      ringBytes: 0,
      queueBytes: 0,
    },
    segment: null,
  };
}
