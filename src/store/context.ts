import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { RecorderError, toRecorderError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { StreamKey } from "../media/types.ts";
import type { Catalog } from "./catalog.ts";
import { type JournalFact, journalLine } from "./journal.ts";
import { JOURNAL_FILE, laterStamp, type SiteZone, segmentFile } from "./paths.ts";
import type { FileSteps } from "./types.ts";

/** A root that is open, or was: what it is does not change while its handle lives. */
export interface Root {
  /** Index in the configuration. */
  readonly index: number;
  /** The catalog's key. */
  readonly id: number;
  /** As in its marker file. */
  readonly uuid: string;
  readonly path: string;
  readonly limitBytes: number | null;
  readonly reserveBytes: number;
  /** What file steps and the engine know it by while it is open. */
  readonly handle: number;
}

/** What the procedures work with. */
export interface StoreContext {
  readonly serial: string;
  /** The boot this process runs in. */
  readonly boot: string;
  /** Those that are present now; a list that was read does not change. */
  readonly roots: readonly Root[];
  readonly catalog: Catalog;
  readonly files: FileSteps;
  readonly zone: SiteZone;
  readonly clock: Clock;
  readonly log: Logger;
  readonly names: FinalNames;
}

/** Free seconds looked at before giving up: an hour that daylight saving repeats, full of one-second segments. */
const MAX_SECONDS = 4000;
/** Instants that share a stamp are at most this far apart: no zone shifts by more. */
const FOLD_MS = 3 * 3_600_000;

/**
 * Chooses the final names of segments (Close 1), so that no two of a stream share a stamp: where daylight saving or a clock step would make
 * them, the next free second is taken. A name is held until `release`, since its row comes later.
 */
export class FinalNames {
  readonly #held = new Set<string>();
  readonly #zone: SiteZone;
  readonly #catalog: Catalog;

  constructor(zone: SiteZone, catalog: Catalog) {
    this.#zone = zone;
    this.#catalog = catalog;
  }

  /** `own`: what the file is called now, which it may keep. */
  async hold(
    root: Root,
    name: string,
    startUtcMs: number,
    durationMs: number,
    own: string | null = null,
  ): Promise<{ readonly file: string; release(): void }> {
    const range = { fromUtcMs: startUtcMs - FOLD_MS, toUtcMs: startUtcMs + FOLD_MS };
    const taken = new Set((await this.#catalog.filesBetween(name, root.id, range)).map(({ file }) => stampOf(file)));
    const stamp = this.#zone.stamp(startUtcMs);
    for (let seconds = 0; seconds <= MAX_SECONDS; seconds += 1) {
      const candidate = laterStamp(stamp, seconds);
      const file = segmentFile(candidate, durationMs);
      if (file === own) return { file, release() {} };
      const key = `${root.id}/${name}/${candidate}`;
      if (taken.has(candidate) || this.#held.has(key)) continue;
      this.#held.add(key);
      if (await exists(join(root.path, name, file))) {
        this.#held.delete(key);
        continue;
      }
      return { file, release: () => this.#held.delete(key) };
    }
    throw new RecorderError("CONFLICT", `${name}: no free second in the ${MAX_SECONDS} s from ${stamp} on`, { name, stamp });
  }
}

const stampOf = (file: string): string => file.slice(9, 23);

export async function exists(path: string): Promise<boolean> {
  return (await sizeOf(path)) !== null;
}

/** Bytes of a file, null if there is none. */
export async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    throw new RecorderError("DISK_FAULT", `${path}: ${toRecorderError(error).message}`, { path }, { cause: error });
  }
}

/**
 * Writes a fact to the journal of `day`, the day it happened if not told otherwise. The catalog has it as well, so a disk that takes no more is logged and stops nothing:
 * room on a full disk comes from deleting, which is journalled itself. Nothing is written where no root is present.
 */
export async function writeJournal(
  context: StoreContext,
  root: Root | null,
  place: StreamKey & { readonly name: string },
  fact: JournalFact,
  day?: string,
  boot = context.boot,
) {
  if (root === null) return;
  const path = join(root.path, place.name, day ?? context.zone.day(fact.atUtcMs), JOURNAL_FILE);
  const shiftMs = context.catalog.shift.toldMs;
  const line = journalLine(place, shiftMs === 0 ? fact : { shiftMs, ...fact }, boot);
  try {
    await context.files.appendDurable(root.handle, path, line);
  } catch (error) {
    context.log.warn("journal.failed", { path, fact: fact.fact, error });
  }
}
