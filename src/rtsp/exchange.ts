import type { Clock } from "../base/clock.ts";
import { RecorderError, toRecorderError } from "../base/errors.ts";
import type { DisconnectCause } from "../engine/types.ts";
import { disconnectEnd, ended } from "./ends.ts";
import { cseqOf, excerpt, parseMessage, type RtspReply, type RtspServerRequest, serializeReply, serializeRequest } from "./message.ts";
import type { RtspConnection, RtspConnectionHandlers } from "./types.ts";

/** Time allowed for each reply. */
export const REPLY_TIMEOUT_MS = 5000;
/** Requests a server may send within `FLOOD_WINDOW_MS`; more is an attack or a loop. */
const FLOOD_REQUESTS = 50;
const FLOOD_WINDOW_MS = 10_000;
/** Messages without any meaning that are put up with while playing, over the life of a connection. */
const MAX_MALFORMED = 16;
const SUPPORTED_METHODS = "OPTIONS, ANNOUNCE, GET_PARAMETER, SET_PARAMETER, TEARDOWN";

interface Pending {
  readonly method: string;
  readonly cseq: number;
  settle(outcome: RtspReply | RecorderError): void;
}

/** Requests and replies on one connection: one request at a time, matched by CSeq, each with a time limit; answers the server's own requests. */
export class Exchange {
  readonly handlers: RtspConnectionHandlers = {
    onMessage: (text) => this.#onMessage(text),
    onDisconnected: (cause, detail) => this.#onDisconnected(cause, detail),
  };
  /** Resolves with the reason when the connection is over or useless; never rejects. */
  readonly over: Promise<RecorderError>;
  /** Set once PLAY was accepted: how a lost connection is explained depends on it. */
  playing = false;
  /** Gets replies nobody waits for: failures of keepalives that the engine sends. */
  onStrayReply: (reply: RtspReply) => void = () => {};

  readonly #clock: Clock;
  readonly #end: (error: RecorderError) => void;
  #connection: RtspConnection | null = null;
  #error: RecorderError | null = null;
  #connected = true;
  #disconnected: () => void = () => {};
  readonly #gone: Promise<void>;
  #pending: Pending | null = null;
  #nextCseq = 1;
  #keepalive: { readonly fromMonoMs: number; readonly intervalMs: number } | null = null;
  #heard = false;
  #malformed = 0;
  #requestsMonoMs: number[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
    let end: (error: RecorderError) => void = () => {};
    this.over = new Promise((resolve) => {
      end = resolve;
    });
    this.#end = end;
    this.#gone = new Promise((resolve) => {
      this.#disconnected = resolve;
    });
  }

  attach(connection: RtspConnection): void {
    this.#connection = connection;
  }

  /** Throws INTERNAL before `attach`. */
  get connection(): RtspConnection {
    if (this.#connection === null) throw new RecorderError("INTERNAL", "the exchange has no connection yet");
    return this.#connection;
  }

  get isOver(): boolean {
    return this.#error !== null;
  }

  /** Sends a request and waits for its final reply; rejects when none comes in time or the connection ends. */
  request(
    method: string,
    url: string,
    headers: readonly (readonly [name: string, value: string | null])[],
    signal: AbortSignal,
  ): Promise<RtspReply> {
    return new Promise((resolve, reject) => {
      if (this.#error !== null) return reject(this.#error);
      if (signal.aborted) return reject(signal.reason);
      const cseq = this.#takeCseq();
      const onAbort = () => settle(toRecorderError(signal.reason));
      const cancel = this.#clock.after(REPLY_TIMEOUT_MS, () => {
        settle(ended("no-reply", `the camera did not answer ${method} within ${REPLY_TIMEOUT_MS / 1000} s`));
      });
      const settle = (outcome: RtspReply | RecorderError): void => {
        cancel();
        signal.removeEventListener("abort", onAbort);
        if (this.#pending?.cseq === cseq) this.#pending = null;
        if (outcome instanceof RecorderError) reject(outcome);
        else resolve(outcome);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#pending = { method, cseq, settle };
      this.#send(serializeRequest(method, url, cseq, headers));
    });
  }

  /** Hands the keepalive to the engine; later requests count on behind those it will have sent. */
  armKeepalive(template: string, intervalMs: number): void {
    const first = this.#takeCseq();
    this.#keepalive = { fromMonoMs: this.#clock.monoMs(), intervalMs };
    this.#connection?.keepalive(template, first, intervalMs);
  }

  /** Ends the connection, with a last request if it still stands; resolves when it is gone, after `waitMs` at the latest. */
  async close(
    last: { method: string; url: string; headers: readonly (readonly [string, string | null])[] } | null,
    waitMs: number,
  ): Promise<void> {
    if (!this.#connected) return;
    const text = last === null ? null : serializeRequest(last.method, last.url, this.#takeCseq(), last.headers);
    this.#connection?.disconnect(text);
    let cancel = () => {};
    const waited = new Promise<void>((resolve) => {
      cancel = this.#clock.after(waitMs, resolve);
    });
    await Promise.race([this.#gone, waited]);
    cancel();
  }

  #takeCseq(): number {
    const keepalive = this.#keepalive;
    if (keepalive !== null) {
      // The engine has counted on by itself; one more than it can have used.
      this.#nextCseq += Math.ceil((this.#clock.monoMs() - keepalive.fromMonoMs) / keepalive.intervalMs) + 1;
      this.#keepalive = { ...keepalive, fromMonoMs: this.#clock.monoMs() };
    }
    const cseq = this.#nextCseq;
    this.#nextCseq += 1;
    return cseq;
  }

  #send(text: string): void {
    try {
      this.#connection?.send(text);
    } catch (error) {
      this.fail(toRecorderError(error));
    }
  }

  /** Makes the connection useless: requests reject with `error` from now on. */
  fail(error: RecorderError): void {
    if (this.#error !== null) return;
    this.#error = error;
    this.#pending?.settle(error);
    this.#end(error);
  }

  #onDisconnected(cause: DisconnectCause, detail: string): void {
    this.#connected = false;
    this.fail(disconnectEnd(cause, excerpt(detail, 200), { heard: this.#heard, playing: this.playing }));
    this.#disconnected();
  }

  #onMessage(text: string): void {
    if (this.#error !== null) return;
    let message: ReturnType<typeof parseMessage>;
    try {
      message = parseMessage(text);
    } catch (error) {
      this.#onMalformed(toRecorderError(error, "CAMERA_STREAM_FAULT"));
      return;
    }
    this.#heard = true;
    if (message.kind === "request") this.#answer(message);
    else this.#onReply(message);
  }

  /** While playing, a message in pieces costs nothing but itself; before, nothing sensible can follow. */
  #onMalformed(error: RecorderError): void {
    this.#malformed += 1;
    if (this.playing && this.#malformed <= MAX_MALFORMED) return;
    const code = this.#heard ? "malformed-reply" : "not-rtsp";
    this.fail(ended(code, `the camera does not speak RTSP as it should: ${error.message}`));
  }

  #onReply(reply: RtspReply): void {
    if (reply.status < 200) return;
    const cseq = cseqOf(reply);
    const pending = this.#pending;
    // A reply without readable CSeq can only be meant for the one request that waits.
    if (pending !== null && (cseq === null || cseq === pending.cseq)) pending.settle(reply);
    else this.onStrayReply(reply);
  }

  #answer(request: RtspServerRequest): void {
    const now = this.#clock.monoMs();
    this.#requestsMonoMs = this.#requestsMonoMs.filter((at) => now - at < FLOOD_WINDOW_MS);
    this.#requestsMonoMs.push(now);
    if (this.#requestsMonoMs.length > FLOOD_REQUESTS) {
      const seconds = FLOOD_WINDOW_MS / 1000;
      this.fail(ended("request-flood", `the camera sent more than ${FLOOD_REQUESTS} requests within ${seconds} s`));
      return;
    }
    const cseq = cseqOf(request);
    const id = request.headers.get("session");
    const session: [string, string][] = id === null ? [] : [["Session", id]];
    switch (request.method) {
      case "OPTIONS":
        this.#send(serializeReply(200, "OK", cseq, [...session, ["Public", SUPPORTED_METHODS]]));
        return;
      // A new description, a ping or a parameter: what matters of it also comes in band.
      case "ANNOUNCE":
      case "GET_PARAMETER":
      case "SET_PARAMETER":
        this.#send(serializeReply(200, "OK", cseq, session));
        return;
      case "TEARDOWN":
      case "REDIRECT":
        this.#send(serializeReply(200, "OK", cseq, session));
        this.fail(ended("ended-by-camera", `the camera ended the session with ${request.method}`));
        return;
      default:
        this.#send(serializeReply(501, "Not Implemented", cseq, [...session, ["Public", SUPPORTED_METHODS]]));
    }
  }
}
