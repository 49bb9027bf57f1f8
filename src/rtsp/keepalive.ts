import { toRecorderError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { ended } from "./ends.ts";
import type { Exchange } from "./exchange.ts";
import type { RtspReply } from "./message.ts";
import type { Requester, RequestHeaders } from "./requester.ts";

export interface KeepaliveOptions {
  readonly exchange: Exchange;
  readonly requester: Requester;
  /** Aggregate URL. */
  readonly url: string;
  readonly headers: RequestHeaders;
  /** What the server's Public field offers. */
  readonly methods: ReadonlySet<string>;
  readonly intervalMs: number;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/**
 * Keeps a session alive: the engine sends a template at the right time however busy we are, and passes up what is not a success.
 *
 * A template is signed once, so its nonce count does not grow. Few servers mind; one that does answers 401, and gets a newly signed
 * request at once and a new template. Credentials that are refused outright are not repeated: media may go on, and every keepalive would
 * count towards a locked account.
 */
export class Keepalive {
  readonly #options: KeepaliveOptions;
  #method: "GET_PARAMETER" | "OPTIONS";
  #withCredentials = true;
  #mending = false;

  constructor(options: KeepaliveOptions) {
    this.#options = options;
    this.#method = options.methods.has("GET_PARAMETER") ? "GET_PARAMETER" : "OPTIONS";
  }

  start(): void {
    this.#options.exchange.onStrayReply = (reply) => this.#onFailure(reply);
    this.#arm();
  }

  #arm(): void {
    const { exchange, requester, url, headers, intervalMs } = this.#options;
    exchange.armKeepalive(requester.template(this.#method, url, headers, this.#withCredentials), intervalMs);
  }

  #onFailure(reply: RtspReply): void {
    if (reply.status < 300 || this.#mending) return;
    const { exchange, log } = this.#options;
    if (reply.status === 454) {
      exchange.fail(ended("session-lost", "the camera has forgotten the session (454)"));
      return;
    }
    log.debug("keepalive.refused", { method: this.#method, status: reply.status });
    if (reply.status === 401) {
      if (this.#withCredentials) void this.#signAgain(reply);
      return;
    }
    // Offered, but not meant.
    if (this.#method === "GET_PARAMETER") {
      this.#method = "OPTIONS";
      this.#arm();
    }
  }

  async #signAgain(challenge: RtspReply): Promise<void> {
    const { requester, url, headers, signal, log } = this.#options;
    this.#mending = true;
    try {
      requester.renew(challenge);
      const reply = await requester.request(this.#method, url, headers, signal);
      if (reply.status >= 300 && this.#method === "GET_PARAMETER") this.#method = "OPTIONS";
      this.#arm();
    } catch (error) {
      const failure = toRecorderError(error);
      if (failure.code !== "CAMERA_AUTH_REFUSED") return;
      log.warn("keepalive.refused", { error: failure });
      this.#method = "OPTIONS";
      this.#withCredentials = false;
      this.#arm();
    } finally {
      this.#mending = false;
    }
  }
}
