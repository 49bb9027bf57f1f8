import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { command, type Mount } from "../../faults/disks/disk-rig.ts";
import type { BlockWrite } from "./block-writes.ts";

const BLOCK_BYTES = 4096;
/** Of ext4. */
const JOURNAL_INODE = 8;

/** Whose a block of the device is. */
export type Owner = "media" | "journal" | "catalog" | "state" | "heartbeat" | "directory" | "ext4 journal" | "other";

/** Which blocks of an ext4 belong to what. Looked at more than once, since a file may be gone at the end: who came first stays. */
export class BlockOwners {
  readonly #owners = new Map<number, Owner>();

  async look({ folder, device }: Mount): Promise<void> {
    const entries = (await readdir(folder, { recursive: true, withFileTypes: true })).filter(
      (entry) => entry.isFile() || entry.isDirectory(),
    );
    const owners = new Map(
      entries.map((entry) => [join(entry.parentPath, entry.name), entry.isDirectory() ? "directory" : ownerOf(entry.name)] as const),
    );
    let owner: Owner = "other";
    for (const line of (await command("filefrag", "-e", "-v", `-b${BLOCK_BYTES}`, ...owners.keys())).split("\n")) {
      const file = /^File size of (.*) is \d+ \(/.exec(line)?.[1];
      if (file !== undefined) owner = owners.get(file) ?? "other";
      // "   0:        0..      63:      34304..     34367:     64:             last,eof"
      const [, first, last] = /^\s*\d+:\s*\d+\.\.\s*\d+:\s*(\d+)\.\.\s*(\d+):/.exec(line) ?? [];
      if (first !== undefined) this.#add(Number(first), Number(last), owner);
    }
    const blocks = (await command("debugfs", "-R", `blocks <${JOURNAL_INODE}>`, device)).trim().split(/\s+/).map(Number);
    for (const block of blocks) this.#add(block, block, "ext4 journal");
  }

  #add(first: number, last: number, owner: Owner): void {
    for (let block = first; block <= last; block += 1) if (!this.#owners.has(block)) this.#owners.set(block, owner);
  }

  /** Bytes written by owner; those of media that had been written before (blocks that fragments share) apart. */
  share(writes: readonly BlockWrite[]): Record<Owner | "media again", number> {
    const bytes = { media: 0, "media again": 0, journal: 0, catalog: 0, state: 0, heartbeat: 0, directory: 0, "ext4 journal": 0, other: 0 };
    const seen = new Set<number>();
    for (const { offset, bytes: length } of writes) {
      for (let at = offset; at < offset + length; at += BLOCK_BYTES) {
        const block = Math.floor(at / BLOCK_BYTES);
        const owner = this.#owners.get(block) ?? "other";
        bytes[owner === "media" && seen.has(block) ? "media again" : owner] += Math.min(BLOCK_BYTES, offset + length - at);
        seen.add(block);
      }
    }
    return bytes;
  }
}

function ownerOf(name: string): Owner {
  if (/\.mp4(\.open)?$/.test(name)) return "media";
  if (name === "journal.ndjson") return "journal";
  if (name === "heartbeat") return "heartbeat";
  if (/^catalog\.db/.test(name)) return "catalog";
  return /^state\.db/.test(name) ? "state" : "other";
}
