/**
 * A plain RTSP client over TCP for tests: it sends what it is told and keeps everything that comes, broken or not. It decides nothing and
 * tolerates nothing; the recorder's own client is elsewhere.
 */

/** A reply as it came. */
export interface ClientReply {
  readonly status: number;
  /** Names in lower case; values of repeated headers in order. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly body: string;
}

/** An interleaved frame as it came. */
export interface ClientFrame {
  readonly channel: number;
  readonly payload: Uint8Array;
  readonly monoMs: number;
}

/** The fixed header of an RTP packet (RFC 3550 5.1), unchecked. */
export interface RtpHeader {
  readonly payloadType: number;
  readonly marker: boolean;
  readonly sequence: number;
  readonly timestamp: number;
  readonly ssrc: number;
  readonly payload: Uint8Array;
}

export class RawClient {
  readonly frames: ClientFrame[] = [];
  readonly replies: ClientReply[] = [];
  /** Bytes that belong to no frame and no reply. */
  strayBytes = 0;
  /** All bytes, whatever they are. */
  receivedBytes = 0;
  closed: "no" | "end" | "reset" = "no";
  readonly #url: string;
  #socket: Bun.Socket | null = null;
  #pending = Buffer.alloc(0);
  #cseq = 0;
  #session: string | null = null;

  constructor(url: string) {
    this.#url = url;
  }

  /** Rejects if the connection is refused. */
  async connect(): Promise<this> {
    const { hostname, port } = new URL(this.#url.replace(/^rtsp:/, "http:"));
    this.#socket = await Bun.connect({
      hostname,
      port: Number(port),
      socket: {
        data: (_, chunk) => this.received(chunk),
        end: () => this.#close("end"),
        close: (_, error) => this.#close(error === undefined ? "end" : "reset"),
        error: () => this.#close("reset"),
      },
    });
    return this;
  }

  /** Sends a request and waits for its reply; null if none comes in time. `track` is a control name. */
  async request(method: string, track = "", headers: readonly string[] = [], waitMs = 1000): Promise<ClientReply | null> {
    const before = this.replies.length;
    const session = this.#session === null ? [] : [`Session: ${this.#session}`];
    this.raw([`${method} ${this.#url}${track} RTSP/1.0`, `CSeq: ${++this.#cseq}`, ...session, ...headers, "", ""].join("\r\n"));
    await this.until(() => this.replies.length > before, waitMs);
    const reply = this.replies[before] ?? null;
    this.#session = reply?.headers.get("session")?.[0]?.split(";")[0] ?? this.#session;
    return reply;
  }

  raw(bytes: string | Uint8Array): void {
    this.#socket?.write(bytes);
  }

  /** DESCRIBE, SETUP of both tracks (sound if the description has it) and PLAY; false if one fails. Video is on channel 0, sound on 2. */
  async play(): Promise<boolean> {
    const description = await this.request("DESCRIBE");
    if (description?.status !== 200) return false;
    for (const [track, channel] of [["/track1", 0] as const, ["/track2", 2] as const]) {
      if (!description.body.includes(`a=control:${track.slice(1)}`)) continue;
      const reply = await this.request("SETUP", track, [`Transport: RTP/AVP/TCP;unicast;interleaved=${channel}-${channel + 1}`]);
      if (reply?.status !== 200) return false;
    }
    return (await this.request("PLAY"))?.status === 200;
  }

  /** RTP packets of a channel so far. */
  packets(channel: number): RtpHeader[] {
    return this.frames
      .filter((frame) => frame.channel === channel && frame.payload.length >= 12)
      .map(({ payload }) => {
        const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
        return {
          payloadType: view.getUint8(1) & 127,
          marker: view.getUint8(1) >= 128,
          sequence: view.getUint16(2),
          timestamp: view.getUint32(4),
          ssrc: view.getUint32(8),
          payload: payload.subarray(12),
        };
      });
  }

  /** Stops reading, so that the server's queue fills. */
  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  close(): void {
    this.#socket?.end();
  }

  /** Waits for a condition; false if it does not come. */
  async until(condition: () => boolean, waitMs: number): Promise<boolean> {
    for (const end = performance.now() + waitMs; !condition(); await Bun.sleep(5)) {
      if (performance.now() > end) return false;
    }
    return true;
  }

  #close(how: "end" | "reset"): void {
    if (this.closed === "no") this.closed = how;
  }

  protected received(chunk: Uint8Array): void {
    this.receivedBytes += chunk.length;
    this.#pending = Buffer.concat([this.#pending, chunk]);
    for (;;) {
      const bytes = this.#pending;
      let used = 0;
      if (bytes[0] === 0x24) {
        if (bytes.length < 4 || bytes.length < 4 + bytes.readUInt16BE(2)) return;
        used = 4 + bytes.readUInt16BE(2);
        this.frames.push({ channel: bytes.readUInt8(1), payload: new Uint8Array(bytes.subarray(4, used)), monoMs: performance.now() });
      } else if (bytes.subarray(0, 5).toString("latin1") === "RTSP/") {
        const head = bytes.indexOf("\r\n\r\n");
        if (head < 0) return;
        const { status, headers } = parseReplyHead(bytes.subarray(0, head).toString("latin1"));
        used = head + 4 + Number(headers.get("content-length")?.[0] ?? 0);
        if (used > bytes.length) return;
        this.replies.push({ status, headers, body: bytes.subarray(head + 4, used).toString("latin1") });
      } else if (bytes.length >= 5) {
        used = 1;
        this.strayBytes++;
      } else return;
      this.#pending = bytes.subarray(used);
    }
  }
}

function parseReplyHead(head: string): Omit<ClientReply, "body"> {
  const [start = "", ...lines] = head.split("\r\n");
  const headers = new Map<string, string[]>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), line.slice(colon + 1).trim()]);
  }
  return { status: Number(start.split(" ")[1]), headers };
}
