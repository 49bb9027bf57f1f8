/** Seconds from the NTP epoch (1900) to the UNIX epoch. */
const NTP_OFFSET_SECONDS = 2_208_988_800;

/** A receiver report of the client (RFC 3550 6.4.2), as it came. */
export interface ReceiverReport {
  /** Channel or port of the track it came on. */
  readonly track: number;
  readonly receivedMonoMs: number;
  /** Whose reception it is about. */
  readonly ssrc: number;
  /** Of 256. */
  readonly fractionLost: number;
  readonly cumulativeLost: number;
  readonly highestSequence: number;
  readonly jitterTicks: number;
  readonly lastSr: number;
  readonly delaySinceLastSr: number;
}

/** What a sender report says. */
export interface SenderState {
  readonly ssrc: number;
  readonly utcMs: number;
  readonly rtpTicks: number;
  readonly packets: number;
  readonly payloadBytes: number;
}

/** SR with SDES CNAME, and BYE when the stream ends (RFC 3550 6.4.1, 6.5, 6.6). */
export function senderReport(state: SenderState, cname: string, bye: boolean): Uint8Array {
  const name = new TextEncoder().encode(cname.slice(0, 255));
  // The item list ends with at least one zero byte and fills a word.
  const sdesBytes = 8 + Math.ceil((2 + name.length + 1) / 4) * 4;
  const out = new Uint8Array(28 + sdesBytes + (bye ? 8 : 0));
  const view = new DataView(out.buffer);
  const header = (at: number, count: number, type: number, bytes: number) => {
    out[at] = 0x80 | count;
    out[at + 1] = type;
    view.setUint16(at + 2, bytes / 4 - 1);
    view.setUint32(at + 4, state.ssrc);
  };
  header(0, 0, 200, 28);
  const seconds = Math.floor(state.utcMs / 1000);
  view.setUint32(8, seconds + NTP_OFFSET_SECONDS);
  view.setUint32(12, Math.floor(((state.utcMs - seconds * 1000) / 1000) * 2 ** 32));
  view.setUint32(16, state.rtpTicks);
  view.setUint32(20, state.packets);
  view.setUint32(24, state.payloadBytes);
  header(28, 1, 202, sdesBytes);
  out[36] = 1;
  out[37] = name.length;
  out.set(name, 38);
  if (bye) header(28 + sdesBytes, 1, 203, 8);
  return out;
}

/** All report blocks of a compound packet of the client; broken ones end the list. */
export function parseReceiverReports(packet: Uint8Array, track: number, receivedMonoMs: number): ReceiverReport[] {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const reports: ReceiverReport[] = [];
  for (let at = 0; at + 8 <= packet.length; ) {
    const end = at + (view.getUint16(at + 2) + 1) * 4;
    const type = view.getUint8(at + 1);
    if (view.getUint8(at) >> 6 !== 2 || end > packet.length) break;
    const first = type === 201 ? at + 8 : type === 200 ? at + 28 : end;
    for (let block = first, left = view.getUint8(at) & 31; left > 0 && block + 24 <= end; block += 24, left--) {
      reports.push({
        track,
        receivedMonoMs,
        ssrc: view.getUint32(block),
        fractionLost: view.getUint8(block + 4),
        // 24 bits, signed.
        cumulativeLost: (view.getInt32(block + 4) << 8) >> 8,
        highestSequence: view.getUint32(block + 8),
        jitterTicks: view.getUint32(block + 12),
        lastSr: view.getUint32(block + 16),
        delaySinceLastSr: view.getUint32(block + 20),
      });
    }
    at = end;
  }
  return reports;
}
