import { readFile, writeFile } from "node:fs/promises";
import type { StreamKind } from "../../src/media/types.ts";
import { Box, until } from "../e2e/box.ts";
import { scan, segmentFiles } from "../e2e/segments.ts";
import { startCameraProcess } from "./camera-process.ts";

/** What differs from segment to segment; the zone is that of the recorded one. */
export interface MintIdentity {
  /** As long as that of the recorded one. */
  readonly serial: string;
  readonly run: string;
  readonly sequence: number;
  readonly channel: number;
  readonly stream: StreamKind;
  readonly startMonoMs: number;
  readonly startUtcMs: number;
  readonly clockTrusted: boolean;
}

const IDENTITY = Buffer.from("0ba0212d18da470c874672cd6f7eb8fe", "hex");
const MARK = Buffer.from("a0e183e2021447198df6a9e7be400fab", "hex");
/** Of the text in the identity, behind which its checksum lies (native/media/src/mp4/README.md). */
const TEXT_AT = 48;

/**
 * Makes files as the recorder leaves them when the process ends before the seal: header and one fragment, every checksum right. Where a segment
 * begins and whose it is are its own; the pictures are those of one that was recorded.
 */
export class SegmentMint {
  readonly #bytes: Buffer;
  readonly #headerBytes: number;
  readonly #identityAt: number;
  readonly #identitySumAt: number;
  readonly #moofAt: number;
  readonly #markAt: number;
  /** Length of the one fragment. */
  readonly durationMs: number;

  private constructor(bytes: Buffer, headerBytes: number, durationMs: number) {
    this.#bytes = bytes;
    this.#headerBytes = headerBytes;
    this.durationMs = durationMs;
    this.#identityAt = bytes.indexOf(IDENTITY) + IDENTITY.length;
    const at = this.#identityAt;
    this.#identitySumAt = at + TEXT_AT + bytes.readUInt8(at + 45) + bytes.readUInt8(at + 46);
    this.#moofAt = headerBytes;
    this.#markAt = bytes.indexOf(MARK, headerBytes) + MARK.length;
  }

  /** Records a second or two with a box of this name to have pictures. */
  static async open(name: string): Promise<SegmentMint> {
    const camera = await startCameraProcess(["--streams", "1", "--audio", "none"]);
    const box = await Box.create({ name, segment: "4s" });
    try {
      await box.serve();
      await box.add("cam1", camera.urls["cam1"] ?? "");
      await until("a durable fragment", async () => (box.logOf("cam1", "fragment.durable").length > 0 ? true : null));
      await box.end();
      const [path = ""] = await segmentFiles(box.roots[0] ?? "");
      const { fragments } = await scan(path);
      const [first] = fragments;
      if (first === undefined) throw new Error(`${path} has no fragment`);
      const bytes = await readFile(path);
      return new SegmentMint(bytes.subarray(0, first.offset + first.bytes), first.offset, first.durationMs);
    } finally {
      await box.end();
      await camera.stop();
    }
  }

  async write(path: string, identity: MintIdentity): Promise<void> {
    await writeFile(path, this.#make(identity));
  }

  #make({ serial, run, sequence, channel, stream, startMonoMs, startUtcMs, clockTrusted }: MintIdentity): Buffer {
    const bytes = Buffer.from(this.#bytes);
    const at = this.#identityAt;
    bytes.writeUInt8(clockTrusted ? 1 : 0, at + 3);
    bytes.write(run.replaceAll("-", ""), at + 4, "hex");
    bytes.writeUInt32BE(sequence, at + 20);
    bytes.writeUInt32BE(channel, at + 24);
    bytes.writeBigInt64BE(BigInt(startMonoMs), at + 28);
    bytes.writeBigInt64BE(BigInt(startUtcMs), at + 36);
    bytes.writeUInt8(stream === "sub" ? 1 : 0, at + 44);
    if (bytes.readUInt8(at + 45) !== serial.length) throw new Error(`serial ${serial} has another length`);
    bytes.write(serial, at + TEXT_AT, "latin1");
    const headerSum = crc64([bytes.subarray(0, this.#identitySumAt)]);
    headerSum.copy(bytes, this.#identitySumAt);
    bytes.writeBigInt64BE(BigInt(startUtcMs), this.#markAt + 12);
    crc64([headerSum, bytes.subarray(this.#moofAt, this.#markAt + 36)]).copy(bytes, this.#markAt + 36);
    return bytes;
  }

  /** Length of the header in bytes. */
  get headerBytes(): number {
    return this.#headerBytes;
  }
}

/** CRC-64/XZ: reflected polynomial 0xC96C5795D7870F42, all ones before and after; as 32-bit halves, since these are fast here. */
const HIGH = new Uint32Array(256);
const LOW = new Uint32Array(256);
for (let byte = 0; byte < 256; byte += 1) {
  let value = BigInt(byte);
  for (let bit = 0; bit < 8; bit += 1) value = (value & 1n) === 1n ? (value >> 1n) ^ 0xc96c5795d7870f42n : value >> 1n;
  HIGH[byte] = Number(value >> 32n);
  LOW[byte] = Number(value & 0xffffffffn);
}

/** Big-endian, as the format has it. */
export function crc64(parts: readonly Uint8Array[]): Buffer {
  let [high, low] = [0xffffffff, 0xffffffff];
  for (const part of parts) {
    for (const byte of part) {
      const index = (low ^ byte) & 0xff;
      low = ((low >>> 8) | (high << 24)) ^ (LOW[index] ?? 0);
      high = (high >>> 8) ^ (HIGH[index] ?? 0);
    }
  }
  const sum = Buffer.alloc(8);
  sum.writeUInt32BE(~high >>> 0, 0);
  sum.writeUInt32BE(~low >>> 0, 4);
  return sum;
}
