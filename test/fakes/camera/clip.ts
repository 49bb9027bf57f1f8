import { readFileSync } from "node:fs";

/** Pictures per second of the clip. */
export const CLIP_FPS = 25;
/** Pictures of one loop (60 s). */
export const CLIP_FRAMES = 1500;
/** Pictures of one group: the first is an IDR picture. */
export const CLIP_GOP_FRAMES = 50;
const CLIP_SECONDS = CLIP_FRAMES / CLIP_FPS;

export const VIDEO_VARIANTS = ["1080p", "720p"] as const;
/** Which of the two committed videos is played. */
export type VideoVariant = (typeof VIDEO_VARIANTS)[number];

export const AUDIO_KINDS = ["none", "aac", "pcma", "pcmu", "unknown"] as const;
/** The sound track: `unknown` has an encoding name that no player knows. */
export type AudioKind = (typeof AUDIO_KINDS)[number];

/** One loop of video, split into NAL units without start codes. */
export interface ClipVideo {
  readonly width: number;
  readonly height: number;
  readonly sps: Uint8Array;
  readonly pps: Uint8Array;
  /** Slices only, one list a picture; parameter sets are kept apart. */
  readonly units: readonly (readonly Uint8Array[])[];
}

/** One loop of sound, split as it is sent. */
export interface ClipAudio {
  readonly clockRateHz: number;
  /** Samples of one unit. */
  readonly unitTicks: number;
  /** AAC access units without ADTS header, or 20 ms of samples. */
  readonly units: readonly Uint8Array[];
}

const VIDEO_FILES = {
  "1080p": { file: "video-1080p.h264", width: 1920, height: 1080 },
  "720p": { file: "video-720p.h264", width: 1280, height: 720 },
} as const;

const videos = new Map<VideoVariant, ClipVideo>();
const audios = new Map<AudioKind, ClipAudio>();

/** One loop of the video; read once per process. A clip shorter than the loop is repeated to fill it. */
export function loadVideo(variant: VideoVariant): ClipVideo {
  const known = videos.get(variant);
  if (known !== undefined) return known;
  const { file, width, height } = VIDEO_FILES[variant];
  let sps: Uint8Array | null = null;
  let pps: Uint8Array | null = null;
  const pictures: Uint8Array[][] = [];
  for (const nal of splitAnnexB(readClipFile(file))) {
    const type = (nal[0] ?? 0) & 0x1f;
    if (type === 7) sps ??= nal;
    else if (type === 8) pps ??= nal;
    // One slice a picture, as make-clip.sh asks of the encoder.
    else if (type === 1 || type === 5) pictures.push([nal]);
  }
  if (sps === null || pps === null || pictures.length === 0 || CLIP_FRAMES % pictures.length !== 0) {
    throw new Error(`${file} has ${pictures.length} pictures; allowed are parameter sets and a divisor of ${CLIP_FRAMES} pictures`);
  }
  const units = Array.from({ length: CLIP_FRAMES }, (_, frame) => pictures[frame % pictures.length] ?? []);
  const video = { width, height, sps, pps, units };
  videos.set(variant, video);
  return video;
}

/** One loop of the sound, or null for none; made once per process. */
export function loadAudio(kind: AudioKind): ClipAudio | null {
  if (kind === "none") return null;
  const known = audios.get(kind);
  if (known !== undefined) return known;
  const audio =
    kind === "aac"
      ? { clockRateHz: 32000, unitTicks: 1024, units: splitAdts(readClipFile("sound-32k.aac")) }
      : synthesiseG711(kind === "pcmu" ? encodeMuLaw : encodeALaw);
  audios.set(kind, audio);
  return audio;
}

/** NAL units of an Annex B byte stream (ITU-T H.264 B.1), without start codes and trailing zeros. */
export function splitAnnexB(stream: Uint8Array): Uint8Array[] {
  const nals: Uint8Array[] = [];
  let start = -1;
  const push = (end: number) => {
    if (start < 0) return;
    let last = end;
    while (last > start && stream[last - 1] === 0) last--;
    if (last > start) nals.push(stream.subarray(start, last));
  };
  // indexOf runs natively: every start code ends in a byte 1 after two zeros.
  for (let one = stream.indexOf(1); one >= 0; one = stream.indexOf(1, one + 1)) {
    if (one < 2 || stream[one - 1] !== 0 || stream[one - 2] !== 0) continue;
    push(one - 2);
    start = one + 1;
  }
  push(stream.length);
  return nals;
}

/** Access units of a stream of ADTS frames without CRC (ISO/IEC 13818-7 6.2): 7 bytes of header, the frame length in 13 bits from bit 30 on. */
export function splitAdts(bytes: Uint8Array): Uint8Array[] {
  const units: Uint8Array[] = [];
  for (let at = 0; at + 7 <= bytes.length; ) {
    const length = (((bytes[at + 3] ?? 0) & 3) << 11) | ((bytes[at + 4] ?? 0) << 3) | ((bytes[at + 5] ?? 0) >> 5);
    if (bytes[at] !== 0xff || length < 8) throw new Error(`no ADTS frame at byte ${at} of ${bytes.length}`);
    units.push(bytes.subarray(at + 7, at + length));
    at += length;
  }
  return units;
}

/**
 * A tone with a beep at every full second, G.711, 20 ms a unit. The lowest code bit is noise of a fixed generator: no two stretches of the
 * loop are alike, so that recorded samples name their place in it.
 */
function synthesiseG711(encode: (sample: number) => number): ClipAudio {
  const rate = 8000;
  const total = CLIP_SECONDS * rate;
  const samples = new Uint8Array(total);
  let noise = 0x2545f491;
  for (let at = 0; at < total; at++) {
    const seconds = at / rate;
    const beep = seconds % 1 < 0.1 ? 0.3 * Math.sin(2 * Math.PI * 1000 * seconds) : 0;
    noise ^= noise << 13;
    noise ^= noise >>> 17;
    noise ^= noise << 5;
    samples[at] = (encode(Math.round(32767 * (0.12 * Math.sin(2 * Math.PI * 330 * seconds) + beep))) & 0xfe) | (noise & 1);
  }
  const unitTicks = rate / 50;
  const units = Array.from({ length: total / unitTicks }, (_, unit) => samples.subarray(unit * unitTicks, (unit + 1) * unitTicks));
  return { clockRateHz: rate, unitTicks, units };
}

/** ITU-T G.711 A-law of a 16-bit sample. */
function encodeALaw(sample: number): number {
  const magnitude = (sample < 0 ? -sample - 1 : sample) >> 3;
  const segment = Math.max(0, 27 - Math.clz32(magnitude));
  return ((segment << 4) | ((magnitude >> Math.max(1, segment)) & 15)) ^ (sample < 0 ? 0x55 : 0xd5);
}

/** ITU-T G.711 mu-law of a 16-bit sample. */
function encodeMuLaw(sample: number): number {
  const magnitude = Math.min(Math.abs(sample) >> 2, 8158) + 33;
  const segment = 31 - Math.clz32(magnitude) - 5;
  return ~((sample < 0 ? 0x80 : 0) | (segment << 4) | ((magnitude >> (segment + 1)) & 15)) & 0xff;
}

function readClipFile(name: string): Uint8Array {
  return readFileSync(new URL(`../../fixtures/clip/${name}`, import.meta.url));
}
