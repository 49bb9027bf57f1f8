import { RecorderError } from "../base/errors.ts";

/** Header fields allowed in one message; a camera sends about ten. */
const MAX_HEADERS = 128;
/** Characters allowed in one message; the engine hands up at most 64 KiB of body plus the head. */
const MAX_MESSAGE_CHARS = 128 * 1024;

/** Header fields: names without regard to case, several fields of one name kept apart (RFC 2326 4.2, RFC 7230 3.2). */
export class Headers {
  readonly #fields: readonly (readonly [name: string, value: string])[];

  /** `fields`: names in lower case, values trimmed. */
  constructor(fields: readonly (readonly [name: string, value: string])[]) {
    this.#fields = fields;
  }

  /** The first value, or null. `name` in lower case. */
  get(name: string): string | null {
    return this.#fields.find(([field]) => field === name)?.[1] ?? null;
  }

  /** Every value, in order. `name` in lower case. */
  all(name: string): readonly string[] {
    return this.#fields.filter(([field]) => field === name).map(([, value]) => value);
  }
}

export interface RtspReply {
  readonly kind: "reply";
  readonly status: number;
  readonly reason: string;
  readonly headers: Headers;
  readonly body: string;
}

/** A request that the server sends to us (RFC 2326 10.1, 10.3, 10.10). */
export interface RtspServerRequest {
  readonly kind: "request";
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly body: string;
}

export type RtspMessage = RtspReply | RtspServerRequest;

const STATUS_LINE = /^RTSP\/\d+\s*\.\s*\d+\s+(\d{3})(?:\s+(.*))?$/i;
const REQUEST_LINE = /^([A-Z][A-Z_-]{0,31})\s+(\S{1,4096})\s+RTSP\/\d+\.\d+$/i;
/** A field name is a token; blanks before the colon are a fault some servers commit and nothing else could mean. */
const HEADER = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128})[ \t]*:[ \t]*(.*)$/;

/**
 * Reads one RTSP message (RFC 2326 6, 7): tolerates bare line feeds, folded and senseless header lines, leading blank lines.
 * The body is everything behind the empty line: the engine has cut it by Content-Length.
 * Throws CAMERA_NOT_RTSP when the first line is neither a status line nor a request line.
 */
export function parseMessage(text: string): RtspMessage {
  if (text.length > MAX_MESSAGE_CHARS) {
    throw new RecorderError("CAMERA_STREAM_FAULT", `a message of ${text.length} characters came, ${MAX_MESSAGE_CHARS} are allowed`, {
      end: "malformed-reply",
    });
  }
  const start = text.search(/[^\r\n]/);
  const { head, body } = splitHead(start > 0 ? text.slice(start) : text);
  const [first = "", ...lines] = head.split(/\r\n|\n|\r/);
  const startLine = first.trim();
  const headers = parseHeaders(lines);

  const status = STATUS_LINE.exec(startLine);
  if (status !== null) return { kind: "reply", status: Number(status[1]), reason: (status[2] ?? "").trim(), headers, body };
  const request = REQUEST_LINE.exec(startLine);
  if (request !== null) return { kind: "request", method: (request[1] ?? "").toUpperCase(), url: request[2] ?? "", headers, body };
  throw new RecorderError("CAMERA_NOT_RTSP", `"${excerpt(startLine)}" came where an RTSP message begins`, { end: "not-rtsp" });
}

function splitHead(text: string): { head: string; body: string } {
  const end = /\r\n\r\n|\n\n|\n\r\n|\r\r/.exec(text);
  if (end === null) return { head: text, body: "" };
  return { head: text.slice(0, end.index), body: text.slice(end.index + end[0].length) };
}

function parseHeaders(lines: readonly string[]): Headers {
  const fields: [string, string][] = [];
  for (const line of lines) {
    const last = fields.at(-1);
    if (/^[ \t]/.test(line) && last !== undefined) {
      last[1] = `${last[1]} ${line.trim()}`.trim();
      continue;
    }
    const field = HEADER.exec(line);
    if (field === null) continue;
    if (fields.length === MAX_HEADERS) break;
    fields.push([(field[1] ?? "").toLowerCase(), (field[2] ?? "").trim()]);
  }
  return new Headers(fields);
}

/** CSeq of a message, or null when absent or unreadable (RFC 2326 12.17). */
export function cseqOf(message: RtspMessage): number | null {
  const value = message.headers.get("cseq");
  const digits = value === null ? null : /^\d{1,10}/.exec(value);
  return digits === null ? null : Number(digits[0]);
}

/** Serialises a request without body (RFC 2326 6). `cseq` may be the engine's placeholder. Null values are left out. */
export function serializeRequest(
  method: string,
  url: string,
  cseq: number | string,
  headers: readonly (readonly [name: string, value: string | null])[],
): string {
  const lines = [`${method} ${url} RTSP/1.0`, `CSeq: ${cseq}`];
  for (const [name, value] of headers) if (value !== null) lines.push(`${name}: ${value}`);
  return `${lines.map(oneLine).join("\r\n")}\r\n\r\n`;
}

/** Serialises our answer to a request of the server. */
export function serializeReply(
  status: number,
  reason: string,
  cseq: number | null,
  headers: readonly (readonly [name: string, value: string])[] = [],
): string {
  const lines = [`RTSP/1.0 ${status} ${reason}`, ...(cseq === null ? [] : [`CSeq: ${cseq}`])];
  for (const [name, value] of headers) lines.push(`${name}: ${value}`);
  return `${lines.map(oneLine).join("\r\n")}\r\n\r\n`;
}

/** What a peer said, cut and cleaned for messages people read. */
export function excerpt(text: string, maxChars = 60): string {
  const clean = text.replace(/[^\x20-\x7e\u00a0-\uffff]/g, "·");
  return clean.length <= maxChars ? clean : `${clean.slice(0, maxChars)}…`;
}

/** A value taken from a peer (session id, control URL) must not be able to start a header of its own. */
function oneLine(line: string): string {
  return line.replace(/[\r\n\0]/g, "");
}
