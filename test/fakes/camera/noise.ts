let state = 0x1234567;

/** Bytes of a fixed generator (xorshift), `$` and line ends among them. */
export function noise(bytes: number): Uint8Array {
  const out = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    out[at] = state;
  }
  return out;
}

/** RTP packets that cannot be (RFC 3550 5.1), each named for what is wrong with it. */
const MALFORMED: readonly {
  readonly name: string;
  readonly head: readonly number[];
  readonly bytes: number;
  readonly otherChannel?: true;
}[] = [
  { name: "empty", head: [], bytes: 0 },
  { name: "shorter than the header", head: [0x80, 96], bytes: 7 },
  { name: "version 1", head: [0x40, 96], bytes: 40 },
  { name: "version 0", head: [0x00, 96], bytes: 40 },
  { name: "15 contributing sources in 20 bytes", head: [0x8f, 96], bytes: 20 },
  { name: "an extension longer than the packet", head: [0x90, 96], bytes: 16 },
  { name: "padding longer than the packet", head: [0xa0, 96], bytes: 40 },
  { name: "payload type 50 with a sequence number that is used again", head: [0x80, 50], bytes: 60 },
  { name: "a channel that nobody set up", head: [0x80, 96], bytes: 60, otherChannel: true },
];

/** One of the malformed packets, by turns. */
export function malformedPacket(
  turn: number,
  ssrc: number,
  sequence: number,
): { readonly packet: Uint8Array; readonly otherChannel: boolean } {
  const { head, bytes, otherChannel } = MALFORMED[turn % MALFORMED.length] ?? { head: [], bytes: 0 };
  // 0xff: an extension length and a padding length that no packet holds.
  const packet = new Uint8Array(bytes).fill(0xff);
  packet.set(head);
  if (bytes >= 12) {
    const view = new DataView(packet.buffer);
    view.setUint16(2, sequence);
    view.setUint32(8, ssrc);
  }
  return { packet, otherChannel: otherChannel === true };
}
