import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Root, StoreContext } from "../context.ts";
import { type JournalFact, type JournalLine, journalLine, parseJournal, readJournal } from "../journal.ts";
import { isDay, JOURNAL_FILE, OPEN_SUFFIX } from "../paths.ts";
import { list } from "../removal.ts";
import type { Shift } from "./shift-rows.ts";

/** Lines of one day that are appended at once. */
const MAX_LINES = 500;

/**
 * Shift 4: what the boot told by its clock of before is told again in the folders of the days it belongs to, since the old ones go with their
 * media. What was told again already is not told a third time.
 */
export async function restateJournals(context: StoreContext, root: Root, name: string, shift: Shift): Promise<void> {
  const { files, zone } = context;
  for (const day of await oldDays(context, root, name, shift)) {
    const { lines } = await readJournal(join(root.path, name, day, JOURNAL_FILE));
    const moved = new Map<string, string[]>();
    for (const line of lines) {
      const fact = movedFact(line, shift);
      if (fact === null) continue;
      const to = zone.day(fact.atUtcMs);
      const text = journalLine({ camera: line.camera, stream: line.stream }, fact, shift.boot);
      moved.set(to, [...(moved.get(to) ?? []), text]);
    }
    for (const [to, texts] of moved) {
      const path = join(root.path, name, to, JOURNAL_FILE);
      const known = new Set((await readJournal(path)).lines.map((line) => JSON.stringify(line)));
      const lacking = texts.filter((text) => !parseJournal(text).lines.some((line) => known.has(JSON.stringify(line))));
      for (let at = 0; at < lacking.length; at += MAX_LINES) {
        await files.appendDurable(root.handle, path, lacking.slice(at, at + MAX_LINES).join(""));
      }
    }
  }
}

/** Shift 6: folders that only hold what was told again, or nothing. Resolves with whether files grow in one, which will leave it later. */
export async function clearOldDays(context: StoreContext, root: Root, name: string, shift: Shift): Promise<boolean> {
  let growing = false;
  const today = context.zone.day(context.clock.utcMs());
  for (const day of await oldDays(context, root, name, shift)) {
    const path = join(root.path, name, day);
    const entries = await readdir(path);
    growing ||= entries.some((entry) => entry.endsWith(OPEN_SUFFIX));
    if (day === today || entries.some((entry) => entry !== JOURNAL_FILE)) continue;
    const { lines, unreadable } = await readJournal(join(path, JOURNAL_FILE));
    if (unreadable > 0 || lines.some((line) => movedFact(line, shift) === null)) continue;
    await context.files.removeDurable(root.handle, join(path, JOURNAL_FILE), true);
  }
  return growing;
}

/** Day folders that the boot wrote to by its clock of before. */
async function oldDays({ zone }: StoreContext, root: Root, name: string, shift: Shift): Promise<string[]> {
  const [first, last] = [zone.day(shift.sinceUtcMs), zone.day(shift.untilUtcMs)];
  return (await list(join(root.path, name))).filter((day) => isDay(day) && day >= first && day <= last).sort();
}

/** A fact that the boot told by its clock of before, as it is in truth; null for any other. */
function movedFact(line: JournalLine, { boot, byMs, sinceUtcMs }: Shift): JournalFact | null {
  const { camera: _, stream: __, boot: told, shiftMs = 0, ...fact } = line;
  if (told !== boot || shiftMs === byMs || fact.fact === "boot-moved") return null;
  const right = (utcMs: number) => (utcMs >= sinceUtcMs ? utcMs + byMs - shiftMs : utcMs);
  const common = { atUtcMs: right(fact.atUtcMs), shiftMs: byMs };
  switch (fact.fact) {
    case "gap-closed":
      return { ...fact, ...common, fromUtcMs: right(fact.fromUtcMs) };
    case "segment-damaged":
    case "segment-deleted":
      return { ...fact, ...common, fromUtcMs: right(fact.fromUtcMs), toUtcMs: right(fact.toUtcMs) };
    default:
      return { ...fact, ...common };
  }
}
