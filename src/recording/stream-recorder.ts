import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { EngineStream, StreamHandlers } from "../engine/engine.ts";
import type { StreamOptions } from "../engine/types.ts";
import type { TrackDescription } from "../media/types.ts";
import type { Accounts } from "../rtsp/accounts.ts";
import { StreamSource } from "../rtsp/source.ts";
import type { CameraEndpoint, Resolve, SessionEnd, SourceState } from "../rtsp/types.ts";
import type { SegmentStore, StreamPlace } from "../store/types.ts";
import { RateMeter } from "./rates.ts";
import { RunBook } from "./run-book.ts";
import type { SegmentSizing } from "./segment-policy.ts";
import { engineTransport } from "./transport.ts";
import type { StreamNumbers, StreamStatus } from "./types.ts";

/** A failed file is followed by a new one after this pause, so that a dead disk is asked often enough to resume within 2 s. */
const RETRY_FILE_MS = 500;

export interface StreamRecorderOptions {
  readonly place: StreamPlace;
  readonly endpoint: CameraEndpoint;
  readonly serial: string;
  readonly zone: string;
  readonly stream: StreamOptions;
  readonly openStream: (options: StreamOptions, handlers: StreamHandlers) => EngineStream;
  readonly store: SegmentStore;
  /** Engine id of a root by its index in the store, and back. */
  readonly roots: readonly number[];
  /** Size of the next segment of a stream with this rate. */
  readonly sizing: (root: number, bytesPerSecond: number) => SegmentSizing;
  readonly resolve: Resolve;
  readonly accounts: Accounts;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Records one stream for as long as it runs: signalling on one side, tickets and books on the other. */
export class StreamRecorder {
  readonly place: StreamPlace;
  readonly #options: StreamRecorderOptions;
  readonly #log: Logger;
  readonly #book: RunBook;
  readonly #meter: RateMeter;
  #engine: EngineStream | null = null;
  #source: StreamSource | null = null;
  #state: SourceState = { state: "idle" };
  /** Why the last session ended, until media flows again: while it is tried again, the reason must not vanish from listings. */
  #lastEnd: SessionEnd | null = null;
  #sinceUtcMs: number;
  #tracks: readonly TrackDescription[] = [];
  #cancelRetry: () => void = () => {};
  #ticketRoot = 0;
  #reserveStepBytes = 0;

  constructor(options: StreamRecorderOptions) {
    this.#options = options;
    this.place = options.place;
    this.#log = options.log.with({ camera: options.place.camera, stream: options.place.stream });
    this.#book = new RunBook(options.place, options.store, options.clock, this.#log);
    this.#meter = new RateMeter(options.clock);
    this.#sinceUtcMs = options.clock.utcMs();
  }

  start(): void {
    const { openStream, stream, endpoint, resolve, accounts, clock } = this.#options;
    const engine = openStream(stream, {
      onMedia: (fact) => {
        this.#tracks = fact.tracks;
        this.#log.info("media.started", { tracks: fact.tracks });
      },
      onSegmentOpened: (fact) => {
        this.#book.opened({ ...fact, root: this.#options.roots.indexOf(fact.root) });
        this.#touch();
        this.#giveTicket();
      },
      onDurable: (fact) => this.#book.durable(fact),
      onSegmentEnded: (fact) => {
        this.#book.ended(fact);
        this.#touch();
      },
      onSegmentFailed: (fact) => {
        this.#book.failed(fact);
        this.#touch();
        this.#retryFile();
      },
      onDropped: (fact) => this.#book.dropped(fact),
    });
    this.#engine = engine;
    this.#source = new StreamSource({
      endpoint,
      transport: engineTransport(engine),
      resolve,
      accounts,
      clock,
      log: this.#log,
      onState: (state) => this.#onState(state),
    });
    this.#source.start();
  }

  /** Says goodbye to the camera, closes the segment and waits until the store has it. `cause` ends the run. */
  async stop(cause: string): Promise<void> {
    this.#cancelRetry();
    await this.#source?.stop();
    this.#source = null;
    const engine = this.#engine;
    if (engine === null) return;
    engine.stopRecording();
    await this.#book.finish(cause);
    this.#engine = null;
    engine.close();
    this.#state = { state: "idle" };
  }

  /** Blocks held by the segment in progress beyond its durable bytes, and the rate it grows with. */
  growth(): { root: number; reservedBytes: number; reserveStepBytes: number; bytesPerSecond: number; open: boolean } {
    const numbers = this.#numbers();
    const open = this.#book.segment !== null;
    const allocated = numbers["segment_allocated_bytes"] ?? 0;
    return {
      root: this.#ticketRoot,
      reservedBytes: open ? Math.max(0, allocated - (this.#book.segment?.durableBytes ?? 0)) : 0,
      reserveStepBytes: this.#reserveStepBytes,
      bytesPerSecond: this.#meter.rates.bitsPerSecond / 8,
      open,
    };
  }

  /** Reads the counters so that rates stay those of the last seconds. */
  sample(): void {
    this.#meter.sample(this.#numbers());
  }

  status(): StreamStatus {
    const { place } = this;
    const numbers = this.#numbers();
    const segment = this.#book.segment;
    const interruption = this.#book.interruption;
    const state = this.#state;
    const end = this.#lastEnd;
    return {
      camera: place.camera,
      stream: place.stream,
      channel: place.channel,
      state: segment !== null && state.state === "playing" ? "recording" : stateWord(state),
      cause: end?.cause ?? (segment !== null ? null : (interruption?.cause ?? null)),
      code: end?.code ?? null,
      detail: end?.detail ?? interruption?.detail ?? null,
      sinceUtcMs: this.#sinceUtcMs,
      attempt: "attempt" in state ? state.attempt : 0,
      retryAtUtcMs: state.state === "waiting" ? state.retryAtUtcMs : null,
      tracks: this.#tracks,
      warnings: state.state === "playing" ? state.warnings : [],
      numbers: streamNumbers(numbers, this.#meter),
      segment,
    };
  }

  #numbers(): Readonly<Record<string, number>> {
    return this.#engine?.numbers() ?? {};
  }

  #onState(state: SourceState): void {
    const changed = state.state !== this.#state.state;
    this.#state = state;
    if (changed) this.#touch();
    if (state.state === "connecting") {
      this.#book.beginSession();
      this.#giveTicket();
    } else if (state.state === "playing") {
      this.#lastEnd = null;
    } else if (state.state === "waiting") {
      this.#lastEnd = state.end;
      this.#book.interrupt({ cause: state.end.cause, detail: state.end.detail });
    }
  }

  #touch(): void {
    this.#sinceUtcMs = this.#options.clock.utcMs();
  }

  #retryFile(): void {
    this.#cancelRetry();
    this.#cancelRetry = this.#options.clock.after(RETRY_FILE_MS, () => this.#giveTicket());
  }

  #giveTicket(): void {
    const { store, roots, sizing, serial, zone } = this.#options;
    const engine = this.#engine;
    if (engine === null) return;
    const next = this.#book.nextSegment();
    const plan = store.planSegment(this.place, next);
    const root = roots[plan.root];
    if (root === undefined) throw new RangeError(`root ${plan.root} of ${roots.length}`);
    const size = sizing(plan.root, this.#meter.rates.bitsPerSecond / 8);
    this.#ticketRoot = plan.root;
    this.#reserveStepBytes = size.preallocateBytes;
    engine.ticket({
      root,
      path: plan.path,
      serial,
      channel: this.place.channel,
      stream: this.place.stream,
      run: next.run,
      sequence: next.sequence,
      zone,
      clockTrusted: this.#book.clockTrusted(),
      maxDurationMs: size.maxDurationMs,
      cutAtUtcMs: plan.midnightsUtcMs,
      preallocateBytes: size.preallocateBytes,
    });
  }
}

function stateWord(state: SourceState): StreamStatus["state"] {
  switch (state.state) {
    case "idle":
      return "stopped";
    case "playing":
      return "buffering";
    default:
      return state.state;
  }
}

function streamNumbers(numbers: Readonly<Record<string, number>>, meter: RateMeter): StreamNumbers {
  const at = (name: string): number => numbers[name] ?? 0;
  return {
    ...meter.rates,
    packets: at("packets"),
    lostPackets: at("lost_packets"),
    malformedPackets: at("malformed_packets"),
    discardedUnits: at("discarded_units"),
    droppedFragments: at("dropped_fragments"),
    timeJumps: at("time_jumps"),
    ringBytes: at("ring_bytes"),
    queueBytes: at("queue_bytes"),
  };
}
