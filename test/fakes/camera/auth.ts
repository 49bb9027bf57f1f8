import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

export const AUTH_SCHEMES = ["basic", "digest-md5", "digest-sha256"] as const;
export type AuthScheme = (typeof AUTH_SCHEMES)[number];

/** What the camera asks of a client. */
export interface AuthOptions {
  /** Challenges in the order they are offered. */
  readonly schemes: readonly AuthScheme[];
  /** May hold spaces. */
  readonly realm: string;
  readonly username: string;
  readonly password: string;
  /** Offer `qop="auth"` (RFC 7616 3.3); without it the digest is that of RFC 2069. */
  readonly qop: boolean;
  /** A nonce older than this is answered with `stale=true`. */
  readonly nonceLifetimeMs: number;
}

/** Outcome of checking one request. */
export type AuthResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly challenges: readonly string[]; readonly hadCredentials: boolean };

/** Checks the credentials of requests: Basic (RFC 7617) and Digest (RFC 7616). One for each connection, since nonces are. */
export class Authenticator {
  readonly #options: AuthOptions;
  #nonce = "";
  #nonceMonoMs = 0;

  constructor(options: AuthOptions) {
    this.#options = options;
  }

  /** `uri` is the request uri as it came: a digest over any other is refused. `password` replaces the configured one; null refuses all. */
  check(method: string, uri: string, authorization: string | undefined, password: string | null, nowMonoMs: number): AuthResult {
    const stale = this.#nonce !== "" && nowMonoMs - this.#nonceMonoMs > this.#options.nonceLifetimeMs;
    const valid = authorization !== undefined && password !== null && this.#valid(method, uri, authorization, password);
    if (valid && !stale) return { ok: true };
    if (this.#nonce === "" || stale) {
      this.#nonce = randomBytes(16).toString("hex");
      this.#nonceMonoMs = nowMonoMs;
    }
    const isStale = valid && stale;
    return { ok: false, challenges: this.#challenges(isStale), hadCredentials: authorization !== undefined && !isStale };
  }

  #challenges(stale: boolean): string[] {
    const { schemes, realm, qop } = this.#options;
    return schemes.map((scheme) => {
      if (scheme === "basic") return `Basic realm="${realm}"`;
      const algorithm = scheme === "digest-sha256" ? ", algorithm=SHA-256" : "";
      return `Digest realm="${realm}", nonce="${this.#nonce}"${algorithm}${qop ? ', qop="auth"' : ""}${stale ? ", stale=true" : ""}`;
    });
  }

  #valid(method: string, uri: string, authorization: string, password: string): boolean {
    const { schemes, username, realm, qop } = this.#options;
    const [scheme = "", rest = ""] = authorization.trim().split(/\s+(.*)/s);
    if (scheme.toLowerCase() === "basic") {
      const expected = Buffer.from(`${username}:${password}`).toString("base64");
      return schemes.includes("basic") && same(rest.trim(), expected);
    }
    if (scheme.toLowerCase() !== "digest") return false;
    const fields = digestFields(rest);
    const sha256 = (fields.get("algorithm") ?? "MD5").toUpperCase() === "SHA-256";
    if (!schemes.includes(sha256 ? "digest-sha256" : "digest-md5")) return false;
    if (fields.get("nonce") !== this.#nonce || this.#nonce === "") return false;
    if (fields.get("username") !== username || fields.get("realm") !== realm || fields.get("uri") !== uri) return false;
    const hash = (text: string) =>
      createHash(sha256 ? "sha256" : "md5")
        .update(text)
        .digest("hex");
    const a1 = hash(`${username}:${realm}:${password}`);
    const a2 = hash(`${method}:${uri}`);
    const withQop = fields.get("qop") === "auth";
    if (withQop && !qop) return false;
    const middle = withQop ? `${fields.get("nc") ?? ""}:${fields.get("cnonce") ?? ""}:auth:` : "";
    return same(fields.get("response") ?? "", hash(`${a1}:${this.#nonce}:${middle}${a2}`));
  }
}

function digestFields(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const [, name = "", quoted, token = ""] of text.matchAll(/([\w-]+)\s*=\s*(?:"([^"]*)"|([^\s,]+))/g)) {
    fields.set(name.toLowerCase(), quoted ?? token);
  }
  return fields;
}

function same(left: string, right: string): boolean {
  const [a, b] = [Buffer.from(left), Buffer.from(right)];
  return a.length === b.length && timingSafeEqual(a, b);
}
