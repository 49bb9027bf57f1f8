import type { RecorderError } from "../base/errors.ts";
import { type Accounts, accountKey, type Permit } from "./accounts.ts";
import { Authenticator, type AuthScheme, type Challenge, type Credentials, chooseChallenge, parseChallenges } from "./auth.ts";
import { ended } from "./ends.ts";
import type { Exchange } from "./exchange.ts";
import { excerpt, type RtspReply, serializeRequest } from "./message.ts";
import type { RtspUrl } from "./url.ts";

const USER_AGENT = "EasyRMS";
/** How often one request is repeated because the server called a fresh nonce stale. */
const MAX_STALE_ROUNDS = 2;

export type RequestHeaders = readonly (readonly [name: string, value: string | null])[];

/** Sends requests of one session to one server and logs in where it asks for that. */
export class Requester {
  readonly #exchange: Exchange;
  readonly #accounts: Accounts;
  readonly #account: string | null;
  readonly #authenticator: Authenticator | null;
  /** The server has accepted these credentials on this connection. */
  #verified = false;
  /** The nonce in hand was never used. */
  #fresh = false;
  #permit: Permit | null = null;

  /** `credentials` null: none are known, or they are not meant for this server. */
  constructor(exchange: Exchange, accounts: Accounts, server: RtspUrl, credentials: Credentials | null) {
    this.#exchange = exchange;
    this.#accounts = accounts;
    this.#authenticator = credentials === null ? null : new Authenticator(credentials);
    this.#account = credentials === null ? null : accountKey(server.host, server.port, credentials.username, credentials.password);
  }

  /**
   * Any final reply but 401. A challenge is answered at once; one in answer to credentials that used its predecessor's fresh nonce means
   * refusal, unless it says "stale". Rejects with CAMERA_AUTH_REFUSED, or as `Exchange.request` does.
   */
  async request(method: string, url: string, headers: RequestHeaders, signal: AbortSignal): Promise<RtspReply> {
    try {
      return await this.#request(method, url, headers, signal);
    } finally {
      this.#settle("unknown");
    }
  }

  async #request(method: string, url: string, headers: RequestHeaders, signal: AbortSignal): Promise<RtspReply> {
    let staleRounds = 0;
    for (;;) {
      const authorization = this.#authenticator?.authorization(method, url) ?? null;
      const fresh = this.#fresh;
      this.#fresh = false;
      const reply = await this.#exchange.request(method, url, this.#withCommon(headers, authorization), signal);
      if (reply.status !== 401) {
        if (authorization !== null && reply.status < 300) this.#accept();
        if (reply.status === 403) throw ended("forbidden", `the camera answered ${method} with 403 ${excerpt(reply.reason)}`);
        return reply;
      }
      const { authenticator, scheme } = this.#readChallenge(reply);
      if (authorization !== null) {
        const stale = scheme.scheme === "digest" && scheme.stale && authenticator.differs(scheme);
        if (!authenticator.differs(scheme) || (fresh && !stale))
          throw this.#refused("bad-password", "the camera refused user name or password");
        if (fresh && ++staleRounds > MAX_STALE_ROUNDS) {
          throw this.#refused("nonce-refused", `the camera called ${staleRounds} fresh nonces stale one after the other`);
        }
      }
      if (!this.#verified && this.#permit === null) this.#permit = await this.#admission(signal);
      authenticator.accept(scheme);
      this.#fresh = true;
    }
  }

  /** Takes over the nonce of a challenge that came in answer to a keepalive of the engine. */
  renew(challenge: RtspReply): void {
    const { authenticator, scheme } = this.#readChallenge(challenge);
    authenticator.accept(scheme);
    this.#fresh = true;
  }

  /** A request for the engine to send by itself, with `{cseq}` in place of the number. */
  template(method: string, url: string, headers: RequestHeaders, withCredentials: boolean): string {
    const authorization = withCredentials ? (this.#authenticator?.authorization(method, url) ?? null) : null;
    return serializeRequest(method, url, "{cseq}", this.#withCommon(headers, authorization));
  }

  /** Headers of a last request whose reply nobody waits for. */
  lastHeaders(method: string, url: string, headers: RequestHeaders): RequestHeaders {
    return this.#withCommon(headers, this.#verified ? (this.#authenticator?.authorization(method, url) ?? null) : null);
  }

  #withCommon(headers: RequestHeaders, authorization: string | null): RequestHeaders {
    return [["User-Agent", USER_AGENT], ["Authorization", authorization], ...headers];
  }

  #readChallenge(reply: RtspReply): { authenticator: Authenticator; scheme: AuthScheme } {
    const challenges = parseChallenges(reply.headers.all("www-authenticate"));
    const authenticator = this.#authenticator;
    if (authenticator === null) throw ended("password-missing", "the camera asks for a user name and password, and none is set for it");
    const scheme = chooseChallenge(challenges);
    if (scheme === null)
      throw ended("auth-unsupported", `the camera offers ${offered(challenges)}; Digest (MD5, SHA-256) and Basic are spoken`);
    return { authenticator, scheme };
  }

  async #admission(signal: AbortSignal): Promise<Permit> {
    const entering = this.#accounts.enter(this.#account ?? "", signal);
    const admission = await Promise.race([entering, this.#exchange.over]);
    if (admission instanceof Error) {
      // A permit that comes too late must not keep the others waiting.
      void entering.then(
        (late) => late.admitted && late.permit.settle("unknown"),
        () => {},
      );
      throw admission;
    }
    if (admission.admitted) return admission.permit;
    if (admission.reason === "busy")
      throw ended("auth-waiting", "another session that tries this account got no verdict from the camera yet");
    const minutes = Math.ceil(admission.retryInMs / 60_000);
    throw ended("bad-password", `the camera refused user name or password; lest it lock the account, the next try is in ${minutes} min`);
  }

  #accept(): void {
    this.#verified = true;
    this.#settle("accepted");
  }

  #refused(code: "bad-password" | "nonce-refused", detail: string): RecorderError {
    // Refused after having been accepted: whether it is the password shows when the next session tries the account.
    this.#settle("refused");
    this.#verified = false;
    return ended(code, detail);
  }

  #settle(verdict: "accepted" | "refused" | "unknown"): void {
    this.#permit?.settle(verdict);
    this.#permit = null;
  }
}

function offered(challenges: readonly Challenge[]): string {
  if (challenges.length === 0) return "no way to log in that could be read";
  return challenges.map(({ scheme, parameters }) => excerpt(`${scheme} ${parameters.get("algorithm") ?? ""}`.trim(), 30)).join(", ");
}
