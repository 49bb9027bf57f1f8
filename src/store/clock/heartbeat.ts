import { type FileHandle, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Heartbeat } from "../../base/clock-watch.ts";
import { toRecorderError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";

export const HEARTBEAT_FILE = "heartbeat";
/** Two records take turns, so that one that a power cut tore leaves the other. A sector each, so that few are torn. */
const RECORD_BYTES = 512;
const SYNC_MS = 5000;

/**
 * The newest heartbeat in the state directory: overwritten in place each time, synced each 5 s and whenever the trust in the clock changes.
 * A disk that hangs skips beats; one that fails is logged once, until it takes one again.
 */
export class HeartbeatFile {
  /** What the process before left; null if there is none that is whole. */
  readonly last: Heartbeat | null;
  readonly #path: string;
  readonly #log: Logger;
  #file: FileHandle | null = null;
  #count: number;
  #synced: { readonly monoMs: number; readonly trusted: boolean } | null = null;
  #writing: Promise<void> | null = null;
  #failed = false;
  #closed = false;

  private constructor(path: string, log: Logger, newest: Beat | null) {
    this.#path = path;
    this.#log = log;
    this.last = newest?.heartbeat ?? null;
    this.#count = newest?.count ?? 0;
  }

  /** Reads what is there and changes nothing. */
  static async open(stateDir: string, log: Logger): Promise<HeartbeatFile> {
    const path = join(stateDir, HEARTBEAT_FILE);
    const bytes = await readFile(path).catch(() => Buffer.alloc(0));
    const records = [0, RECORD_BYTES].map((offset) => parse(bytes.subarray(offset, offset + RECORD_BYTES).toString("utf8")));
    const newest = records.reduce((best, record) => ((record?.count ?? -1) > (best?.count ?? -1) ? record : best), null);
    return new HeartbeatFile(path, log, newest);
  }

  beat(heartbeat: Heartbeat): void {
    if (this.#writing !== null || this.#closed) return;
    this.#writing = this.#write(heartbeat)
      .then(() => {
        this.#failed = false;
      })
      .catch((error: unknown) => {
        if (!this.#failed) this.#log.error("heartbeat.failed", { path: this.#path, error: toRecorderError(error) });
        this.#failed = true;
      })
      .finally(() => {
        this.#writing = null;
      });
  }

  /** Resolves when no beat is under way. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.settled();
    await this.#file?.close();
    this.#file = null;
  }

  async #write(heartbeat: Heartbeat): Promise<void> {
    this.#file ??= await openOrCreate(this.#path);
    this.#count += 1;
    await this.#file.write(record({ count: this.#count, heartbeat }), 0, RECORD_BYTES, (this.#count % 2) * RECORD_BYTES);
    const { monoMs, trusted } = heartbeat;
    if (this.#synced !== null && this.#synced.trusted === trusted && monoMs - this.#synced.monoMs < SYNC_MS) return;
    await this.#file.datasync();
    this.#synced = { monoMs, trusted };
  }
}

interface Beat {
  readonly count: number;
  readonly heartbeat: Heartbeat;
}

/** `<crc32> <JSON>`, padded with spaces. */
function record(beat: Beat): Buffer {
  const text = JSON.stringify(beat);
  return Buffer.from(`${checksum(text)} ${text}`.padEnd(RECORD_BYTES - 1).concat("\n"));
}

function parse(text: string): Beat | null {
  const body = text.slice(9).trimEnd();
  if (text.slice(0, 8) !== checksum(body)) return null;
  return JSON.parse(body);
}

const checksum = (text: string): string => Bun.hash.crc32(text).toString(16).padStart(8, "0");

async function openOrCreate(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r+");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return open(path, "wx", 0o600);
  }
}
