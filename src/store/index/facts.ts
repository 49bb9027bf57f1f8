import { join } from "node:path";
import type { GapCause } from "../../media/types.ts";
import type { Root } from "../context.ts";
import { type DeletionRule, type JournalLine, readJournal } from "../journal.ts";
import { segmentKey } from "../leases.ts";
import { JOURNAL_FILE, parseStreamName } from "../paths.ts";
import type { SegmentDamage, StreamPlace } from "../types.ts";

/** A run as journals tell it; what they do not tell is null. */
export interface RunFacts {
  readonly place: StreamPlace;
  begin: { readonly startUtcMs: number; readonly startMonoMs: number; readonly clockTrusted: boolean; readonly boot: string | null } | null;
  end: { readonly atUtcMs: number; readonly cause: string } | null;
}

/** `toUtcMs` null: the journal does not say when it ended. */
export interface GapFacts {
  readonly fromUtcMs: number;
  readonly toUtcMs: number | null;
  readonly cause: GapCause;
  readonly detail: string | null;
}

export interface DeletionFacts {
  readonly run: string;
  readonly sequence: number;
  readonly rule: DeletionRule;
  readonly fromUtcMs: number;
  readonly toUtcMs: number;
}

/** A mark, and what the marked file may not tell any more. */
export interface DamageFacts extends SegmentDamage {
  readonly place: StreamPlace;
  readonly fromUtcMs: number;
  readonly toUtcMs: number;
  readonly bytes: number;
}

interface Opening {
  readonly cause: GapCause;
  readonly detail: string | null;
}

interface Closing {
  readonly cause: GapCause;
  readonly toUtcMs: number;
}

export class StreamFacts {
  readonly place: StreamPlace;
  readonly deletions: DeletionFacts[] = [];
  /** By start. Of several that tell of one start the last counts: it was written again because the catalog had forgotten the first. */
  readonly openings = new Map<number, Opening>();
  readonly closings = new Map<number, Closing[]>();

  constructor(place: StreamPlace) {
    this.place = place;
  }

  addClosing(fromUtcMs: number, closing: Closing): void {
    this.closings.set(fromUtcMs, [...(this.closings.get(fromUtcMs) ?? []), closing]);
  }

  /**
   * In order of start. Where a gap was closed more than once, since the catalog had forgotten it, it lasted until media began: `mediaFrom`
   * tells the first of it from an instant on, null if there is none.
   */
  async gaps(mediaFrom: (utcMs: number) => Promise<number | null>): Promise<readonly GapFacts[]> {
    const gaps: GapFacts[] = [];
    for (const [fromUtcMs, closings] of this.closings) {
      const cause = closings.at(-1)?.cause ?? "unknown";
      const ends = closings.filter((closing) => closing.cause === cause).map((closing) => closing.toUtcMs);
      const media = ends.length > 1 ? ((await mediaFrom(fromUtcMs)) ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
      const fitting = ends.filter((end) => end <= media);
      const toUtcMs = fitting.length > 0 ? Math.max(...fitting) : Math.min(...ends);
      const opening = this.openings.get(fromUtcMs);
      const detail = opening?.cause === cause ? opening.detail : null;
      if (toUtcMs > fromUtcMs) gaps.push({ fromUtcMs, toUtcMs, cause, detail });
    }
    for (const [fromUtcMs, { cause, detail }] of this.openings) {
      const closed = this.closings.get(fromUtcMs)?.some((closing) => closing.cause === cause) ?? false;
      if (!closed) gaps.push({ fromUtcMs, toUtcMs: null, cause, detail });
    }
    return gaps.sort((a, b) => a.fromUtcMs - b.fromUtcMs);
  }
}

/** A line with times that may have to be moved. */
type ToldLine = Exclude<JournalLine, { readonly fact: "boot-moved" }>;

/** How a boot's clock of before is put right. */
interface Move {
  readonly byMs: number;
  readonly sinceUtcMs: number;
}

/** What the journals of some folders tell together: read them all, then `settle`. Lines are added in the order they were written in. */
export class Facts {
  readonly runs = new Map<string, RunFacts>();
  /** By camera and folder name. */
  readonly streams = new Map<string, StreamFacts>();
  /** By `segmentKey`. */
  readonly damages = new Map<string, DamageFacts>();
  readonly #damagedFiles = new Map<string, string>();
  /** Lines that nobody can read, or that are of another stream than their folder. */
  unreadable = 0;
  readonly #cameras = new Map<string, string>();
  readonly #moves = new Map<string, Move>();
  #lines: { readonly place: StreamPlace; readonly line: ToldLine }[] = [];

  /** Reads the journal of a day; one that is not there tells nothing. */
  async read(root: Root, name: string, day: string): Promise<void> {
    const { lines, unreadable } = await readJournal(join(root.path, name, day, JOURNAL_FILE));
    this.unreadable += unreadable;
    for (const line of lines) this.#add(name, line);
  }

  /** Times are right only now: a boot that was moved says so after what it moves. */
  settle(): void {
    for (const { place, line } of this.#lines) this.#settle(place, line);
    this.#lines = [];
  }

  /** Who recorded under this folder name last. */
  cameraOf(name: string): string | null {
    return this.#cameras.get(name) ?? null;
  }

  /** What is told of a damaged file by its path below the stream's folder; undefined of one that is not. */
  damageAt(name: string, file: string): DamageFacts | undefined {
    const facts = this.damages.get(this.#damagedFiles.get(`${name}/${file}`) ?? "");
    return facts?.damage === null ? undefined : facts;
  }

  /** By how much later than its files say the times of a run are. */
  shiftMs(run: string, clockTrusted: boolean): number {
    const boot = this.runs.get(run)?.begin?.boot ?? null;
    return clockTrusted || boot === null ? 0 : (this.#moves.get(boot)?.byMs ?? 0);
  }

  /** Whether the times of a run are right: its clock was trusted, or what it recorded has been moved since. */
  isTrusted(run: string, clockTrusted: boolean): boolean {
    const boot = this.runs.get(run)?.begin?.boot ?? null;
    return clockTrusted || (boot !== null && this.#moves.has(boot));
  }

  #add(name: string, line: JournalLine): void {
    const parsed = parseStreamName(name);
    if (parsed === null || parsed.stream !== line.stream) {
      this.unreadable += 1;
      return;
    }
    const { camera } = line;
    const { channel, stream } = parsed;
    this.#cameras.set(name, camera);
    if (line.fact === "boot-moved") {
      if (line.boot !== null) this.#moves.set(line.boot, { byMs: line.byMs, sinceUtcMs: line.sinceUtcMs });
    } else {
      this.#lines.push({ place: { camera, stream, channel, name }, line });
    }
  }

  #settle(place: StreamPlace, line: ToldLine): void {
    const key = `${place.camera}/${place.name}`;
    const facts = this.streams.get(key) ?? new StreamFacts(place);
    this.streams.set(key, facts);
    const move = line.boot === null ? undefined : this.#moves.get(line.boot);
    const right = (utcMs: number) => (move !== undefined && utcMs >= move.sinceUtcMs ? utcMs + move.byMs - (line.shiftMs ?? 0) : utcMs);
    const atUtcMs = right(line.atUtcMs);
    switch (line.fact) {
      case "run-started": {
        const { startMonoMs, clockTrusted, boot } = line;
        this.#run(line.run, facts.place).begin = { startUtcMs: atUtcMs, startMonoMs, clockTrusted, boot };
        break;
      }
      case "run-ended":
        this.#run(line.run, facts.place).end = { atUtcMs, cause: line.cause };
        break;
      case "gap-opened":
        facts.openings.set(atUtcMs, { cause: line.cause, detail: line.detail });
        break;
      case "gap-closed":
        facts.addClosing(right(line.fromUtcMs), { cause: line.cause, toUtcMs: atUtcMs });
        break;
      case "segment-damaged": {
        const { run, sequence, damage, file, bytes } = line;
        const [fromUtcMs, toUtcMs] = [right(line.fromUtcMs), right(line.toUtcMs)];
        const segment = segmentKey({ run, sequence });
        this.damages.set(segment, { place, run, sequence, damage, fromUtcMs, toUtcMs, bytes });
        this.#damagedFiles.set(`${place.name}/${file}`, segment);
        break;
      }
      case "segment-deleted": {
        const { run, sequence, rule } = line;
        facts.deletions.push({ run, sequence, rule, fromUtcMs: right(line.fromUtcMs), toUtcMs: right(line.toUtcMs) });
      }
    }
  }

  #run(run: string, place: StreamPlace): RunFacts {
    const known = this.runs.get(run);
    if (known !== undefined) return known;
    const facts: RunFacts = { place, begin: null, end: null };
    this.runs.set(run, facts);
    return facts;
  }
}
