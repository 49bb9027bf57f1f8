import type { Alarms } from "../base/alarms.ts";
import type { Clock } from "../base/clock.ts";
import type { ClockMove } from "../base/clock-watch.ts";
import { toRecorderError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { EngineStream, StreamHandlers } from "../engine/engine.ts";
import type { StreamOptions } from "../engine/types.ts";
import { type GapCause, streamKeyText, type TrackDescription } from "../media/types.ts";
import type { Accounts } from "../rtsp/accounts.ts";
import { StreamSource } from "../rtsp/source.ts";
import type { CameraEndpoint, Resolve, SessionEnd, SourceState } from "../rtsp/types.ts";
import type { SegmentStore, StreamPlace } from "../store/types.ts";
import { DropAlarm } from "./drop-alarm.ts";
import { RateMeter } from "./rates.ts";
import { type Interruption, RunBook } from "./run-book.ts";
import type { SegmentSizing } from "./segment-policy.ts";
import { engineTransport } from "./transport.ts";
import type { StreamNumbers, StreamStatus } from "./types.ts";

/** After a first failure the next file begins at once, after another one so soon with this pause: a full disk is asked often enough to resume within 2 s. */
const RETRY_TICKET_MS = 500;

export interface StreamRecorderOptions {
  readonly place: StreamPlace;
  readonly endpoint: CameraEndpoint;
  readonly serial: string;
  readonly zone: string;
  readonly stream: StreamOptions;
  readonly openStream: (options: StreamOptions, handlers: StreamHandlers) => EngineStream;
  readonly store: SegmentStore;
  /** Size of the next segment of a stream with this rate. */
  readonly sizing: (root: number, bytesPerSecond: number) => SegmentSizing;
  readonly resolve: Resolve;
  readonly accounts: Accounts;
  readonly alarms: Alarms;
  readonly clock: Clock;
  readonly clockTrusted: () => boolean;
  readonly log: Logger;
}

/** Records one stream for as long as it runs: signalling on one side, tickets and books on the other. */
export class StreamRecorder {
  readonly place: StreamPlace;
  readonly #options: StreamRecorderOptions;
  readonly #log: Logger;
  readonly #book: RunBook;
  readonly #meter: RateMeter;
  readonly #drops: DropAlarm;
  #engine: EngineStream | null = null;
  #source: StreamSource | null = null;
  #state: SourceState = { state: "idle" };
  /** Why the last session ended, until media flows again: while it is tried again, the reason must not vanish from listings. */
  #lastEnd: SessionEnd | null = null;
  /** The state that listings show, and since when. */
  #shown: StreamStatus["state"] = "stopped";
  #sinceMonoMs: number;
  #tracks: readonly TrackDescription[] = [];
  #cancelRetry: () => void = () => {};
  #ticketRoot = 0;
  #reserveStepBytes = 0;
  #ticketFailed = false;
  /** Why there is no ticket: no root can be written. Null while there is one. */
  #withheld: Interruption | null = null;
  #failedMonoMs = Number.NEGATIVE_INFINITY;
  /** No segment begins any more. */
  #stopping = false;

  constructor(options: StreamRecorderOptions) {
    this.#options = options;
    this.place = options.place;
    this.#log = options.log.with({ camera: options.place.camera, stream: options.place.stream });
    this.#book = new RunBook({ ...options, log: this.#log });
    this.#meter = new RateMeter(options.clock);
    this.#sinceMonoMs = options.clock.monoMs();
    this.#drops = new DropAlarm(streamKeyText(options.place), options.alarms, options.clock);
  }

  start(): void {
    const { openStream, stream, endpoint, resolve, accounts, clock } = this.#options;
    const engine = openStream(stream, {
      onMedia: (fact) => {
        this.#tracks = fact.tracks;
        this.#log.info("media.started", { tracks: fact.tracks });
      },
      onClockStepped: () => {
        this.#book.clockStepped();
        this.#giveTicket();
      },
      onSegmentOpened: (fact) => {
        this.#book.opened(fact);
        this.#note();
        this.#giveTicket();
      },
      onDurable: (fact) => this.#book.durable(fact),
      onSegmentEnded: (fact) => {
        this.#book.ended(fact);
        this.#note();
      },
      onSegmentFailed: (fact) => {
        this.#book.failed(fact);
        this.#note();
        this.#replaceTicket();
      },
      onFactsLost: () => {
        // Which segment grows is not known any more: a new run begins one that is.
        engine.stopRecording();
        this.#book.beginSession();
        this.#giveTicket();
      },
      onDropped: (fact) => {
        this.#book.dropped(fact);
        this.#drops.dropped(fact, this.#book.interruption?.detail ?? null);
        this.#note();
      },
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

  /** Roots came or went: the next segment may have to begin on another one. */
  rootsChanged(): void {
    this.#giveTicket();
  }

  /** The wall clock was moved: the ticket in hand may name the wrong day, and a trust that is not right any more. */
  clockMoved(move: ClockMove): void {
    this.#book.clockMoved(move);
    const { state } = this.#state;
    if (state === "connecting" || state === "playing") this.#giveTicket();
  }

  /** Says goodbye to the camera, closes the segment and waits until the store has it. `cause` ends the run, and accounts for the time from now on. */
  async stop(cause: GapCause): Promise<void> {
    this.#stopping = true;
    this.#cancelRetry();
    this.#drops.end();
    await this.#source?.stop();
    this.#source = null;
    const engine = this.#engine;
    if (engine === null) return;
    try {
      engine.stopRecording();
      await this.#book.finish(cause);
    } finally {
      this.#engine = null;
      engine.close();
    }
  }

  /** Blocks held by the segment in progress beyond its durable bytes, and the rate it grows with. */
  growth(): { root: number; reservedBytes: number; reserveStepBytes: number; bytesPerSecond: number } {
    const numbers = this.#numbers();
    const { segment } = this.#book;
    const allocated = numbers["segment_allocated_bytes"] ?? 0;
    return {
      root: this.#ticketRoot,
      reservedBytes: segment === null ? 0 : Math.max(0, allocated - segment.durableBytes),
      reserveStepBytes: this.#reserveStepBytes,
      bytesPerSecond: this.#meter.rates.bitsPerSecond / 8,
    };
  }

  /** Reads the counters so that rates stay those of the last seconds. */
  sample(): void {
    this.#meter.sample(this.#numbers());
    this.#drops.look();
  }

  status(): StreamStatus {
    const { place } = this;
    const { clock } = this.#options;
    const numbers = this.#numbers();
    const { segment, recording, interruption } = this.#book;
    const state = this.#state;
    const end = this.#lastEnd;
    return {
      camera: place.camera,
      stream: place.stream,
      channel: place.channel,
      state: this.#stateWord(),
      cause: end?.cause ?? (recording ? null : (interruption?.cause ?? null)),
      code: end?.code ?? null,
      detail: end?.detail ?? (recording ? null : (interruption?.detail ?? null)),
      sinceUtcMs: clock.utcMs() - (clock.monoMs() - this.#sinceMonoMs),
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
    this.#state = state;
    if (state.state === "connecting") {
      this.#book.beginSession();
      this.#giveTicket();
    } else if (state.state === "playing") {
      this.#lastEnd = null;
      if (this.#withheld !== null) this.#book.withhold(this.#withheld);
    } else if (state.state === "waiting") {
      this.#lastEnd = state.end;
      this.#book.interrupt({ cause: state.end.cause, detail: state.end.detail });
    }
    this.#note();
  }

  #stateWord(): StreamStatus["state"] {
    const { state } = this.#state;
    if (state === "idle") return "stopped";
    if (state === "playing") return this.#book.recording ? "recording" : "buffering";
    return state;
  }

  /** A cut between two segments is no change of state. */
  #note(): void {
    const state = this.#stateWord();
    if (state === this.#shown) return;
    this.#shown = state;
    this.#sinceMonoMs = this.#options.clock.monoMs();
  }

  /** A file was given up: what it did not hold goes on in the next one. */
  #replaceTicket(): void {
    const now = this.#options.clock.monoMs();
    const soon = now - this.#failedMonoMs < RETRY_TICKET_MS;
    this.#failedMonoMs = now;
    if (soon) this.#retryTicket();
    else this.#giveTicket();
  }

  #retryTicket(): void {
    this.#cancelRetry();
    if (this.#stopping) return;
    this.#cancelRetry = this.#options.clock.after(RETRY_TICKET_MS, () => this.#giveTicket());
  }

  /** What the engine does not take now it is given again soon: without a ticket nothing is recorded. */
  #giveTicket(): void {
    const engine = this.#engine;
    if (engine === null || this.#stopping) return;
    try {
      this.#planTicket(engine);
      this.#ticketFailed = false;
      this.#withheld = null;
    } catch (error) {
      const { code, message } = toRecorderError(error);
      if (code === "ROOT_UNAVAILABLE") this.#withhold({ cause: "disk-fault", detail: message });
      this.#log[this.#ticketFailed ? "debug" : "error"]("ticket.failed", { error });
      this.#ticketFailed = true;
      this.#retryTicket();
    }
  }

  #withhold(reason: Interruption): void {
    this.#withheld = reason;
    if (this.#state.state !== "playing") return;
    this.#book.withhold(reason);
    this.#note();
  }

  #planTicket(engine: EngineStream): void {
    const { store, sizing, serial, zone } = this.#options;
    const next = this.#book.nextSegment();
    const plan = store.planSegment(this.place, next);
    const size = sizing(plan.rootIndex, this.#meter.rates.bitsPerSecond / 8);
    this.#ticketRoot = plan.rootIndex;
    this.#reserveStepBytes = size.preallocateBytes;
    engine.ticket({
      root: plan.root,
      path: plan.path,
      serial,
      channel: this.place.channel,
      stream: this.place.stream,
      run: next.run,
      sequence: next.sequence,
      zone,
      clockTrusted: next.clockTrusted,
      maxDurationMs: size.maxDurationMs,
      cutAtUtcMs: plan.midnightsUtcMs,
      preallocateBytes: size.preallocateBytes,
    });
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
