import { readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type ErrorCode, toRecorderError } from "../base/errors.ts";
import type { StoredSegment } from "./catalog.ts";
import { exists, type Root, type StoreContext, writeJournal } from "./context.ts";
import type { DeletionRule } from "./journal.ts";
import { isDay, JOURNAL_FILE } from "./paths.ts";

/** Answers of a disk that keeps a file: read-only, failing, not ours to write. */
const REFUSALS: readonly ErrorCode[] = ["DISK_FAULT", "DISK_FULL", "PERMISSION_DENIED"];

/**
 * Delete 1 to 6 of README.md. False if the segment is not closed (any more). Where the disk keeps the file the mark is taken back: a disk
 * that turned read-only would else lose one listing after the other, and at the next start all the files.
 */
export async function deleteSegment(context: StoreContext, root: Root, segment: StoredSegment, rule: DeletionRule): Promise<boolean> {
  if (!(await context.catalog.markDeleting(segment, rule))) return false;
  const { run, sequence, startUtcMs, endUtcMs, bytes } = segment;
  const fact = {
    fact: "segment-deleted",
    atUtcMs: context.clock.utcMs(),
    rule,
    run,
    sequence,
    fromUtcMs: startUtcMs,
    toUtcMs: endUtcMs,
    bytes,
  } as const;
  await writeJournal(context, root, segment, fact, dirname(segment.file));
  try {
    await finishDelete(context, root, segment);
  } catch (error) {
    const refused = REFUSALS.includes(toRecorderError(error).code) && (await exists(join(root.path, segment.name, segment.file)));
    if (refused) await context.catalog.unmarkDeleting(segment);
    throw error;
  }
  return true;
}

/** Delete 4 to 6: also what start does for a segment that was marked. */
export async function finishDelete(context: StoreContext, root: Root, segment: StoredSegment): Promise<void> {
  const folder = join(root.path, segment.name);
  await context.files.removeDurable(root.handle, join(folder, segment.file), true);
  await pruneDays(context, root, folder, dirname(segment.file));
  await context.catalog.dropSegment(segment);
}

/**
 * Journals live as long as the media around them: when the last segment of a past day has gone, the journal of that day goes, and those of
 * earlier days without media. The catalog keeps gaps and hours; only one rebuilt from files forgets days that have no files.
 */
async function pruneDays(context: StoreContext, root: Root, folder: string, day: string): Promise<void> {
  const today = context.zone.day(context.clock.utcMs());
  if (day >= today || !(await holdsOnlyJournal(join(folder, day)))) return;
  const days = (await list(folder)).filter((entry) => isDay(entry) && entry <= day);
  for (const past of days) {
    const path = join(folder, past);
    if (await holdsOnlyJournal(path)) await context.files.removeDurable(root.handle, join(path, JOURNAL_FILE), true);
  }
}

async function holdsOnlyJournal(path: string): Promise<boolean> {
  const entries = await list(path);
  return entries.length === 1 && entries[0] === JOURNAL_FILE;
}

/** Names in a folder; none if it is gone. */
export async function list(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw error;
  }
}
