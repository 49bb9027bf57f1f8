import { readFile } from "node:fs/promises";
import { GAP_CAUSES, type GapCause, type StreamKey } from "../media/types.ts";

/** Why a segment was deleted. */
export type DeletionRule = "limit" | "reserve" | "age" | "command";

/**
 * A fact that no segment holds. `atUtcMs` is when it happened, not when it was written. `shiftMs`, absent for 0: how much of what its boot
 * was moved by (`boot-moved`) the times of the line have in them. The rest is still to be added; in whatever order the lines are found.
 * `clockTrusted` is what the files of the run say.
 */
export type JournalFact = { readonly atUtcMs: number; readonly shiftMs?: number } & (
  | { readonly fact: "run-started"; readonly run: string; readonly startMonoMs: number; readonly clockTrusted: boolean }
  | { readonly fact: "run-ended"; readonly run: string; readonly cause: string }
  | { readonly fact: "gap-opened"; readonly cause: GapCause; readonly detail: string | null }
  /** `fromUtcMs` and `cause` repeat what its opening said, so that the line stands alone. */
  | { readonly fact: "gap-closed"; readonly fromUtcMs: number; readonly cause: GapCause }
  | {
      readonly fact: "segment-deleted";
      readonly rule: DeletionRule;
      readonly run: string;
      readonly sequence: number;
      readonly fromUtcMs: number;
      readonly toUtcMs: number;
      readonly bytes: number;
    }
  /** What is wrong with the bytes of a sealed file; null: they are what was written after all. Of several the last counts. */
  | {
      readonly fact: "segment-damaged";
      readonly run: string;
      readonly sequence: number;
      readonly damage: string | null;
      /** What its file may not tell any more; `file` below the stream's folder. */
      readonly file: string;
      readonly fromUtcMs: number;
      readonly toUtcMs: number;
      readonly bytes: number;
    }
  /**
   * The box learnt what time it was. By its boot's clock of before, which began at `sinceUtcMs`, everything was `byMs` too early: lines of
   * this boot, and the files of its runs that say that their clock is not trusted. A later one of the same boot replaces an earlier one.
   */
  | { readonly fact: "boot-moved"; readonly byMs: number; readonly sinceUtcMs: number }
);

/** A line as it is read back. `boot`: as `RunStart.boot` names it; null on lines written before it was noted. */
export type JournalLine = StreamKey & JournalFact & { readonly boot: string | null };

export interface JournalContent {
  readonly lines: readonly JournalLine[];
  /** Lines that are not ours or not whole; a last one cut by a power loss is expected. */
  readonly unreadable: number;
}

const FORMAT = 1;
/** How every line begins; inside a string its quotes would be escaped. */
const BEGIN = '{"v":';
export const MAX_LINE_BYTES = 2048;
/** Text inside a fact, in UTF-16 units: even escaped six-fold it stays inside a line. */
export const MAX_DETAIL = 200;
/** A day of one stream with a change each second would stay below this. */
const MAX_JOURNAL_BYTES = 32 * 1024 * 1024;

type FieldType = (value: unknown) => boolean;
const text: FieldType = (value) => typeof value === "string";
const integer: FieldType = (value) => Number.isSafeInteger(value);
const cause: FieldType = (value) => (GAP_CAUSES as readonly unknown[]).includes(value);

/** What a line must have to be of its fact, beside what all have: a journal may have rotted like any file. */
const FIELDS: Readonly<Record<JournalFact["fact"], Readonly<Record<string, FieldType>>>> = {
  "run-started": { run: text, startMonoMs: integer, clockTrusted: (value) => typeof value === "boolean" },
  "run-ended": { run: text, cause: text },
  "gap-opened": { cause, detail: (value) => value === null || text(value) },
  "gap-closed": { cause, fromUtcMs: integer },
  "segment-deleted": { rule: text, run: text, sequence: integer, fromUtcMs: integer, toUtcMs: integer },
  "segment-damaged": {
    run: text,
    sequence: integer,
    damage: (value) => value === null || text(value),
    file: text,
    fromUtcMs: integer,
    toUtcMs: integer,
    bytes: integer,
  },
  "boot-moved": { byMs: integer, sinceUtcMs: integer },
};

/** One line, with its end. The camera is named, since a folder tells serial and channel only; the boot, since only within one do all clocks agree. */
export function journalLine(key: StreamKey, fact: JournalFact, boot: string): string {
  return `${JSON.stringify({ v: FORMAT, camera: key.camera, stream: key.stream, boot, ...fact })}\n`;
}

/** A sentence as long as facts and rows may hold it. */
export function boundedDetail(detail: string | null): string | null {
  return detail === null || detail.length <= MAX_DETAIL ? detail : `${detail.slice(0, MAX_DETAIL - 1)}…`;
}

/** Reads what a journal holds; an absent one is empty. What a crash left of the last line is counted, not an error. */
export async function readJournal(path: string): Promise<JournalContent> {
  let text: string;
  try {
    const bytes = await readFile(path);
    text = bytes.subarray(0, MAX_JOURNAL_BYTES).toString("utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { lines: [], unreadable: 0 };
    throw error;
  }
  return parseJournal(text);
}

export function parseJournal(text: string): JournalContent {
  const lines: JournalLine[] = [];
  let unreadable = 0;
  for (const line of text.split("\n")) {
    if (line === "") continue;
    if (line.length > 2 * MAX_LINE_BYTES) {
      unreadable += 1;
      continue;
    }
    // What a crash cut off has no end of its own: the next line begins on it.
    const begin = Math.max(0, line.lastIndexOf(BEGIN));
    const fact = parseLine(line.slice(begin));
    if (fact !== null) lines.push(fact);
    if (fact === null || begin > 0) unreadable += 1;
  }
  return { lines, unreadable };
}

function parseLine(line: string): JournalLine | null {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== "object" || value === null) return null;
    const fields = value as Record<string, unknown>;
    const fact = fields["fact"];
    if (fields["v"] !== FORMAT || typeof fact !== "string" || !Object.hasOwn(FIELDS, fact) || !integer(fields["atUtcMs"])) return null;
    if (fields["shiftMs"] !== undefined && !integer(fields["shiftMs"])) return null;
    if (!Object.entries(FIELDS[fact as JournalFact["fact"]]).every(([name, fits]) => fits(fields[name]))) return null;
    if (typeof fields["camera"] !== "string" || (fields["stream"] !== "main" && fields["stream"] !== "sub")) return null;
    const { v: _, boot, ...told } = fields;
    return { ...told, boot: typeof boot === "string" ? boot : null } as unknown as JournalLine;
  } catch {
    return null;
  }
}
