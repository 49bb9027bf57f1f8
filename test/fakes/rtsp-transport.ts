import type { Clock } from "../../src/base/clock.ts";
import { RecorderError } from "../../src/base/errors.ts";
import type { DisconnectCause, TrackSetup } from "../../src/engine/types.ts";
import type { RtspConnection, RtspConnectionHandlers, RtspTransport } from "../../src/rtsp/types.ts";

/** A request as the fake server reads it. */
export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly cseq: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
}

/**
 * Answers one request: the reply from the status on (`200 OK\r\nPublic: …\r\n\r\nbody`), to which `RTSP/1.0` and CSeq are added; raw text
 * if it begins with `raw:`; null for silence; a disconnect cause to drop the connection.
 */
export type Answer = string | null | { readonly drop: DisconnectCause };
export type Script = (request: SeenRequest, connection: FakeConnection) => Answer;

/** A network without a network: each connect is answered by a script, or fails with a cause, or hangs until its time-out. */
export class FakeTransport implements RtspTransport {
  readonly connects: { address: string; port: number; timeoutMs: number; atMonoMs: number }[] = [];
  readonly connections: FakeConnection[] = [];
  /** What the next connects meet; replaced by tests as they go. */
  server: Script | DisconnectCause | "hang";
  readonly #clock: Clock;

  constructor(clock: Clock, server: Script | DisconnectCause | "hang") {
    this.#clock = clock;
    this.server = server;
  }

  /** The newest connection. */
  get connection(): FakeConnection {
    const connection = this.connections.at(-1);
    if (connection === undefined) throw new Error("nobody has connected yet");
    return connection;
  }

  connect(address: string, port: number, timeoutMs: number, handlers: RtspConnectionHandlers): Promise<RtspConnection> {
    const { server } = this;
    this.connects.push({ address, port, timeoutMs, atMonoMs: this.#clock.monoMs() });
    if (typeof server === "function") {
      const connection = new FakeConnection(server, handlers, this.#clock);
      this.connections.push(connection);
      return Promise.resolve(connection);
    }
    const error = new RecorderError("CAMERA_UNREACHABLE", `${address} port ${port}: ${server}`, {
      cause: server === "hang" ? "timeout" : server,
    });
    if (server !== "hang") return Promise.reject(error);
    return new Promise((_, reject) => this.#clock.after(timeoutMs, () => reject(error)));
  }
}

/** The engine's clock is not the service's: a distance that no test could overlook. */
const ENGINE_CLOCK_AHEAD_MS = 4_000_000;

export class FakeConnection implements RtspConnection {
  readonly requests: SeenRequest[] = [];
  /** Replies to requests of the server, raw. */
  readonly replies: string[] = [];
  readonly keepalives: { template: string; firstCseq: number; intervalMs: number }[] = [];
  /** In the order of what was sent: number of requests before `play` was called. */
  playedAfter: number | null = null;
  tracks: readonly TrackSetup[] = [];
  lastText: string | null = null;
  open = true;
  /** By the engine's clock. */
  mediaMonoMs = 0;
  keyFrameCount = 0;
  readonly #script: Script;
  readonly #handlers: RtspConnectionHandlers;
  readonly #clock: Clock;
  #stopMedia = () => {};

  constructor(script: Script, handlers: RtspConnectionHandlers, clock: Clock) {
    this.#script = script;
    this.#handlers = handlers;
    this.#clock = clock;
  }

  methods(): readonly string[] {
    return this.requests.map(({ method }) => method);
  }

  send(text: string): void {
    if (!this.open) return;
    if (text.startsWith("RTSP/")) {
      this.replies.push(text);
      return;
    }
    const request = readRequest(text);
    this.requests.push(request);
    const answer = this.#script(request, this);
    if (answer === null) return;
    if (typeof answer !== "string") this.drop(answer.drop);
    else if (answer.startsWith("raw:")) this.say(answer.slice(4));
    else this.say(`RTSP/1.0 ${answer.replace("\r\n", `\r\nCSeq: ${request.cseq}\r\n`)}`);
  }

  play(tracks: readonly TrackSetup[]): void {
    this.tracks = tracks;
    this.playedAfter = this.requests.length;
  }

  keepalive(template: string, firstCseq: number, intervalMs: number): void {
    this.keepalives.push({ template, firstCseq, intervalMs });
  }

  disconnect(lastText: string | null): void {
    if (!this.open) return;
    this.lastText = lastText;
    this.drop("requested");
  }

  lastMediaMonoMs(): number {
    return this.mediaMonoMs;
  }

  keyFrames(): number {
    return this.keyFrameCount;
  }

  /** Text of the server, on its way like any other. */
  say(text: string): void {
    queueMicrotask(() => {
      if (this.open) this.#handlers.onMessage(text);
    });
  }

  drop(cause: DisconnectCause, detail = ""): void {
    if (!this.open) return;
    this.open = false;
    this.stopMedia();
    queueMicrotask(() => this.#handlers.onDisconnected(cause, detail));
  }

  /** Media comes every 40 ms from now on, a key frame first and then with each `gop`th frame (never: packets that hold nothing useful). */
  startMedia(gop = 50): void {
    this.stopMedia();
    let frame = 0;
    const packet = (): void => {
      if (frame++ % gop === 0 && gop !== Number.POSITIVE_INFINITY) this.keyFrameCount += 1;
      this.mediaMonoMs = this.#clock.monoMs() + ENGINE_CLOCK_AHEAD_MS;
      this.#stopMedia = this.#clock.after(40, packet);
    };
    this.#stopMedia = this.#clock.after(40, packet);
  }

  stopMedia(): void {
    this.#stopMedia();
  }
}

/** Reads a request strictly: a client that writes sloppily fails its test here. */
export function readRequest(text: string): SeenRequest {
  const [head = "", body] = text.split("\r\n\r\n");
  if (body !== "") throw new Error(`the request does not end with an empty line: ${JSON.stringify(text)}`);
  const [first = "", ...lines] = head.split("\r\n");
  const start = /^([A-Z_]+) (\S+) RTSP\/1\.0$/.exec(first);
  if (start === null) throw new Error(`bad request line: ${first}`);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const field = /^([A-Za-z-]+): (.*)$/.exec(line);
    if (field === null) throw new Error(`bad header: ${line}`);
    headers.set((field[1] ?? "").toLowerCase(), field[2] ?? "");
  }
  return { method: start[1] ?? "", url: start[2] ?? "", cseq: Number(headers.get("cseq")), headers };
}
