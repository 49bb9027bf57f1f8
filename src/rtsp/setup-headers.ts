const MAX_SESSION_CHARS = 256;
const DEFAULT_TIMEOUT_S = 60;
const MIN_TIMEOUT_S = 4;
const MAX_TIMEOUT_S = 3600;

/** A server's Session field. */
export interface SessionHeader {
  readonly id: string;
  /** Seconds after which the server forgets a silent client. */
  readonly timeoutS: number;
}

/** Reads `id;timeout=N` (RFC 2326 12.37); blanks anywhere, 60 s where the time-out is missing or senseless. Null without an id. */
export function parseSession(value: string | null): SessionHeader | null {
  const [id = "", ...parameters] = (value ?? "").split(";").map((part) => part.trim());
  const clean = id.replace(/\s/g, "").slice(0, MAX_SESSION_CHARS);
  if (clean === "") return null;
  let timeoutS = DEFAULT_TIMEOUT_S;
  for (const parameter of parameters) {
    const seconds = Number(/^timeout\s*=\s*"?(\d{1,6})/i.exec(parameter)?.[1] ?? 0);
    if (seconds > 0) timeoutS = Math.min(MAX_TIMEOUT_S, Math.max(MIN_TIMEOUT_S, seconds));
  }
  return { id: clean, timeoutS };
}

/** What the server made of the transport it was asked for. */
export interface TransportHeader {
  /** False when the answer names another transport than interleaved TCP. */
  readonly interleaved: boolean;
  readonly rtpChannel: number;
  readonly rtcpChannel: number;
  readonly ssrc: number | null;
}

/**
 * Reads the Transport field of a SETUP reply (RFC 2326 12.39). Missing channels mean those that were asked for, one channel alone means
 * the pair that begins with it; an unreadable SSRC (blanks, too many digits, decimal text) is no SSRC.
 */
export function parseTransport(value: string | null, askedChannel: number): TransportHeader {
  const asked = { rtpChannel: askedChannel, rtcpChannel: askedChannel + 1 };
  if (value === null || value.trim() === "") return { interleaved: true, ...asked, ssrc: null };
  const [protocol = "", ...parameters] = (value.split(",")[0] ?? "").split(";").map((part) => part.trim());
  const parameter = (name: string): string | null => {
    const found = parameters.find((part) => part.toLowerCase().startsWith(`${name}=`) || part.toLowerCase().startsWith(`${name} `));
    return found === undefined ? null : found.slice(found.indexOf("=") + 1).trim();
  };
  const channels = /^(\d{1,3})(?:\s*-\s*(\d{1,3}))?$/.exec(parameter("interleaved") ?? "");
  const rtpChannel = channels === null ? asked.rtpChannel : Number(channels[1]);
  const rtcpChannel = channels === null ? asked.rtcpChannel : Number(channels[2] ?? rtpChannel + 1);
  const ssrc = (parameter("ssrc") ?? "").replace(/^0x/i, "");
  const inRange = rtpChannel <= 255 && rtcpChannel <= 255;
  return {
    interleaved: /\/TCP$/i.test(protocol) || channels !== null,
    rtpChannel: inRange ? rtpChannel : asked.rtpChannel,
    rtcpChannel: inRange ? rtcpChannel : asked.rtcpChannel,
    ssrc: /^[0-9a-f]{1,8}$/i.test(ssrc) ? Number.parseInt(ssrc, 16) : null,
  };
}

/** Methods of a Public field, upper case (RFC 2326 12.28). */
export function parseMethods(values: readonly string[]): ReadonlySet<string> {
  return new Set(values.flatMap((value) => value.split(/[\s,]+/)).map((method) => method.toUpperCase()));
}
