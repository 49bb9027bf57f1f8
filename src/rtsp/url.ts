import { isIP } from "node:net";
import { RecorderError } from "../base/errors.ts";

const DEFAULT_PORT = 554;
const MAX_URL_CHARS = 2048;

/** An rtsp URL taken apart; nothing in `url` is normalised, since cameras compare it (and its query) as text. */
export interface RtspUrl {
  /** Exactly as written, without user info: the request URI, and so the digest uri. */
  readonly url: string;
  /** Name or numeric address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** Percent-decoded user info; null when absent. */
  readonly username: string | null;
  readonly password: string | null;
}

/**
 * Takes an rtsp URL apart (RFC 2326 3.2). The user info ends at the last `@` of the authority, so that an unescaped `@` in a password
 * does no harm. Throws INPUT_INVALID; the message never holds the URL itself, which may carry a password.
 */
export function parseRtspUrl(text: string): RtspUrl {
  const input = text.trim();
  if (input.length > MAX_URL_CHARS) throw invalid(`the URL has ${input.length} characters, ${MAX_URL_CHARS} are allowed`);
  if (/[\s\p{Cc}]/u.test(input)) throw invalid("the URL contains blanks or control characters");
  const parts = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)(.*)$/i.exec(input);
  if (parts === null) throw invalid("the URL does not begin with rtsp://host");
  const [, scheme = "", authority = "", rest = ""] = parts;
  if (scheme.toLowerCase() !== "rtsp") throw invalid(`the URL's scheme is "${scheme.slice(0, 20)}", only rtsp is supported`, "url-scheme");

  const at = authority.lastIndexOf("@");
  const hostPort = authority.slice(at + 1);
  const { host, port } = parseHostPort(hostPort);
  const userInfo = at < 0 ? null : authority.slice(0, at);
  const colon = userInfo?.indexOf(":") ?? -1;
  return {
    url: `${scheme}://${hostPort}${rest}`,
    host,
    port,
    username: userInfo === null ? null : decode(colon < 0 ? userInfo : userInfo.slice(0, colon)),
    password: userInfo === null || colon < 0 ? null : decode(userInfo.slice(colon + 1)),
  };
}

function parseHostPort(text: string): { host: string; port: number } {
  const parts = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d*))?$/.exec(text);
  if (parts === null) throw invalid("the URL's host is not a name, an IPv4 address or an IPv6 address in brackets");
  const [, ipv6, name, portText] = parts;
  if (ipv6 !== undefined && isIP(ipv6) !== 6) throw invalid("the URL's host in brackets is not an IPv6 address");
  const host = ipv6 ?? name ?? "";
  if (host === "") throw invalid("the URL has no host");
  const port = portText === undefined || portText === "" ? DEFAULT_PORT : Number(portText);
  if (port < 1 || port > 65_535) throw invalid(`the URL's port is ${portText}, allowed are 1 to 65535`);
  return { host, port };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function invalid(message: string, problem = "url"): RecorderError {
  return new RecorderError("INPUT_INVALID", message, { problem });
}

/**
 * The base that control attributes are relative to: Content-Base, else Content-Location, else the request URL (RFC 2326 C.1.1).
 * Mends what cameras write there: no scheme, the scheme twice, a path alone, user info. Hosts are left as they are even when they are
 * not the camera's address (NAT): the server wants to read its own URL again.
 */
export function baseUrl(requestUrl: string, contentBase: string | null, contentLocation: string | null): string {
  for (const candidate of [contentBase, contentLocation]) {
    const url = candidate === null ? null : mendBase(requestUrl, candidate);
    if (url !== null) return url;
  }
  return requestUrl;
}

function mendBase(requestUrl: string, text: string): string | null {
  const value = text.trim().replace(/^"(.*)"$/, "$1");
  if (value === "" || value.length > MAX_URL_CHARS || /[\s\p{Cc}]/u.test(value)) return null;
  const single = value.replace(/^(?:rtspu?:\/\/)+/i, "rtsp://");
  if (/^rtsp:\/\//i.test(single)) return withoutUserInfo(single);
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(single)) return null;
  if (single.startsWith("/")) return `${origin(requestUrl)}${single}`;
  // "192.168.1.64/Streaming/" or "camera:554/live": an authority without scheme. A relative path looks the same only without dot and port.
  if (/^[^/?#]*[.:][^/?#]*(?:[/?#]|$)/.test(single)) return withoutUserInfo(`rtsp://${single}`);
  return null;
}

/**
 * The URL of a track or of the whole presentation from its control attribute. Relative ones are appended as text with one slash between,
 * as cameras expect also behind a query (Dahua: `…?channel=1&subtype=0/trackID=1`), not by RFC 3986 5.2, which would cut the last segment.
 */
export function resolveControl(base: string, control: string | null): string {
  const value = (control ?? "")
    .trim()
    .replace(/\p{Cc}/gu, "")
    .replaceAll(" ", "%20");
  if (value === "" || value === "*" || value.length > MAX_URL_CHARS) return base;
  if (/^(?:rtspu?:\/\/)+/i.test(value)) return withoutUserInfo(value.replace(/^(?:rtspu?:\/\/)+/i, "rtsp://"));
  if (value.startsWith("?")) return `${base}${value}`;
  if (value.startsWith("/")) {
    const path = base.slice(origin(base).length).replace(/[?#].*$/, "");
    if (path.length > 1 && value.startsWith(path.endsWith("/") ? path : `${path}/`)) return `${origin(base)}${value}`;
  }
  return `${base.replace(/\/$/, "")}/${value.replace(/^\//, "")}`;
}

/** A redirect's target: absolute, or relative to the redirected URL's origin. Null when it leads nowhere that can be tried. */
export function redirectTarget(requestUrl: string, location: string | null): string | null {
  const value = location?.trim() ?? "";
  if (value === "") return null;
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(value)) return value;
  return value.startsWith("/") ? `${origin(requestUrl)}${value}` : null;
}

function origin(url: string): string {
  return /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i.exec(url)?.[0] ?? url;
}

function withoutUserInfo(url: string): string {
  return url.replace(/^([a-z]+:\/\/)[^/?#]*@/i, "$1");
}
