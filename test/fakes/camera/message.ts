/** An RTSP request (RFC 2326 6). */
export interface RtspRequest {
  readonly method: string;
  readonly uri: string;
  /** Names in lower case; of a repeated one the last. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** What a client sends on its connection. */
export type Incoming =
  | { readonly kind: "request"; readonly request: RtspRequest }
  | { readonly kind: "frame"; readonly channel: number; readonly payload: Uint8Array };

/** A peer that keeps less than this unfinished is patient; more is an error. */
const MAX_PENDING_BYTES = 128 << 10;
const decoder = new TextDecoder("latin1");

/** Splits what a client sends into requests and interleaved frames. */
export class IncomingParser {
  #pending: Uint8Array = new Uint8Array();

  /** Everything that `chunk` completes; null once the peer speaks no RTSP. */
  push(chunk: Uint8Array): Incoming[] | null {
    let bytes: Uint8Array = chunk;
    if (this.#pending.length > 0) {
      bytes = new Uint8Array(this.#pending.length + chunk.length);
      bytes.set(this.#pending);
      bytes.set(chunk, this.#pending.length);
    }
    const items: Incoming[] = [];
    let at = 0;
    while (at < bytes.length) {
      if (bytes[at] === 0x24) {
        const end = at + 4 + (((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0));
        if (at + 4 > bytes.length || end > bytes.length) break;
        items.push({ kind: "frame", channel: bytes[at + 1] ?? 0, payload: bytes.slice(at + 4, end) });
        at = end;
        continue;
      }
      // CRLF between messages is allowed.
      if (bytes[at] === 13 || bytes[at] === 10) {
        at++;
        continue;
      }
      const head = Buffer.from(bytes.buffer, bytes.byteOffset + at, bytes.length - at).indexOf("\r\n\r\n");
      if (head < 0) break;
      const parsed = parseHead(decoder.decode(bytes.subarray(at, at + head)));
      if (parsed === null) return null;
      const length = Number(parsed.headers.get("content-length") ?? 0);
      if (!Number.isInteger(length) || length < 0 || length > MAX_PENDING_BYTES) return null;
      const end = at + head + 4 + length;
      if (end > bytes.length) break;
      items.push({ kind: "request", request: { ...parsed, body: decoder.decode(bytes.subarray(end - length, end)) } });
      at = end;
    }
    this.#pending = bytes.slice(at);
    return this.#pending.length > MAX_PENDING_BYTES ? null : items;
  }
}

function parseHead(text: string): Omit<RtspRequest, "body"> | null {
  const [start = "", ...lines] = text.split("\r\n");
  const [, method, uri] = /^([A-Z_]+) (\S+) RTSP\/1\.0$/.exec(start) ?? [];
  if (method === undefined || uri === undefined) return null;
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon > 0) headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  return { method, uri, headers };
}
