/**
 * The stamp in every access unit of the virtual camera: an SEI NAL unit, user_data_unregistered (ITU-T H.264 D.1.7), first in the unit.
 * It names the picture (loop, frame) and the moment it was sent, so that a test can prove which pictures a file holds.
 * All numbers are hex digits in ASCII: the NAL unit never needs emulation prevention, and can be patched in place.
 */

/** Fixed UUID of the stamp. No byte is 0, so that no start code can arise. */
const STAMP_UUID = Uint8Array.from([0x45, 0x61, 0x73, 0x79, 0x52, 0x4d, 0x53, 0x2d, 0x66, 0x72, 0x61, 0x6d, 0x65, 0x2d, 0x76, 0x31]);
const LOOP_DIGITS = 8;
const FRAME_DIGITS = 8;
const TIME_DIGITS = 16;
const DIGITS = LOOP_DIGITS + FRAME_DIGITS + TIME_DIGITS;
/** NAL header, payload type, payload size. */
const HEAD_BYTES = 3;
/** Where the digits begin within the NAL unit. */
export const STAMP_DIGITS_OFFSET = HEAD_BYTES + STAMP_UUID.length;
/** Size of the whole NAL unit. */
export const STAMP_NAL_BYTES = STAMP_DIGITS_OFFSET + DIGITS + 1;

/** Which picture an access unit shows. */
export interface FrameStamp {
  /** How often the clip had been played before, on the timeline of the client. */
  readonly loop: number;
  /** Picture within the clip, from 0. */
  readonly frame: number;
  /** UTC microseconds at which the camera sent it. */
  readonly sentUtcUs: number;
}

/** A stamp NAL unit with all numbers 0. */
export function createStampNal(): Uint8Array {
  const nal = new Uint8Array(STAMP_NAL_BYTES).fill(0x30);
  nal.set([0x06, 5, STAMP_UUID.length + DIGITS]);
  nal.set(STAMP_UUID, HEAD_BYTES);
  nal[STAMP_NAL_BYTES - 1] = 0x80;
  return nal;
}

/** Overwrites the numbers of a stamp; `offset` is that of its first digit. */
export function patchStamp(bytes: Uint8Array, offset: number, loop: number, frame: number, sentUtcUs: number): void {
  const seconds = Math.floor(sentUtcUs / 2 ** 32);
  writeHex(bytes, offset, loop);
  writeHex(bytes, offset + LOOP_DIGITS, frame);
  writeHex(bytes, offset + LOOP_DIGITS + FRAME_DIGITS, seconds);
  writeHex(bytes, offset + LOOP_DIGITS + FRAME_DIGITS + 8, sentUtcUs - seconds * 2 ** 32);
}

/** The stamp of a NAL unit, or null if it is any other. */
export function readStamp(nal: Uint8Array): FrameStamp | null {
  if (nal.length < STAMP_NAL_BYTES || ((nal[0] ?? 0) & 0x1f) !== 6) return null;
  for (let at = 0; at < STAMP_UUID.length; at++) {
    if (nal[HEAD_BYTES + at] !== STAMP_UUID[at]) return null;
  }
  const digits = String.fromCharCode(...nal.subarray(STAMP_DIGITS_OFFSET, STAMP_DIGITS_OFFSET + DIGITS));
  if (!/^[0-9a-f]+$/.test(digits)) return null;
  const time = LOOP_DIGITS + FRAME_DIGITS;
  return {
    loop: Number.parseInt(digits.slice(0, LOOP_DIGITS), 16),
    frame: Number.parseInt(digits.slice(LOOP_DIGITS, time), 16),
    sentUtcUs: Number.parseInt(digits.slice(time, time + 8), 16) * 2 ** 32 + Number.parseInt(digits.slice(time + 8), 16),
  };
}

/** Eight lower-case hex digits of a number below 2^32. */
function writeHex(bytes: Uint8Array, offset: number, value: number): void {
  for (let at = offset + 7, rest = value; at >= offset; at--, rest >>>= 4) {
    const digit = rest & 15;
    bytes[at] = digit + (digit < 10 ? 0x30 : 0x57);
  }
}
