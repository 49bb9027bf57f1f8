/** A camera's URL taken apart. `url` is the rest exactly as entered: cameras and digest authentication compare it byte by byte. */
export interface SplitUrl {
  readonly url: string;
  readonly username: string | null;
  readonly password: string | null;
}

const MAX_URL_LENGTH = 1024;

/**
 * Splits user info off an rtsp URL (RFC 2326 section 3.2), or says what is wrong without repeating any of it beyond scheme and port.
 * No URL class: it would rewrite paths and queries that cameras want back unchanged. Everything up to the last "@" of the
 * authority is user info, since passwords with an unescaped "@" are common.
 */
export function splitCameraUrl(text: string): SplitUrl | { readonly problem: string } {
  if (text.length > MAX_URL_LENGTH) return { problem: `must be at most ${MAX_URL_LENGTH} characters; got ${text.length}` };
  if (!/^[\x21-\x7e]*$/.test(text)) return { problem: "must not contain spaces, control or non-ASCII characters; percent-encode them" };
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(text);
  if (scheme === null) return { problem: "must begin with rtsp://" };
  if (scheme[1]?.toLowerCase() !== "rtsp") return { problem: `scheme "${scheme[1]}" is not supported; allowed: rtsp` };

  const rest = text.slice(scheme[0].length);
  const authorityEnd = rest.search(/[/?#]/);
  const authority = authorityEnd < 0 ? rest : rest.slice(0, authorityEnd);
  const target = authorityEnd < 0 ? "" : rest.slice(authorityEnd);
  const at = authority.lastIndexOf("@");
  const place = authority.slice(at + 1);

  const host = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(place);
  if (host === null) {
    return { problem: 'has no valid host; a "/", "?" or "#" in a user name or password must be percent-encoded' };
  }
  if (host[1] !== undefined && (Number(host[1]) < 1 || Number(host[1]) > 65535)) {
    return { problem: `port must be from 1 to 65535; got ${host[1]}` };
  }
  if (target.includes("#")) return { problem: 'must not contain "#"; percent-encode it' };
  const url = scheme[0] + place + target;
  if (at < 0) return { url, username: null, password: null };

  const userInfo = authority.slice(0, at);
  const colon = userInfo.indexOf(":");
  const username = decode(colon < 0 ? userInfo : userInfo.slice(0, colon));
  const password = colon < 0 ? null : decode(userInfo.slice(colon + 1));
  if (username === "") return { problem: "has an empty user name before the @" };
  return { url, username, password };
}

/** The URL with the values of password-like parameters hidden: some cameras take credentials in path or query. */
export function displayUrl(url: string): string {
  return url.replace(/((?:^|[/?&;_])(?:password|passwd|pass|pwd|token|auth)=)[^&;/?]*/gi, "$1***");
}

/** A "%" that begins no escape is meant as it stands. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
