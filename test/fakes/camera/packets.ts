import { type AudioKind, CLIP_FPS, CLIP_FRAMES, CLIP_GOP_FRAMES, loadAudio, loadVideo, type VideoVariant } from "./clip.ts";
import { createStampNal, STAMP_DIGITS_OFFSET } from "./stamp.ts";

export const VIDEO_CLOCK_HZ = 90_000;
export const VIDEO_PAYLOAD_TYPE = 96;
/** Ticks of the video clock from one picture to the next. */
export const FRAME_TICKS = VIDEO_CLOCK_HZ / CLIP_FPS;
/** `$`, channel and length before each packet on a TCP connection (RFC 2326 10.12). */
export const INTERLEAVED_BYTES = 4;
const RTP_HEADER_BYTES = 12;
/** The key frame of a padded group weighs as much as this many others. */
const KEY_FRAME_WEIGHT = 6;

/** What decides the bytes of a loop; streams that agree in it share the packets. */
export interface PacketProfile {
  readonly video: VideoVariant;
  readonly audio: AudioKind;
  /** Video is padded with filler data (NAL type 12) up to this rate; 0 leaves it as it is. */
  readonly bitrateBps: number;
  /** Largest RTP payload. */
  readonly payloadBytes: number;
  /** SPS and PPS before every IDR picture. */
  readonly inBandParameterSets: boolean;
}

/**
 * The packets of one loop, ready to send: interleaved prefix, RTP header, payload, one behind the other. A slot is the time of one picture:
 * the packets of its access unit, then those of the sound that is due. What differs by client and moment (channel, sequence number,
 * timestamp, SSRC, stamp) is patched in place just before each write, which copies the bytes to the kernel or to the client's queue.
 */
export interface PacketLoop {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Offset of each packet's prefix, and the total size as last entry. */
  readonly offsets: Uint32Array;
  /** First video packet of each slot, and the number of packets as last entry. */
  readonly videoStart: Uint32Array;
  /** First sound packet of each slot; the slot ends where the next one begins. */
  readonly audioStart: Uint32Array;
  /** Offset of the stamp's digits in each slot. */
  readonly stampOffsets: Uint32Array;
  /** Media time of each sound packet from the start of the loop; 0 for video packets. */
  readonly audioTicks: Uint32Array;
  readonly audio: AudioFormat | null;
}

/** The sound track as the SDP declares it. */
export interface AudioFormat {
  readonly payloadType: number;
  readonly clockRateHz: number;
  readonly rtpmap: string;
  readonly fmtp: string | null;
  /** Ticks of one loop. */
  readonly loopTicks: number;
}

// 0x1288: AudioSpecificConfig (ISO/IEC 14496-3 1.6.2.1) of AAC-LC, 32 kHz, one channel.
const AAC_FMTP = "streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1288";
const AUDIO_DECLARATIONS = {
  aac: { payloadType: 97, rtpmap: "MPEG4-GENERIC/32000/1", fmtp: AAC_FMTP },
  pcma: { payloadType: 8, rtpmap: "PCMA/8000", fmtp: null },
  pcmu: { payloadType: 0, rtpmap: "PCMU/8000", fmtp: null },
  unknown: { payloadType: 98, rtpmap: "X-EASYRMS-UNKNOWN/8000", fmtp: null },
} as const;

export function audioFormat(kind: AudioKind): AudioFormat | null {
  const audio = loadAudio(kind);
  if (audio === null || kind === "none") return null;
  return { ...AUDIO_DECLARATIONS[kind], clockRateHz: audio.clockRateHz, loopTicks: audio.unitTicks * audio.units.length };
}

const loops = new Map<string, PacketLoop>();

/** The packets of a profile; built once per process (a few tenths of a second for 4 Mbit/s) and then shared. */
export function packetLoop(profile: PacketProfile): PacketLoop {
  const key = JSON.stringify([profile.video, profile.audio, profile.bitrateBps, profile.payloadBytes, profile.inBandParameterSets]);
  const known = loops.get(key);
  if (known !== undefined) return known;
  const loop = buildLoop(profile);
  loops.set(key, loop);
  return loop;
}

function buildLoop(profile: PacketProfile): PacketLoop {
  const video = loadVideo(profile.video);
  const audio = loadAudio(profile.audio);
  const format = audioFormat(profile.audio);
  const stamp = createStampNal();
  const frameBytes = frameTargets(profile.bitrateBps);
  const writer = new PacketWriter(profile.payloadBytes);
  const videoStart = new Uint32Array(CLIP_FRAMES + 1);
  const audioStart = new Uint32Array(CLIP_FRAMES);
  const stampOffsets = new Uint32Array(CLIP_FRAMES);
  let audioUnit = 0;
  for (let slot = 0; slot < CLIP_FRAMES; slot++) {
    videoStart[slot] = writer.count;
    stampOffsets[slot] = writer.size + INTERLEAVED_BYTES + RTP_HEADER_BYTES + STAMP_DIGITS_OFFSET;
    const key = slot % CLIP_GOP_FRAMES === 0;
    const nals = [stamp, ...(key && profile.inBandParameterSets ? [video.sps, video.pps] : []), ...(video.units[slot] ?? [])];
    const ownBytes = nals.reduce((sum, nal) => sum + nal.length, 0);
    const missing = (key ? frameBytes.key : frameBytes.other) - ownBytes;
    if (missing > 2) nals.push(fillerNal(missing));
    nals.forEach((nal, index) => {
      writer.nal(nal, index === nals.length - 1);
    });
    audioStart[slot] = writer.count;
    if (audio === null || format === null) continue;
    const unitsDue = Math.ceil(((slot + 1) * audio.units.length) / CLIP_FRAMES);
    for (; audioUnit < unitsDue; audioUnit++) {
      const unit = audio.units[audioUnit] ?? new Uint8Array();
      // RFC 3640 3.3.6, AAC-hbr: 16 bits of AU-headers-length in bits, then one header of 13 bits size and 3 bits index.
      const head = profile.audio === "aac" ? Uint8Array.of(0, 16, unit.length >> 5, (unit.length & 31) << 3) : new Uint8Array();
      writer.packet(format.payloadType, profile.audio === "aac", [head, unit], audioUnit * audio.unitTicks);
    }
  }
  videoStart[CLIP_FRAMES] = writer.count;
  return { ...writer.finish(), videoStart, audioStart, stampOffsets, audio: format };
}

/** Sizes that give the rate, the same in every group of pictures. */
function frameTargets(bitrateBps: number): { readonly key: number; readonly other: number } {
  const other = (bitrateBps / 8) * (CLIP_GOP_FRAMES / CLIP_FPS) * (1 / (CLIP_GOP_FRAMES - 1 + KEY_FRAME_WEIGHT));
  return { key: Math.round(other * KEY_FRAME_WEIGHT), other: Math.round(other) };
}

/** Filler data of `bytes` in all (ITU-T H.264 7.3.2.7); decoders skip it. */
function fillerNal(bytes: number): Uint8Array {
  const nal = new Uint8Array(bytes).fill(0xff);
  nal[0] = 0x0c;
  nal[bytes - 1] = 0x80;
  return nal;
}

/** Appends packets to one growing buffer. */
class PacketWriter {
  count = 0;
  size = 0;
  readonly #payloadBytes: number;
  #bytes = new Uint8Array(4 << 20);
  readonly #offsets: number[] = [];
  readonly #audioTicks: number[] = [];

  constructor(payloadBytes: number) {
    this.#payloadBytes = payloadBytes;
  }

  /** One NAL unit as single packet, or in FU-A pieces if it is larger (RFC 6184 5.6, 5.8). */
  nal(nal: Uint8Array, lastOfUnit: boolean): void {
    if (nal.length <= this.#payloadBytes) {
      this.packet(VIDEO_PAYLOAD_TYPE, lastOfUnit, [nal], 0);
      return;
    }
    const header = nal[0] ?? 0;
    const pieceBytes = this.#payloadBytes - 2;
    for (let at = 1; at < nal.length; at += pieceBytes) {
      const end = Math.min(at + pieceBytes, nal.length);
      const fu = Uint8Array.of((header & 0xe0) | 28, (at === 1 ? 0x80 : 0) | (end === nal.length ? 0x40 : 0) | (header & 0x1f));
      this.packet(VIDEO_PAYLOAD_TYPE, lastOfUnit && end === nal.length, [fu, nal.subarray(at, end)], 0);
    }
  }

  packet(payloadType: number, marker: boolean, parts: readonly Uint8Array[], audioTicks: number): void {
    const rtpBytes = parts.reduce((sum, part) => sum + part.length, RTP_HEADER_BYTES);
    this.#reserve(INTERLEAVED_BYTES + rtpBytes);
    const bytes = this.#bytes;
    const start = this.size;
    bytes[start] = 0x24;
    bytes[start + 2] = rtpBytes >> 8;
    bytes[start + 3] = rtpBytes & 255;
    bytes[start + 4] = 0x80;
    bytes[start + 5] = (marker ? 0x80 : 0) | payloadType;
    let at = start + INTERLEAVED_BYTES + RTP_HEADER_BYTES;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    this.#offsets.push(start);
    this.#audioTicks.push(audioTicks);
    this.size = at;
    this.count++;
  }

  finish(): Pick<PacketLoop, "bytes" | "view" | "offsets" | "audioTicks"> {
    const bytes = this.#bytes.slice(0, this.size);
    return {
      bytes,
      view: new DataView(bytes.buffer),
      offsets: Uint32Array.from([...this.#offsets, this.size]),
      audioTicks: Uint32Array.from(this.#audioTicks),
    };
  }

  #reserve(more: number): void {
    if (this.size + more <= this.#bytes.length) return;
    const grown = new Uint8Array(this.#bytes.length * 2);
    grown.set(this.#bytes);
    this.#bytes = grown;
  }
}
