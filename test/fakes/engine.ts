import type { ConnectionHandlers, EngineConnection, EngineStream, StreamHandlers } from "../../src/engine/engine.ts";
import type { DisconnectCause, SegmentEnd, SegmentTicket, StreamOptions } from "../../src/engine/types.ts";
import type { SimulatedClock } from "./clock.ts";
import { FakeConnection, type Script } from "./rtsp-transport.ts";

/** An engine whose cameras are scripts and whose writer is the test. */
export class FakeEngine {
  readonly streams: FakeEngineStream[] = [];
  /** What the next connects meet. */
  server: Script | DisconnectCause;
  /** Thrown by the next `openStream`. */
  refuses: Error | null = null;
  readonly #clock: SimulatedClock;

  constructor(clock: SimulatedClock, server: Script | DisconnectCause) {
    this.#clock = clock;
    this.server = server;
  }

  readonly openStream = (_options: StreamOptions, handlers: StreamHandlers): EngineStream => {
    const { refuses } = this;
    this.refuses = null;
    if (refuses !== null) throw refuses;
    const stream = new FakeEngineStream(this.streams.length + 1, this, handlers, this.#clock);
    this.streams.push(stream);
    return stream;
  };

  numbers(): Record<string, number> {
    return {};
  }

  /** The newest stream. */
  get stream(): FakeEngineStream {
    const stream = this.streams.at(-1);
    if (stream === undefined) throw new Error("no stream was opened");
    return stream;
  }
}

export class FakeEngineStream implements EngineStream {
  readonly id: number;
  readonly tickets: SegmentTicket[] = [];
  readonly handlers: StreamHandlers;
  connection: FakeConnection | null = null;
  closed = false;
  stops = 0;
  /** Thrown by the next `ticket`. */
  refuses: Error | null = null;
  extra: Record<string, number> = {};
  #growing: { run: string; sequence: number; startUtcMs: number } | null = null;
  readonly #engine: FakeEngine;
  readonly #clock: SimulatedClock;

  constructor(id: number, engine: FakeEngine, handlers: StreamHandlers, clock: SimulatedClock) {
    this.id = id;
    this.#engine = engine;
    this.handlers = handlers;
    this.#clock = clock;
  }

  connect(_address: string, _port: number, _timeoutMs: number, up: ConnectionHandlers): EngineConnection {
    const { server } = this.#engine;
    if (typeof server !== "function") {
      queueMicrotask(() => up.onDisconnected(server, ""));
      return { send() {}, play() {}, keepalive() {}, disconnect() {} };
    }
    const connection = new FakeConnection(server, up, this.#clock);
    this.connection = connection;
    queueMicrotask(() => up.onConnected());
    return connection;
  }

  ticket(ticket: SegmentTicket): void {
    const { refuses } = this;
    this.refuses = null;
    if (refuses !== null) throw refuses;
    this.tickets.push(ticket);
  }

  /** Ends what grows, as the writer would. */
  stopRecording(): void {
    this.stops += 1;
    if (this.#growing !== null) queueMicrotask(() => this.ended("requested"));
  }

  tap() {
    return { nextSequence: 0, lapped: false, init: new Uint8Array(), fragments: [] };
  }

  numbers(): Record<string, number> {
    const { mediaMonoMs = 0, keyFrameCount = 0 } = this.connection ?? {};
    return { last_media_mono_ms: mediaMonoMs, random_access_units: keyFrameCount, ...this.extra };
  }

  close(): void {
    this.closed = true;
  }

  /** The writer opens the segment of the newest ticket. */
  opened(): void {
    const ticket = this.tickets.at(-1);
    if (ticket === undefined) throw new Error("there is no ticket");
    const { run, sequence, root, path } = ticket;
    const startUtcMs = this.#clock.utcMs();
    this.#growing = { run, sequence, startUtcMs };
    this.handlers.onSegmentOpened({
      kind: "segmentOpened",
      stream: this.id,
      run,
      sequence,
      root,
      path,
      startUtcMs,
      startMonoMs: 5,
      tracks: [],
    });
  }

  ended(reason: SegmentEnd): void {
    if (this.#growing === null) return;
    const { startUtcMs, ...id } = this.#growing;
    this.#growing = null;
    const endUtcMs = this.#clock.utcMs();
    const durationMs = endUtcMs - startUtcMs;
    const common = { kind: "segmentEnded", stream: this.id, root: 7, path: "", fragments: 1, bytes: 1 } as const;
    this.handlers.onSegmentEnded({ ...common, ...id, startUtcMs, endUtcMs, durationMs, reason });
  }

  /** The segment of the newest ticket cannot be opened or written. */
  failed(errno: number): void {
    const { run = "", sequence = 0 } = this.tickets.at(-1) ?? {};
    this.#growing = null;
    const common = { kind: "segmentFailed", stream: this.id, root: 7, path: "", step: "open", message: "no space left" } as const;
    this.handlers.onSegmentFailed({ ...common, run, sequence, errno });
  }
}
