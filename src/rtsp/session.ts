import type { Clock } from "../base/clock.ts";
import { type RecorderError, toRecorderError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { TrackSetup } from "../engine/types.ts";
import type { Accounts } from "./accounts.ts";
import type { Credentials } from "./auth.ts";
import { connect } from "./connect.ts";
import { ended } from "./ends.ts";
import type { Exchange } from "./exchange.ts";
import { Keepalive } from "./keepalive.ts";
import { MediaWatch } from "./media-watch.ts";
import { excerpt, type RtspReply } from "./message.ts";
import { Requester, type RequestHeaders } from "./requester.ts";
import { parseSdp } from "./sdp.ts";
import { parseMethods, parseSession, parseTransport } from "./setup-headers.ts";
import { type DescribedTrack, type PlannedSetup, planTracks, type TrackPlan } from "./tracks.ts";
import type { Resolve, RtspTransport } from "./types.ts";
import { baseUrl, parseRtspUrl, type RtspUrl, redirectTarget, resolveControl } from "./url.ts";

const MAX_REDIRECTS = 5;
const REDIRECTS: readonly number[] = [301, 302, 303, 305, 307];
/** How long the engine may take to send TEARDOWN and close. */
const CLOSE_WAIT_MS = 1000;

/** What a session knows about a stream once media flows. */
export interface Playing {
  /** The Server field, for people. */
  readonly server: string | null;
  readonly described: readonly DescribedTrack[];
  readonly tracks: readonly TrackSetup[];
  readonly warnings: readonly string[];
}

export interface SessionOptions {
  readonly url: RtspUrl;
  readonly credentials: Credentials | null;
  readonly transport: RtspTransport;
  readonly resolve: Resolve;
  readonly clock: Clock;
  readonly log: Logger;
  readonly accounts: Accounts;
  readonly connectTimeoutMs: number;
  /** False after a camera broke down over its sound: video alone is asked for. */
  readonly withAudio: boolean;
  /** Once, when media has begun to flow: an accepted PLAY alone proves nothing. */
  onPlaying(playing: Playing): void;
}

export interface SessionResult {
  /** Why it ended; null when the caller aborted it. */
  readonly error: RecorderError | null;
  /** How long media flowed that could be recorded. */
  readonly recordableMs: number;
  /** The connection was lost while sound was being set up. */
  readonly brokeOnAudio: boolean;
}

/** One RTSP session from connecting to TEARDOWN (RFC 2326 10), redirects included. Never rejects. */
export async function runSession(options: SessionOptions, signal: AbortSignal): Promise<SessionResult> {
  let server = options.url;
  for (let hops = 0; ; hops++) {
    const session = new Session(server, options);
    const outcome = await session.run(signal);
    const result = { recordableMs: session.recordableMs, brokeOnAudio: session.settingUpAudio && !signal.aborted };
    if (signal.aborted) return { ...result, error: null };
    if (!("redirect" in outcome)) return { ...result, error: outcome.error };
    if (hops === MAX_REDIRECTS) {
      return { ...result, error: ended("redirect-loop", `the camera redirected ${hops + 1} times, ${MAX_REDIRECTS} are allowed`) };
    }
    try {
      server = parseRtspUrl(outcome.redirect);
    } catch (error) {
      return {
        ...result,
        error: ended("redirect-refused", `the camera redirects to where no one can follow: ${toRecorderError(error).message}`),
      };
    }
    options.log.debug("session.redirected", { host: server.host, port: server.port });
  }
}

type Outcome = { readonly error: RecorderError } | { readonly redirect: string };

class Session {
  settingUpAudio = false;
  readonly #server: RtspUrl;
  readonly #options: SessionOptions;
  /** Aggregate URL; before DESCRIBE the request URL. */
  #aggregateUrl: string;
  /** What control attributes are relative to; known from DESCRIBE on. */
  #baseUrl: string;
  #sessionId: string | null = null;
  #timeoutS = 60;
  #serverName: string | null = null;
  #methods: ReadonlySet<string> = new Set();
  #redirect: string | null = null;
  #watch: MediaWatch | null = null;

  constructor(server: RtspUrl, options: SessionOptions) {
    this.#server = server;
    this.#options = options;
    this.#aggregateUrl = server.url;
    this.#baseUrl = server.url;
  }

  get recordableMs(): number {
    return this.#watch?.recordableMs ?? 0;
  }

  async run(signal: AbortSignal): Promise<Outcome> {
    let exchange: Exchange | null = null;
    let requester: Requester | null = null;
    try {
      exchange = await connect(this.#server, this.#options, signal);
      requester = new Requester(exchange, this.#options.accounts, this.#server, this.#credentials());
      await this.#converse(exchange, requester, signal);
      return { error: ended("internal", "the session ended without a reason") };
    } catch (error) {
      if (this.#redirect !== null) return { redirect: this.#redirect };
      return { error: toRecorderError(error) };
    } finally {
      const url = this.#aggregateUrl;
      const last = this.#sessionId === null || requester === null ? null : requester.lastHeaders("TEARDOWN", url, this.#sessionHeader());
      await exchange?.close(last === null ? null : { method: "TEARDOWN", url, headers: last }, CLOSE_WAIT_MS);
    }
  }

  /** Who redirects decides where a password would go, so only the configured host and port get it. */
  #credentials(): Credentials | null {
    const { url, credentials } = this.#options;
    const same = url.host.toLowerCase() === this.#server.host.toLowerCase() && url.port === this.#server.port;
    return same ? credentials : null;
  }

  async #converse(exchange: Exchange, requester: Requester, signal: AbortSignal): Promise<never> {
    const ask = (method: string, url: string, headers: RequestHeaders): Promise<RtspReply> =>
      requester.request(method, url, headers, signal);
    const options = await ask("OPTIONS", this.#server.url, []);
    this.#note(options);
    this.#followRedirect(options);
    this.#methods = parseMethods(options.headers.all("public"));

    const plan = await this.#describe(ask);
    const { tracks, warnings } = await this.#setUp(plan, exchange, ask);

    const { clock, log } = this.#options;
    exchange.connection.play(tracks);
    const watch = new MediaWatch(
      exchange.connection,
      clock,
      tracks.some(({ codec }) => codec === "h264"),
    );
    this.#watch = watch;
    const play = await this.#play(ask, watch, warnings);
    exchange.playing = true;
    if (play !== null) this.#note(play);
    const keepalive = new Keepalive({
      exchange,
      requester,
      url: this.#aggregateUrl,
      headers: this.#sessionHeader(),
      methods: this.#methods,
      intervalMs: this.#timeoutS * 500,
      log,
      signal,
    });
    keepalive.start();
    const over = new AbortController();
    void exchange.over.then((error) => over.abort(error));
    return watch.run(
      () => this.#options.onPlaying({ server: this.#serverName, described: plan.described, tracks, warnings }),
      AbortSignal.any([signal, over.signal]),
    );
  }

  async #describe(ask: Ask): Promise<TrackPlan> {
    const reply = this.#succeeded("DESCRIBE", await ask("DESCRIBE", this.#server.url, [["Accept", "application/sdp"]]));
    if (reply.body.trim() === "") throw ended("no-sdp", "the answer to DESCRIBE has no body, an SDP is needed");
    const description = parseSdp(reply.body);
    const base = baseUrl(this.#server.url, reply.headers.get("content-base"), reply.headers.get("content-location"));
    this.#aggregateUrl = resolveControl(base, description.control);
    this.#baseUrl = base;
    const plan = planTracks(description);
    if (!plan.described.some(({ kind }) => kind === "video")) {
      const kinds = plan.described.map(({ kind }) => kind).join(", ");
      throw ended("sdp-without-video", `the SDP has no video${kinds === "" ? " and no other media" : `, only ${excerpt(kinds)}`}`);
    }
    if (plan.setups.length === 0) throw ended("no-supported-codec", `nothing can be recorded: ${plan.warnings.join("; ")}`);
    return plan;
  }

  /** SETUP of each track; sound that is refused costs only the sound. */
  async #setUp(plan: TrackPlan, exchange: Exchange, ask: Ask): Promise<{ tracks: TrackSetup[]; warnings: string[] }> {
    const tracks: TrackSetup[] = [];
    const warnings = [...plan.warnings];
    for (const setup of plan.setups) {
      const audio = setup.track.codec !== "h264";
      const optional = audio && plan.setups.length > 1;
      if (optional && !this.#options.withAudio) {
        warnings.push("sound is not recorded: the camera broke down when sound was asked for in the session before");
        continue;
      }
      this.settingUpAudio = optional;
      try {
        tracks.push(await this.#setUpTrack(setup, tracks, ask));
        this.settingUpAudio = false;
      } catch (error) {
        const failure = toRecorderError(error);
        if (!optional || exchange.isOver || this.#redirect !== null || failure.code === "INTERNAL") throw error;
        this.settingUpAudio = false;
        warnings.push(`sound is not recorded: ${failure.message}`);
      }
    }
    return { tracks, warnings };
  }

  async #setUpTrack(setup: PlannedSetup, others: readonly TrackSetup[], ask: Ask): Promise<TrackSetup> {
    const channel = others.length * 2;
    const url = resolveControl(this.#baseUrl, setup.control);
    const transport = `RTP/AVP/TCP;unicast;interleaved=${channel}-${channel + 1}`;
    const answer = await ask("SETUP", url, [["Transport", transport], ...this.#sessionHeader()]);
    if (answer.status === 461)
      throw ended("transport-refused", "the camera refused RTP over TCP (461), which is the only transport spoken");
    const reply = this.#succeeded("SETUP", answer);
    const session = parseSession(reply.headers.get("session"));
    if (session !== null) {
      // Some cameras change the id from one SETUP to the next; the newest one counts.
      this.#sessionId = session.id;
      this.#timeoutS = session.timeoutS;
    }
    const given = parseTransport(reply.headers.get("transport"), channel);
    if (!given.interleaved) {
      throw ended(
        "transport-refused",
        `the camera answered SETUP with ${excerpt(reply.headers.get("transport") ?? "")}, asked was RTP over TCP`,
      );
    }
    const taken = new Set(others.flatMap(({ rtpChannel, rtcpChannel }) => [rtpChannel, rtcpChannel]));
    if (taken.has(given.rtpChannel) || taken.has(given.rtcpChannel)) {
      throw ended("rejected", `the camera gave two tracks the same channel ${given.rtpChannel}`);
    }
    return { ...setup.track, rtpChannel: given.rtpChannel, rtcpChannel: given.rtcpChannel, ssrc: given.ssrc };
  }

  /** PLAY. A server that sends media but no reply is playing all the same: null. */
  async #play(ask: Ask, watch: MediaWatch, warnings: string[]): Promise<RtspReply | null> {
    try {
      return this.#succeeded("PLAY", await ask("PLAY", this.#aggregateUrl, [...this.#sessionHeader(), ["Range", "npt=0.000-"]]));
    } catch (error) {
      if (toRecorderError(error).context["end"] !== "no-reply" || !watch.flowing) throw error;
      warnings.push("the camera sends media but did not answer PLAY");
      return null;
    }
  }

  #succeeded(method: string, reply: RtspReply): RtspReply {
    this.#note(reply);
    this.#followRedirect(reply);
    if (reply.status >= 200 && reply.status < 300) return reply;
    throw ended("rejected", `the camera answered ${method} with ${reply.status} ${excerpt(reply.reason)}`);
  }

  #followRedirect(reply: RtspReply): void {
    if (!REDIRECTS.includes(reply.status)) return;
    const target = redirectTarget(this.#server.url, reply.headers.get("location"));
    if (target === null) throw ended("redirect-refused", `the camera redirects (${reply.status}) without saying where to`);
    this.#redirect = target;
    throw ended("redirect-refused", "the camera redirects");
  }

  #note(reply: RtspReply): void {
    const name = reply.headers.get("server");
    if (name !== null) this.#serverName = excerpt(name, 80);
  }

  #sessionHeader(): RequestHeaders {
    return this.#sessionId === null ? [] : [["Session", this.#sessionId]];
  }
}

type Ask = (method: string, url: string, headers: RequestHeaders) => Promise<RtspReply>;
