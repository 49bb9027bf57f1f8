import { createHash, randomBytes } from "node:crypto";

/** Algorithms of RFC 7616 6.1 that are spoken, weakest first. */
const DIGEST_HASHES = { MD5: "md5", "SHA-256": "sha256" } as const;
type DigestAlgorithm = keyof typeof DIGEST_HASHES;

const MAX_CHALLENGES = 16;
const MAX_HEADER_CHARS = 8192;

export interface Challenge {
  /** Lower case. */
  readonly scheme: string;
  /** Names in lower case, quotes removed. */
  readonly parameters: ReadonlyMap<string, string>;
}

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/**
 * Reads the challenges of WWW-Authenticate fields (RFC 7235 4.1): several in one field or several fields, realms with blanks, commas,
 * quotes; also unquoted values with blanks, as some cameras send. What cannot be read is skipped.
 */
export function parseChallenges(fields: readonly string[]): readonly Challenge[] {
  const challenges: Challenge[] = [];
  for (const field of fields) {
    for (const part of splitChallenges(field.slice(0, MAX_HEADER_CHARS))) {
      if (challenges.length === MAX_CHALLENGES) return challenges;
      challenges.push(part);
    }
  }
  return challenges;
}

const SEPARATORS = /[\s,]*/y;
const SCHEME = /([A-Za-z][A-Za-z0-9-]*)(?=\s|,|$)(?!\s*=)/y;
const PARAMETER = /([!#$%&'*+\-.^_`|~0-9A-Za-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^",]*))/y;
const NONSENSE = /[^\s,]+/y;

function splitChallenges(text: string): readonly Challenge[] {
  const challenges: Challenge[] = [];
  let parameters: Map<string, string> | null = null;
  let at = 0;
  const next = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match !== null) at = pattern.lastIndex;
    return match;
  };
  for (;;) {
    next(SEPARATORS);
    if (at >= text.length) return challenges;
    const scheme = next(SCHEME);
    if (scheme !== null) {
      parameters = new Map();
      challenges.push({ scheme: (scheme[1] ?? "").toLowerCase(), parameters });
      continue;
    }
    const parameter = next(PARAMETER);
    if (parameter === null) {
      // Skipped as a whole, so that hostile text costs no more than its length.
      next(NONSENSE);
      continue;
    }
    const name = (parameter[1] ?? "").toLowerCase();
    const value = parameter[2] === undefined ? (parameter[3] ?? "").trim() : parameter[2].replace(/\\(.)/g, "$1");
    if (parameters !== null && !parameters.has(name)) parameters.set(name, value);
  }
}

/** A challenge that can be answered. */
export type AuthScheme =
  | { readonly scheme: "basic" }
  | {
      readonly scheme: "digest";
      readonly algorithm: DigestAlgorithm;
      readonly session: boolean;
      /** As the server wrote it, to be echoed; null when it named none (then MD5, RFC 7616 3.3). */
      readonly algorithmText: string | null;
      readonly realm: string;
      readonly nonce: string;
      readonly opaque: string | null;
      /** "auth" when offered, null for the form of RFC 2069. */
      readonly qop: "auth" | null;
      readonly stale: boolean;
    };

/**
 * The strongest challenge that can be answered: SHA-256 before MD5, and Basic only where no Digest is offered at all, not even an
 * unknown one, since it gives the password away. Null when there is none.
 */
export function chooseChallenge(challenges: readonly Challenge[]): AuthScheme | null {
  let best: AuthScheme | null = null;
  for (const challenge of challenges) {
    const digest = challenge.scheme === "digest" ? readDigest(challenge.parameters) : null;
    if (digest === null || digest.scheme !== "digest") continue;
    if (best === null || (best.scheme === "digest" && best.algorithm === "MD5" && digest.algorithm === "SHA-256")) best = digest;
  }
  if (best !== null) return best;
  if (challenges.some(({ scheme }) => scheme === "digest")) return null;
  return challenges.some(({ scheme }) => scheme === "basic") ? { scheme: "basic" } : null;
}

function readDigest(parameters: ReadonlyMap<string, string>): AuthScheme | null {
  const nonce = parameters.get("nonce");
  if (nonce === undefined) return null;
  const algorithmText = parameters.get("algorithm") || null;
  const parts = /^(MD5|SHA-?256)(-sess)?$/i.exec(algorithmText ?? "MD5");
  if (parts === null) return null;
  const offered = (parameters.get("qop") ?? "").split(/[\s,]+/).filter((word) => word !== "");
  const auth = offered.some((word) => word.toLowerCase() === "auth");
  if (offered.length > 0 && !auth) return null;
  return {
    scheme: "digest",
    algorithm: (parts[1] ?? "").toUpperCase().startsWith("SHA") ? "SHA-256" : "MD5",
    session: parts[2] !== undefined,
    algorithmText,
    realm: parameters.get("realm") ?? "",
    nonce,
    opaque: parameters.get("opaque") ?? null,
    qop: auth ? "auth" : null,
    stale: parameters.get("stale")?.toLowerCase() === "true",
  };
}

/** Answers one server's challenges with one account; counts nonce uses (RFC 7616 3.4). */
export class Authenticator {
  readonly #credentials: Credentials;
  readonly #clientNonce: () => string;
  #scheme: AuthScheme | null = null;
  #nonceCount = 0;
  #sessionNonce = "";

  /** `clientNonce` is for tests with published vectors. */
  constructor(credentials: Credentials, clientNonce: () => string = () => randomBytes(12).toString("hex")) {
    this.#credentials = credentials;
    this.#clientNonce = clientNonce;
  }

  /** True once there is a challenge to answer. */
  get challenged(): boolean {
    return this.#scheme !== null;
  }

  /** True if answering `scheme` says something new: another nonce, or another scheme, than the last answer used. */
  differs(scheme: AuthScheme): boolean {
    const current = this.#scheme;
    if (current === null || current.scheme !== scheme.scheme) return true;
    return current.scheme === "digest" && scheme.scheme === "digest" && current.nonce !== scheme.nonce;
  }

  accept(scheme: AuthScheme): void {
    if (this.differs(scheme)) {
      this.#nonceCount = 0;
      this.#sessionNonce = this.#clientNonce();
    }
    this.#scheme = scheme;
  }

  /** The Authorization value for a request, or null without a challenge. `url` must be exactly the request line's. */
  authorization(method: string, url: string): string | null {
    const scheme = this.#scheme;
    if (scheme === null) return null;
    const { username, password } = this.#credentials;
    if (scheme.scheme === "basic") return `Basic ${Buffer.from(`${username}:${password}`, "utf8").toString("base64")}`;

    const hash = (text: string) => createHash(DIGEST_HASHES[scheme.algorithm]).update(text, "utf8").digest("hex");
    // With -sess the client nonce is part of the key and must stay the same for the nonce (RFC 7616 3.4.2).
    const cnonce = scheme.session ? this.#sessionNonce : this.#clientNonce();
    const user = hash(`${username}:${scheme.realm}:${password}`);
    const a1 = scheme.session ? hash(`${user}:${scheme.nonce}:${cnonce}`) : user;
    const a2 = hash(`${method}:${url}`);
    this.#nonceCount += 1;
    const count = this.#nonceCount.toString(16).padStart(8, "0");
    const response =
      scheme.qop === null ? hash(`${a1}:${scheme.nonce}:${a2}`) : hash(`${a1}:${scheme.nonce}:${count}:${cnonce}:auth:${a2}`);

    const fields = [
      `username="${quote(username)}"`,
      `realm="${quote(scheme.realm)}"`,
      `nonce="${quote(scheme.nonce)}"`,
      `uri="${url}"`,
      `response="${response}"`,
    ];
    if (scheme.algorithmText !== null) fields.push(`algorithm=${scheme.algorithmText}`);
    if (scheme.qop !== null) fields.push("qop=auth", `nc=${count}`);
    if (scheme.qop !== null || scheme.session) fields.push(`cnonce="${cnonce}"`);
    if (scheme.opaque !== null) fields.push(`opaque="${quote(scheme.opaque)}"`);
    return `Digest ${fields.join(", ")}`;
  }
}

function quote(text: string): string {
  return text.replace(/["\\]/g, "\\$&");
}
