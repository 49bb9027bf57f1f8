import { randomBytes } from "node:crypto";
import { Authenticator } from "./auth.ts";
import type { RtspMethod, SuddenFault } from "./faults.ts";
import { IncomingParser, type RtspRequest } from "./message.ts";
import { noise } from "./noise.ts";
import type { ServerOptions } from "./options.ts";
import { type ByteSocket, InterleavedOutlet } from "./outlet.ts";
import { type Instant, Player, type PlayerCounts, type PlayerTrack } from "./player.ts";
import { formatReply, malformReply, pathOf, type Reply } from "./reply.ts";
import { parseReceiverReports, type ReceiverReport } from "./rtcp.ts";
import { describeStream, TRACK_CONTROLS } from "./sdp.ts";
import type { StreamClient, StreamSource } from "./stream.ts";

/** What the camera remembers of a connection, for assertions; kept after its end. */
export interface ClientRecord {
  readonly connectedMonoMs: number;
  /** Null before the first request with a known path. */
  stream: string | null;
  userAgent: string | null;
  readonly requests: { readonly method: string; readonly uri: string; readonly monoMs: number; readonly status: number | null }[];
  readonly receiverReports: ReceiverReport[];
  /** Requests with credentials that were refused. */
  refusedCredentials: number;
  playing: boolean;
  counts: PlayerCounts | null;
  queuedBytes: number;
  /** Why the connection ended; null while it lasts. */
  end: "client" | "session-timeout" | "not-rtsp" | "fault" | "stopped" | null;
}

/** A server-side socket, as far as a connection needs it. */
export interface ConnectionSocket extends ByteSocket {
  end(): void;
  terminate(): void;
  pause(): void;
}

/** The reports and requests of a connection that are kept. */
const RECORD_LIMIT = 1000;

const OK: Reply = { status: "200 OK" };

/** One client: its requests (RFC 2326), its session, its player. A connection carries one session at most. */
export class Connection implements StreamClient {
  readonly record: ClientRecord;
  readonly #options: ServerOptions;
  readonly #streams: ReadonlyMap<string, StreamSource>;
  readonly #socket: ConnectionSocket;
  readonly #outlet: InterleavedOutlet;
  readonly #parser = new IncomingParser();
  readonly #auth: Authenticator | null;
  readonly #now: () => Instant;
  /** Greeted with a banner: another protocol, which answers no request. */
  readonly #foreign: boolean;
  readonly #sessionId = randomBytes(8).toString("hex");
  #source: StreamSource | null = null;
  #tracks: PlayerTrack[] = [];
  #player: Player | null = null;
  #lastRequestMonoMs: number;
  #replies = 0;

  constructor(options: ServerOptions, streams: ReadonlyMap<string, StreamSource>, socket: ConnectionSocket, now: () => Instant) {
    this.#options = options;
    this.#streams = streams;
    this.#socket = socket;
    this.#outlet = new InterleavedOutlet(socket, options.queueBytes);
    this.#auth = options.auth === null ? null : new Authenticator(options.auth);
    this.#now = now;
    this.#lastRequestMonoMs = now().monoMs;
    this.record = {
      connectedMonoMs: now().monoMs,
      stream: null,
      userAgent: null,
      requests: [],
      receiverReports: [],
      refusedCredentials: 0,
      playing: false,
      counts: null,
      queuedBytes: 0,
      end: null,
    };
    this.#foreign = [...streams.values()].some((source) => source.faults.has("binary-banner"));
    // The first byte is no beginning of anything in RTSP, so that every banner is recognised the same way.
    if (this.#foreign) this.#outlet.noise(Uint8Array.of(0, ...noise(199)));
  }

  received(chunk: Uint8Array): void {
    if (this.#foreign) return;
    const items = this.#parser.push(chunk);
    if (items === null) {
      this.close("not-rtsp");
      return;
    }
    for (const item of items) {
      if (this.record.end !== null) return;
      if (item.kind === "request") this.#request(item.request);
      else if (item.channel % 2 === 1) this.#rtcp(item.channel, item.payload);
    }
  }

  drain(): void {
    this.#outlet.drain();
  }

  /** Sends what is due, and ends a session that its client has forgotten. */
  advance(now: Instant): void {
    if (this.record.end !== null) return;
    this.#player?.advance(now);
    this.record.queuedBytes = this.#outlet.queuedBytes;
    const silentMs = now.monoMs - this.#lastRequestMonoMs;
    if (this.#tracks.length > 0 && silentMs > this.#options.sessionTimeoutS * 1000) {
      this.#player?.bye(now);
      this.close("session-timeout");
    }
  }

  strike(fault: SuddenFault): void {
    if (fault.kind === "reset") {
      this.ended("fault");
      this.#socket.terminate();
    } else if (fault.kind === "close") this.close("fault");
    else if (fault.kind === "bye") this.#player?.bye(this.#now());
    else this.#player?.strike(fault);
  }

  freeze(): void {
    this.#outlet.freeze();
    this.#socket.pause();
  }

  close(reason: NonNullable<ClientRecord["end"]>): void {
    if (this.record.end !== null) return;
    if (reason === "stopped") this.#player?.bye(this.#now());
    this.ended(reason);
    this.#socket.end();
  }

  /** The socket is gone. */
  ended(reason: NonNullable<ClientRecord["end"]>): void {
    this.record.end ??= reason;
    this.record.playing = false;
    this.#outlet.freeze();
    this.#source?.clients.delete(this);
    this.#player = null;
  }

  #rtcp(channel: number, payload: Uint8Array): void {
    const { receiverReports } = this.record;
    if (receiverReports.length < RECORD_LIMIT) receiverReports.push(...parseReceiverReports(payload, channel, this.#now().monoMs));
  }

  #request(request: RtspRequest): void {
    const now = this.#now();
    this.#lastRequestMonoMs = now.monoMs;
    this.record.userAgent = request.headers.get("user-agent") ?? this.record.userAgent;
    const source = this.#find(request.uri);
    if (source !== null && source !== this.#source) {
      this.#source?.clients.delete(this);
      this.#source = source;
      source.clients.add(this);
      this.record.stream = source.options.name;
      if (source.faults.has("half-open")) this.freeze();
    }
    const faults = source?.faults;
    const hangs = faults?.get("hang")?.method === request.method || faults?.has("half-open") === true;
    const reply = hangs ? null : this.#reply(request, source, now);
    if (this.record.requests.length < RECORD_LIMIT) {
      const status = reply === null ? null : Number(reply.status.slice(0, 3));
      this.record.requests.push({ method: request.method, uri: request.uri, monoMs: now.monoMs, status });
    }
    if (reply === null) return;
    if (faults?.has("http-reply")) {
      this.#outlet.text("HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\nhtml");
      return;
    }
    const text = formatReply(reply, request.headers.get("cseq") ?? "0");
    const malformed = faults?.get("malformed-rtsp");
    this.#outlet.text(malformed === undefined ? text : malformReply(text, (malformed.from ?? 0) + this.#replies++));
    if (request.method === "PLAY" && reply.status === OK.status) this.#play(now);
    if (request.method === "TEARDOWN" && reply.status === OK.status) this.#teardown();
  }

  #reply(request: RtspRequest, source: StreamSource | null, now: Instant): Reply {
    const options = this.#options;
    if (!options.methods.includes(request.method as RtspMethod)) return { status: "501 Not Implemented" };
    // Clients ask for the methods before they know that there is a password.
    if (request.method === "OPTIONS") return { ...OK, headers: [`Public: ${options.methods.join(", ")}`] };
    if (source === null) return { status: "404 Not Found" };
    const refusal = this.#refuse(request, source, now);
    if (refusal !== null) return refusal;
    switch (request.method) {
      case "DESCRIBE":
        return this.#describe(request, source);
      case "SETUP":
        return this.#setup(request, source);
      default:
        break;
    }
    const session = request.headers.get("session")?.split(";")[0]?.trim();
    if (session !== this.#sessionId && (session !== undefined || request.method === "PLAY" || request.method === "TEARDOWN")) {
      return { status: "454 Session Not Found" };
    }
    const headers = session === undefined ? [] : [`Session: ${this.#sessionId}`];
    if (request.method !== "PLAY") return { ...OK, headers };
    if (this.#tracks.length === 0) return { status: "455 Method Not Valid in This State" };
    this.#player = new Player(source, this.#tracks, this.#outlet, now);
    return { ...OK, headers: [...headers, "Range: npt=0.000-", `RTP-Info: ${this.#rtpInfo(request.uri, this.#player)}`] };
  }

  #refuse(request: RtspRequest, source: StreamSource, now: Instant): Reply | null {
    if (this.#auth === null) return source.faults.has("credentials-refused") ? { status: "401 Unauthorized" } : null;
    const changed = source.faults.get("password-changed")?.password;
    const password = source.faults.has("credentials-refused") ? null : (changed ?? this.#options.auth?.password ?? null);
    const result = this.#auth.check(request.method, request.uri, request.headers.get("authorization"), password, now.monoMs);
    if (result.ok) return null;
    if (result.hadCredentials) this.record.refusedCredentials++;
    return { status: "401 Unauthorized", headers: result.challenges.map((challenge) => `WWW-Authenticate: ${challenge}`) };
  }

  #describe(request: RtspRequest, source: StreamSource): Reply {
    const { faults, options } = source;
    if (faults.has("not-found")) return { status: "404 Not Found" };
    const redirect = faults.get("redirect");
    if (redirect !== undefined) return { status: "302 Moved Temporarily", headers: [`Location: ${redirect.location}`] };
    const base = `${request.uri.replace(/\/$/, "")}/`;
    const headers = ["Content-Type: application/sdp"];
    if (this.#options.base === "content-base") headers.push(`Content-Base: ${base}`);
    if (this.#options.base === "content-location") headers.push(`Content-Location: ${base}`);
    if (faults.has("sdp-garbage")) return { ...OK, headers, body: "m=\r\nthis is no description\r\n=\r\n" };
    const body = describeStream(options, this.#options.hostname, {
      video: !faults.has("sdp-without-video"),
      parameterSets: options.parameterSets !== "in-band-only" && !faults.has("sdp-without-parameter-sets"),
      controlPrefix: this.#options.control === "absolute" ? base : "",
    });
    return { ...OK, headers, body };
  }

  #setup(request: RtspRequest, source: StreamSource): Reply {
    const path = pathOf(request.uri).replace(/\/$/, "");
    const kind = (["video", "audio"] as const).find((candidate) => path.endsWith(`/${TRACK_CONTROLS[candidate]}`));
    if (kind === undefined || (kind === "audio" && source.options.audio === "none")) return { status: "404 Not Found" };
    if (this.#player !== null) return { status: "455 Method Not Valid in This State" };
    const offers = (request.headers.get("transport") ?? "").split(",");
    const offer = offers.find((candidate) => /^\s*RTP\/AVP\/TCP\b/i.test(candidate) && !/multicast/i.test(candidate));
    if (offer === undefined) return { status: "461 Unsupported Transport" };
    const channel = Number(/interleaved=(\d+)/i.exec(offer)?.[1] ?? this.#tracks.length * 2);
    if (channel > 254) return { status: "461 Unsupported Transport" };
    this.#tracks = [...this.#tracks.filter((track) => track.kind !== kind), { kind, channel }];
    return {
      ...OK,
      headers: [
        `Session: ${this.#sessionId};timeout=${this.#options.sessionTimeoutS}`,
        `Transport: RTP/AVP/TCP;unicast;interleaved=${channel}-${channel + 1}`,
      ],
    };
  }

  #rtpInfo(uri: string, player: Player): string {
    const base = uri.replace(/\/$/, "");
    return this.#tracks
      .map(({ kind }) => {
        const at = player.rtpInfo(kind);
        return `url=${base}/${TRACK_CONTROLS[kind]};seq=${at?.sequence ?? 0};rtptime=${at?.rtpTime ?? 0}`;
      })
      .join(",");
  }

  #play(now: Instant): void {
    this.record.playing = true;
    this.record.counts = this.#player?.counts ?? null;
    this.#player?.advance(now);
  }

  #teardown(): void {
    this.#player?.bye(this.#now());
    this.#player = null;
    this.#tracks = [];
    this.record.playing = false;
  }

  /** The stream that a URI names: the longest name that its path begins with. */
  #find(uri: string): StreamSource | null {
    const path = pathOf(uri);
    let best: StreamSource | null = null;
    for (const [name, source] of this.#streams) {
      const matches = path === `/${name}` || path.startsWith(`/${name}/`);
      if (matches && name.length > (best?.options.name.length ?? -1)) best = source;
    }
    return best;
  }
}
