import { isErrorCode, RecorderError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type {
  DisconnectCause,
  EngineOptions,
  Fact,
  NativeAddon,
  NativeEngine,
  SegmentTicket,
  StreamOptions,
  TapResult,
  TrackSetup,
  WriterOptions,
} from "./types.ts";

type FactOf<K extends Fact["kind"]> = Extract<Fact, { kind: K }>;

/** What happens to one connection. `onDisconnected` comes exactly once, also for one that never connected. */
export interface ConnectionHandlers {
  onConnected(): void;
  onMessage(text: string): void;
  onDisconnected(cause: DisconnectCause, detail: string): void;
}

/** What happens to the media of one stream. */
export interface StreamHandlers {
  onMedia(fact: FactOf<"media">): void;
  /** What follows is another run, for which there is no ticket yet. */
  onClockStepped(): void;
  onSegmentOpened(fact: FactOf<"segmentOpened">): void;
  onDurable(fact: FactOf<"durable">): void;
  onSegmentEnded(fact: FactOf<"segmentEnded">): void;
  onSegmentFailed(fact: FactOf<"segmentFailed">): void;
  onDropped(fact: FactOf<"dropped">): void;
  /** Facts of any stream were lost, maybe of this one. */
  onFactsLost(): void;
}

export interface SealedSegment {
  readonly bytes: number;
  /** Lower-case hex. */
  readonly crc64: string;
  readonly blake3: string;
}

interface PendingFinish {
  resolve(sealed: SealedSegment): void;
  reject(error: RecorderError): void;
}

const ENOSPC = 28;
const EDQUOT = 122;

/** The error a failed file step stands for. */
export function diskError(fact: {
  readonly errno: number;
  readonly step: string;
  readonly message: string;
  readonly path: string;
}): RecorderError {
  const full = fact.errno === ENOSPC || fact.errno === EDQUOT;
  return new RecorderError(full ? "DISK_FULL" : "DISK_FAULT", `${fact.step} of ${fact.path} failed: ${fact.message}`, {
    path: fact.path,
    step: fact.step,
    errno: fact.errno,
  });
}

/** Turns the addon's orders and batched facts into objects with handlers. Holds no decision. */
export class Engine {
  readonly #native: NativeEngine;
  readonly #log: Logger;
  readonly #connections = new Map<number, ConnectionHandlers>();
  readonly #streams = new Map<number, StreamHandlers>();
  readonly #finishing = new Map<string, PendingFinish>();
  readonly #streamStats: readonly string[];
  readonly #writerStats: readonly string[];
  readonly #engineStats: readonly string[];
  readonly #streamPage: Float64Array;
  readonly #writerPage: Float64Array;
  readonly #enginePage: Float64Array;
  #onFailure: (root: number, error: RecorderError) => void = () => {};

  constructor(addon: NativeAddon, options: EngineOptions, log: Logger) {
    this.#log = log;
    this.#streamStats = addon.streamStats();
    this.#writerStats = addon.writerStats();
    this.#engineStats = addon.engineStats();
    this.#streamPage = new Float64Array(this.#streamStats.length);
    this.#writerPage = new Float64Array(this.#writerStats.length);
    this.#enginePage = new Float64Array(this.#engineStats.length);
    this.#native = native(() => new addon.Engine(options));
  }

  start(): void {
    native(() => this.#native.start((batch) => this.#take(batch)));
  }

  /** Closes connections and open segments, joins the threads. Finishes not yet sealed are rejected. */
  async stop(): Promise<void> {
    await nativeAsync(() => this.#native.stop());
    for (const pending of this.#finishing.values()) {
      pending.reject(new RecorderError("ENGINE_UNAVAILABLE", "the engine stopped before the segment was sealed"));
    }
    this.#finishing.clear();
  }

  /** `observer` is told of every failed step of a writer, before the segment's stream is. */
  observeFailures(observer: (root: number, error: RecorderError) => void): void {
    this.#onFailure = observer;
  }

  /** Starts the writer of an open root. */
  openWriter(root: number, options: WriterOptions): void {
    native(() => this.#native.openWriter(root, options));
  }

  /** Gives up what the root's writer has not closed; resolves once it has ended. */
  closeWriter(root: number): Promise<void> {
    return nativeAsync(() => this.#native.closeWriter(root));
  }

  /** The stats page of a root's writer by name; null if it has none. For one reader. */
  writerNumbers(root: number): Readonly<Record<string, number>> | null {
    return native(() => this.#native.readWriterStats(root, this.#writerPage)) ? byName(this.#writerStats, this.#writerPage) : null;
  }

  openStream(options: StreamOptions, handlers: StreamHandlers): EngineStream {
    const id = native(() => this.#native.openStream(options));
    this.#streams.set(id, handlers);
    return {
      id,
      connect: (address, port, timeoutMs, connectionHandlers) => this.#connect(id, address, port, timeoutMs, connectionHandlers),
      ticket: (ticket) => native(() => this.#native.ticket(id, ticket)),
      stopRecording: () => native(() => this.#native.stopRecording(id)),
      tap: (fromSequence) => native(() => this.#native.tap(id, fromSequence)),
      numbers: () => this.#readStream(id),
      close: () => {
        native(() => this.#native.closeStream(id));
        this.#streams.delete(id);
      },
    };
  }

  /** Seal, sync, rename, directory sync on the root's writer thread. Rejects with DISK_FULL or DISK_FAULT. */
  finishSegment(root: number, run: string, sequence: number, finalPath: string): Promise<SealedSegment> {
    return new Promise((resolve, reject) => {
      this.#finishing.set(segmentKey(run, sequence), { resolve, reject });
      try {
        native(() => this.#native.finishSegment(root, run, sequence, finalPath));
      } catch (error) {
        this.#finishing.delete(segmentKey(run, sequence));
        reject(error);
      }
    });
  }

  /** The engine's stats page by name. */
  numbers(): Readonly<Record<string, number>> {
    native(() => this.#native.readEngineStats(this.#enginePage));
    return byName(this.#engineStats, this.#enginePage);
  }

  #readStream(id: number): Readonly<Record<string, number>> {
    if (!native(() => this.#native.readStreamStats(id, this.#streamPage))) this.#streamPage.fill(0);
    return byName(this.#streamStats, this.#streamPage);
  }

  #connect(stream: number, address: string, port: number, timeoutMs: number, handlers: ConnectionHandlers): EngineConnection {
    const id = native(() => this.#native.connect(stream, address, port, timeoutMs));
    this.#connections.set(id, handlers);
    return {
      send: (text) => native(() => this.#native.send(id, text)),
      play: (tracks) => native(() => this.#native.play(id, tracks)),
      keepalive: (template, firstCseq, intervalMs) => native(() => this.#native.keepalive(id, template, firstCseq, intervalMs)),
      disconnect: (lastText) => native(() => this.#native.disconnect(id, lastText)),
    };
  }

  #take(batch: string): void {
    for (const fact of JSON.parse(batch) as Fact[]) {
      // A handler that throws must not take the facts behind it along.
      try {
        this.#dispatch(fact);
      } catch (error) {
        this.#log.error("fact.handler-failed", { kind: fact.kind, error });
      }
    }
  }

  #dispatch(fact: Fact): void {
    switch (fact.kind) {
      case "connected":
        this.#connections.get(fact.connection)?.onConnected();
        return;
      case "message":
        this.#connections.get(fact.connection)?.onMessage(fact.text);
        return;
      case "disconnected": {
        const handlers = this.#connections.get(fact.connection);
        this.#connections.delete(fact.connection);
        handlers?.onDisconnected(fact.cause, fact.detail);
        return;
      }
      case "media":
        this.#streams.get(fact.stream)?.onMedia(fact);
        return;
      case "clockStepped":
        this.#streams.get(fact.stream)?.onClockStepped();
        return;
      case "segmentOpened":
        this.#streams.get(fact.stream)?.onSegmentOpened(fact);
        return;
      case "durable":
        this.#streams.get(fact.stream)?.onDurable(fact);
        return;
      case "segmentEnded":
        this.#streams.get(fact.stream)?.onSegmentEnded(fact);
        return;
      case "segmentSealed":
        this.#settle(fact)?.resolve({ bytes: fact.bytes, crc64: fact.crc64, blake3: fact.blake3 });
        return;
      case "segmentFailed": {
        const finishing = this.#settle(fact);
        const error = diskError(fact);
        this.#onFailure(fact.root, error);
        if (finishing !== undefined) finishing.reject(error);
        else this.#streams.get(fact.stream)?.onSegmentFailed(fact);
        return;
      }
      case "dropped":
        this.#streams.get(fact.stream)?.onDropped(fact);
        return;
      case "overflow":
        this.#log.error("facts.overflow", { lost: fact.lost });
        for (const handlers of this.#streams.values()) handlers.onFactsLost();
        return;
      default:
        fact satisfies never;
    }
  }

  #settle(fact: { readonly run: string; readonly sequence: number }): PendingFinish | undefined {
    const key = segmentKey(fact.run, fact.sequence);
    const pending = this.#finishing.get(key);
    this.#finishing.delete(key);
    return pending;
  }
}

/** A stream of the engine: ring, recording, and at most one connection at a time. */
export interface EngineStream {
  readonly id: number;
  connect(address: string, port: number, timeoutMs: number, handlers: ConnectionHandlers): EngineConnection;
  ticket(ticket: SegmentTicket): void;
  stopRecording(): void;
  tap(fromSequence: number): TapResult;
  /** The stream's stats page by name; zeros once it is closed. */
  numbers(): Readonly<Record<string, number>>;
  close(): void;
}

export interface EngineConnection {
  send(text: string): void;
  play(tracks: readonly TrackSetup[]): void;
  keepalive(template: string, firstCseq: number, intervalMs: number): void;
  disconnect(lastText: string | null): void;
}

const segmentKey = (run: string, sequence: number): string => `${run}/${sequence}`;

function byName(names: readonly string[], page: Float64Array): Readonly<Record<string, number>> {
  const numbers: Record<string, number> = {};
  // Read for every stream every second: a loop costs less than half of `Object.fromEntries` over pairs.
  for (const [index, name] of names.entries()) numbers[name] = page[index] ?? 0;
  return numbers;
}

/** Runs a call into the addon; its errors become `RecorderError`s with the addon's code. */
export function native<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw mapped(error);
  }
}

export async function nativeAsync<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw mapped(error);
  }
}

function mapped(error: unknown): RecorderError {
  if (error instanceof RecorderError) return error;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const message = error instanceof Error ? error.message : String(error);
  return new RecorderError(isErrorCode(code) ? code : "INTERNAL", message, {}, { cause: error });
}
