import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

const SECTOR_BYTES = 512;
const TRACING = "/sys/kernel/tracing";
/** Of each CPU. An event takes some hundred bytes. */
const TRACE_KIB = 16 * 1024;
/** The kernel's own device numbers have so many bits below the major. */
const MINOR_BITS = 20;

/** What a block device did since it exists. Source: Linux, Documentation/block/stat.rst. */
export interface DeviceCounters {
  readonly reads: number;
  readonly writes: number;
  readonly writtenBytes: number;
  readonly flushes: number;
}

/** @param device such as /dev/loop0 */
export function deviceCounters(device: string): DeviceCounters {
  const fields = readFileSync(`/sys/block/${basename(device)}/stat`, "utf8")
    .trim()
    .split(/\s+/)
    .map(Number);
  return { reads: fields[0] ?? 0, writes: fields[4] ?? 0, writtenBytes: (fields[6] ?? 0) * SECTOR_BYTES, flushes: fields[15] ?? 0 };
}

/** A write as the device got it. */
export interface BlockWrite {
  readonly offset: number;
  readonly bytes: number;
}

/** Notes the writes of one device by the kernel's trace events. Needs root, and tracefs mounted where distributions mount it. */
export class BlockTrace {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
    process.once("exit", () => this.stop());
  }

  /** Null where there is no tracefs. */
  static start(name: string, device: string): BlockTrace | null {
    if (!existsSync(join(TRACING, "instances"))) return null;
    const folder = join(TRACING, "instances", `easyrms-${name}`);
    if (existsSync(folder)) rmdirSync(folder);
    mkdirSync(folder);
    const [major = 0, minor = 0] = readFileSync(`/sys/block/${basename(device)}/dev`, "utf8")
      .split(":")
      .map(Number);
    const event = join(folder, "events", "block", "block_rq_issue");
    writeFileSync(join(folder, "buffer_size_kb"), String(TRACE_KIB));
    writeFileSync(join(event, "filter"), `dev == ${major * 2 ** MINOR_BITS + minor}`);
    writeFileSync(join(event, "enable"), "1");
    return new BlockTrace(folder);
  }

  /** The writes so far, in order. Throws where the buffer was too small for them. */
  writes(): readonly BlockWrite[] {
    const text = readFileSync(join(this.#folder, "trace"), "utf8");
    const [, held, written] = /entries-in-buffer\/entries-written: (\d+)\/(\d+)/.exec(text) ?? [];
    if (held === undefined || held !== written) throw new Error(`the trace holds ${held} of ${written} events`);
    // "…: block_rq_issue: 7,8 WS 4096 () 1024 + 8 none,0,0 [easyrms-write0]"; F stands for a flush, FW for a write behind one.
    return [...text.matchAll(/block_rq_issue: \S+ F?W\S* \d+ \(\S*\) (\d+) \+ (\d+) /g)].map(([, sector, sectors]) => ({
      offset: Number(sector) * SECTOR_BYTES,
      bytes: Number(sectors) * SECTOR_BYTES,
    }));
  }

  /** Safe to call twice; the end of the process calls it too. */
  stop(): void {
    if (existsSync(this.#folder)) rmdirSync(this.#folder);
  }
}
