import { INTERLEAVED_BYTES, type PacketLoop } from "./packets.ts";

/**
 * Where a player's packets go. Here: the RTSP connection they are interleaved with (RFC 2326 10.12). A UDP outlet sends the same packets
 * without their prefix, each as a datagram; the player does not know the difference.
 */
export interface Outlet {
  /** A client that does not read: the player leaves out whole frames. */
  readonly congested: boolean;
  /** Packets `first` to `end` (exclusive) of the loop, already patched. Copied or sent when this returns. */
  packets(loop: PacketLoop, first: number, end: number): void;
  /** One RTCP packet, or a broken RTP packet, on its channel. */
  single(channel: number, packet: Uint8Array): void;
  /** Bytes outside all framing. */
  noise(bytes: Uint8Array): void;
}

/** The part of a Bun socket that is written to. */
export interface ByteSocket {
  write(bytes: Uint8Array, offset: number, length: number): number;
}

/** Writes to a TCP connection in order. What the kernel does not take waits in a queue: of the limit, one frame and the replies at most. */
export class InterleavedOutlet implements Outlet {
  readonly #socket: ByteSocket;
  readonly #limitBytes: number;
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #frozen = false;

  constructor(socket: ByteSocket, limitBytes: number) {
    this.#socket = socket;
    this.#limitBytes = limitBytes;
  }

  get congested(): boolean {
    return this.#queuedBytes > this.#limitBytes || this.#frozen;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  packets(loop: PacketLoop, first: number, end: number): void {
    const from = loop.offsets[first] ?? 0;
    this.#write(loop.bytes, from, (loop.offsets[end] ?? from) - from);
  }

  single(channel: number, packet: Uint8Array): void {
    const framed = new Uint8Array(INTERLEAVED_BYTES + packet.length);
    framed.set([0x24, channel, packet.length >> 8, packet.length & 255]);
    framed.set(packet, INTERLEAVED_BYTES);
    this.#write(framed, 0, framed.length);
  }

  noise(bytes: Uint8Array): void {
    this.#write(bytes, 0, bytes.length);
  }

  /** A reply; one that a client does not fetch, which asks and asks without reading, is left out. */
  text(message: string): void {
    if (this.#queuedBytes > 2 * this.#limitBytes) return;
    const bytes = Buffer.from(message, "latin1");
    this.#write(bytes, 0, bytes.length);
  }

  /** Sends nothing from now on. */
  freeze(): void {
    this.#frozen = true;
    this.#queue.length = 0;
    this.#queuedBytes = 0;
  }

  /** The kernel takes bytes again. */
  drain(): void {
    let done = 0;
    for (const chunk of this.#queue) {
      const taken = Math.max(0, this.#socket.write(chunk, 0, chunk.length));
      this.#queuedBytes -= taken;
      if (taken < chunk.length) {
        this.#queue[done] = chunk.subarray(taken);
        break;
      }
      done++;
    }
    this.#queue.splice(0, done);
  }

  #write(bytes: Uint8Array, offset: number, length: number): void {
    if (this.#frozen || length === 0) return;
    // A closed socket answers -1.
    const taken = this.#queue.length === 0 ? Math.max(0, this.#socket.write(bytes, offset, length)) : 0;
    if (taken === length) return;
    // A copy: the bytes of a loop are patched again for the next client.
    this.#queue.push(bytes.slice(offset + taken, offset + length));
    this.#queuedBytes += length - taken;
  }
}
