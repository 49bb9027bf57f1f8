import { type Clock, sleep } from "../base/clock.ts";
import { toRecorderError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { Accounts, accountKey } from "./accounts.ts";
import { connectTimeoutMs, retryPauseMs } from "./backoff.ts";
import { sessionEnd } from "./ends.ts";
import { runSession, type SessionResult } from "./session.ts";
import type { CameraEndpoint, Resolve, RtspTransport, SessionEnd, SourceState } from "./types.ts";
import { parseRtspUrl, type RtspUrl } from "./url.ts";

/** Recordable media for so long ends an outage: the next one starts with quick retries again. */
const HEALTHY_MS = 10_000;
/** A camera that answers 403 is asked this rarely: some answer so while an account is locked, and count on. */
const FORBIDDEN_PAUSE_MS = 60_000;
/** All streams of an account wait for the same instant; this spreads them behind it. */
const ACCOUNT_SPREAD_MS = 5000;
/** The same end is logged at most this often. */
const LOG_PERIOD_MS = 10 * 60_000;

export interface StreamSourceOptions {
  readonly endpoint: CameraEndpoint;
  readonly transport: RtspTransport;
  readonly resolve: Resolve;
  readonly clock: Clock;
  readonly log: Logger;
  /** Shared by all sources of the service, so that one wrong password is tried once, not by every stream; own ones by default. */
  readonly accounts?: Accounts;
  /** In [0, 1); for the jitter. */
  readonly random?: () => number;
  /** Every change of state, in order. "connecting" comes before each session, so also before its media. Must not throw. */
  onState(state: SourceState): void;
}

/** Keeps one stream playing for ever: a session after the other, with pauses that grow with the outage and no limit on attempts. */
export class StreamSource {
  readonly #options: StreamSourceOptions;
  readonly #accounts: Accounts;
  readonly #random: () => number;
  readonly #abort = new AbortController();
  #state: SourceState = { state: "idle" };
  #running: Promise<void> | null = null;
  /** Attempts since media last flowed for long. */
  #attempt = 0;
  #outageMonoMs: number | null = null;
  #withAudio = true;
  /** When each end was logged last, and how often it came since. Of each, since a camera may go back and forth between two. */
  readonly #logged = new Map<string, { readonly monoMs: number; suppressed: number }>();

  constructor(options: StreamSourceOptions) {
    this.#options = options;
    this.#accounts = options.accounts ?? new Accounts(options.clock);
    this.#random = options.random ?? Math.random;
  }

  get state(): SourceState {
    return this.#state;
  }

  /** Begins; once only. */
  start(): void {
    this.#running ??= this.#supervise(this.#abort.signal);
  }

  /** Ends the session with TEARDOWN; resolves when nothing of it is left. The state is "idle" then. Safe to call twice. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  async #supervise(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#attempt += 1;
      this.#set({ state: "connecting", attempt: this.#attempt });
      const { end, pauseMs } = await this.#session(signal);
      if (end === null || signal.aborted) break;
      this.#log(end);
      this.#set({ state: "waiting", attempt: this.#attempt, retryAtUtcMs: this.#options.clock.utcMs() + pauseMs, end });
      await sleep(this.#options.clock, pauseMs, signal).catch(() => {});
    }
    this.#set({ state: "idle" });
  }

  async #session(signal: AbortSignal): Promise<{ end: SessionEnd | null; pauseMs: number }> {
    const { endpoint, transport, resolve, clock, log } = this.#options;
    let url: RtspUrl;
    try {
      url = parseRtspUrl(endpoint.url);
    } catch (error) {
      this.#outageMonoMs ??= clock.monoMs();
      return { end: sessionEnd(toRecorderError(error)), pauseMs: retryPauseMs(this.#outageMs(), this.#random()) };
    }
    const username = endpoint.username ?? url.username;
    const credentials = username === null ? null : { username, password: endpoint.password ?? url.password ?? "" };
    const result = await runSession(
      {
        url,
        credentials,
        transport,
        resolve,
        clock,
        log,
        accounts: this.#accounts,
        connectTimeoutMs: connectTimeoutMs(this.#outageMs()),
        withAudio: this.#withAudio,
        onPlaying: ({ tracks, warnings, server }) => {
          log.info("session.playing", { server, codecs: tracks.map(({ codec }) => codec), warnings });
          this.#set({ state: "playing", warnings });
        },
      },
      signal,
    );
    if (result.error === null) return { end: null, pauseMs: 0 };
    this.#note(result);
    const end = sessionEnd(result.error);
    const blockedMs =
      credentials === null ? 0 : this.#accounts.blockedMs(accountKey(url.host, url.port, credentials.username, credentials.password));
    return { end, pauseMs: this.#pauseMs(end, blockedMs) };
  }

  #outageMs(): number {
    return this.#outageMonoMs === null ? 0 : this.#options.clock.monoMs() - this.#outageMonoMs;
  }

  #note(result: SessionResult): void {
    if (result.recordableMs >= HEALTHY_MS) {
      this.#outageMonoMs = null;
      this.#attempt = 0;
      this.#logged.clear();
    }
    this.#outageMonoMs ??= this.#options.clock.monoMs();
    // Asked for again after each session that got as far as media, so that a camera with new firmware gets its sound back.
    this.#withAudio = !result.brokeOnAudio && (this.#withAudio || result.recordableMs > 0);
  }

  #pauseMs(end: SessionEnd, blockedMs: number): number {
    const pauseMs = retryPauseMs(this.#outageMs(), this.#random());
    if (end.cause === "auth-refused" && blockedMs > 0) return blockedMs + Math.round(ACCOUNT_SPREAD_MS * this.#random());
    return end.code === "forbidden" ? Math.max(pauseMs, FORBIDDEN_PAUSE_MS) : pauseMs;
  }

  #set(state: SourceState): void {
    this.#state = state;
    this.#options.onState(state);
  }

  /** An end is news when it has not been logged for long. */
  #log(end: SessionEnd): void {
    const now = this.#options.clock.monoMs();
    const last = this.#logged.get(end.code);
    if (last !== undefined && now - last.monoMs < LOG_PERIOD_MS) {
      last.suppressed += 1;
      return;
    }
    const suppressed = last?.suppressed ?? 0;
    this.#logged.set(end.code, { monoMs: now, suppressed: 0 });
    this.#options.log.warn("session.ended", { cause: end.cause, code: end.code, detail: end.detail, attempt: this.#attempt, suppressed });
  }
}
