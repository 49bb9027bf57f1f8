import { join } from "node:path";
import { sleep } from "../../base/clock.ts";
import type { ClockMove } from "../../base/clock-watch.ts";
import { RecorderError, toRecorderError } from "../../base/errors.ts";
import type { StoredSegment } from "../catalog.ts";
import { exists, type Root, type StoreContext, writeJournal } from "../context.ts";
import type { Gaps } from "../gaps.ts";
import type { Lanes } from "../lanes.ts";
import { type Leases, segmentKey } from "../leases.ts";
import { parseSegmentFile } from "../paths.ts";
import { SEGMENT_CLOSED } from "../schema.ts";
import type { SegmentId } from "../types.ts";
import { clearOldDays, restateJournals } from "./shift-journals.ts";
import {
  dropRenaming,
  dropShift,
  endOfOthers,
  enterRenamed,
  planRenaming,
  readRenamings,
  readShifts,
  type Shift,
  type ShiftState,
  shiftedBoots,
  shiftedRuns,
  shiftRows,
  writeShift,
} from "./shift-rows.ts";

/** A catalog that takes no commit, or a file that cannot be renamed now, is tried again after so long. */
const RETRY_MS = 5000;
/** Of the time that renaming takes, so many times is left to others. */
const PAUSES = 4;
/** A time just before the clock was moved may be taken for one after it by this much. */
const SLACK_MS = 10_000;

export interface ShiftOptions {
  readonly context: StoreContext;
  readonly gaps: Gaps;
  readonly leases: Leases;
  /** Steps of one segment. */
  readonly lanes: Lanes;
  /** Whether the catalog is being rebuilt: nothing is moved meanwhile. */
  readonly isRebuilding: () => boolean;
}

/** Moves what a boot recorded by a clock that was not trusted to where it belongs: the procedure Shift of README.md. */
export class Shifts {
  readonly #options: ShiftOptions;
  readonly #context: StoreContext;
  readonly #stopping = new AbortController();
  /** Segments whose file is being renamed. */
  readonly #renaming = new Set<string>();
  #work: Promise<void> = Promise.resolve();

  constructor(options: ShiftOptions) {
    this.#options = options;
    this.#context = options.context;
  }

  isRenaming(id: SegmentId): boolean {
    return this.#renaming.has(segmentKey(id));
  }

  /** Shift 1 and 2. Resolves with by how much what was recorded is moved: not over what other boots have recorded. */
  async prepare(move: ClockMove): Promise<number> {
    const { catalog, boot } = this.#context;
    const { recorded, fromUtcMs, toUtcMs } = move;
    if (recorded === null) throw new RecorderError("INTERNAL", "a clock that was trusted takes nothing along");
    if (this.#options.isRebuilding())
      throw new RecorderError("CONFLICT", "the catalog is being rebuilt: what was recorded is moved after it");
    const { sinceUtcMs } = recorded;
    const wished = { boot, sinceUtcMs, untilUtcMs: fromUtcMs + SLACK_MS, byMs: recorded.byMs };
    const others = await endOfOthers(catalog.reader, wished, toUtcMs);
    const shift = { ...wished, byMs: Math.max(wished.byMs, others - sinceUtcMs) };
    await catalog.write((transaction) => writeShift(transaction, { ...shift, entered: false }), true);
    await this.#journal(shift, toUtcMs);
    return shift.byMs;
  }

  /** Shift 3, asked for in the turn in which the clock moves, and tried until it is done; 4 to 7 go on behind it. */
  moved(move: ClockMove): Promise<void> {
    const { catalog, boot } = this.#context;
    if (move.recorded === null) return Promise.resolve();
    const { sinceUtcMs, byMs } = move.recorded;
    const shift = { boot, sinceUtcMs, untilUtcMs: move.fromUtcMs + SLACK_MS, byMs };
    catalog.shift.tell(move);
    this.#options.gaps.shift(sinceUtcMs, byMs);
    return this.#enter(shift);
  }

  /** What was left: rows of a boot that is over, and files on these roots that were being renamed. Part of Start 3. */
  async recover(roots: readonly Root[]): Promise<void> {
    const { catalog, boot } = this.#context;
    for (const state of await readShifts(catalog.reader)) {
      if (state.entered || state.boot === boot) continue;
      await this.#journal(state, state.untilUtcMs + state.byMs);
      await this.#commit(state);
    }
    for (const renaming of await readRenamings(catalog.reader)) {
      const root = roots.find(({ id }) => id === renaming.root);
      // Of a root that is absent nothing can be said yet.
      if (root === undefined) continue;
      const done = await exists(join(root.path, renaming.name, renaming.to));
      await catalog.write((transaction) => (done ? enterRenamed(transaction, renaming) : dropRenaming(transaction, renaming)), true);
    }
  }

  /** Goes on, while recording does, with what `recover` leaves. Also with files of a rebuilt catalog, which knows their runs' clocks but not their names. */
  async resume(): Promise<void> {
    const { reader } = this.#context.catalog;
    const states = (await readShifts(reader)).filter(({ entered }) => entered);
    for (const state of states) this.#behind(state, true);
    for (const shift of await shiftedBoots(reader)) {
      if (!states.some(({ boot }) => boot === shift.boot)) this.#behind({ ...shift, entered: true }, false);
    }
  }

  /** Resolves when nothing is left to be done, or cannot be done now. */
  async settled(): Promise<void> {
    await this.#work;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#work;
  }

  /** Never resolves where the store stops before. */
  async #enter(shift: Shift): Promise<void> {
    const { catalog, clock, log } = this.#context;
    for (;;) {
      let entered = false;
      try {
        await this.#commit(shift, () => {
          entered = true;
          catalog.shift.enter(shift.byMs);
        });
        this.#behind({ ...shift, entered: true }, true);
        return;
      } catch (error) {
        if (entered) catalog.shift.leave(shift.byMs);
        log.error("shift.not-committed", { boot: shift.boot, error: toRecorderError(error) });
      }
      await sleep(clock, RETRY_MS, this.#stopping.signal).catch(() => new Promise<never>(() => {}));
    }
  }

  #commit(shift: Shift, entering: () => void = () => {}): Promise<void> {
    const { catalog, log } = this.#context;
    const committed = catalog.write(async (transaction) => {
      entering();
      await shiftRows(transaction, shift);
      await writeShift(transaction, { ...shift, entered: true });
    }, true);
    return committed.then(() => log.info("shift.entered", { ...shift }));
  }

  /** Shift 2: every stream is told, on every root that has its folder. */
  async #journal({ boot, sinceUtcMs, byMs }: Shift, atUtcMs: number): Promise<void> {
    const { catalog, roots } = this.#context;
    const fact = { fact: "boot-moved", atUtcMs, shiftMs: byMs, byMs, sinceUtcMs } as const;
    for (const stream of await catalog.streams(null, null)) {
      for (const root of roots) {
        if (await exists(join(root.path, stream.name))) await writeJournal(this.#context, root, stream, fact, undefined, boot);
      }
    }
  }

  #behind(state: ShiftState, journals: boolean): void {
    this.#work = this.#work
      .then(() => this.#finish(state, journals))
      .catch((error: unknown) => {
        if (this.#stopping.signal.aborted) return;
        this.#context.log.error("shift.not-finished", { boot: state.boot, error: toRecorderError(error) });
      });
  }

  /** Shift 4 to 7. What is absent, leased, refused or still grows is left to the next start. */
  async #finish(state: ShiftState, journals: boolean): Promise<void> {
    const { catalog, log, clock } = this.#context;
    const beganMonoMs = clock.monoMs();
    const report = { boot: state.boot, renamed: 0, left: 0 };
    if (journals) await this.#eachFolder((root, name) => restateJournals(this.#context, root, name, state));
    if (state.byMs !== 0) {
      for (const { run } of await shiftedRuns(catalog.reader, state)) await this.#renameRun(run, state, report);
    }
    if (!journals) return;
    await this.#eachFolder(async (root, name) => {
      if (await clearOldDays(this.#context, root, name, state)) report.left += 1;
    });
    if (report.left === 0) await catalog.write((transaction) => dropShift(transaction, state.boot), true);
    log.info("shift.finished", { ...report, byMs: state.byMs, tookMs: clock.monoMs() - beganMonoMs });
  }

  async #eachFolder(work: (root: Root, name: string) => Promise<unknown>): Promise<void> {
    const names = new Set((await this.#context.catalog.streams(null, null)).map(({ name }) => name));
    for (const root of this.#context.roots) {
      for (const name of names) {
        this.#stopping.signal.throwIfAborted();
        await work(root, name);
      }
    }
  }

  async #renameRun(run: string, { byMs }: Shift, report: { renamed: number; left: number }): Promise<void> {
    const { catalog, clock, log } = this.#context;
    const segments = await catalog.segmentsOf(run);
    for (const segment of byMs > 0 ? segments.toReversed() : segments) {
      this.#stopping.signal.throwIfAborted();
      const root = this.#context.roots.find(({ id }) => id === segment.root);
      while (this.#options.isRebuilding()) await sleep(clock, RETRY_MS, this.#stopping.signal);
      const beganMonoMs = clock.monoMs();
      try {
        const done = root === undefined ? "left" : await this.#alone(segment, () => this.#rename(root, segment));
        if (done === "left") report.left += 1;
        if (done === "renamed") report.renamed += 1;
        const pauseMs = (clock.monoMs() - beganMonoMs) * PAUSES;
        if (done === "renamed" && pauseMs > 0) await sleep(clock, pauseMs, this.#stopping.signal);
      } catch (error) {
        this.#stopping.signal.throwIfAborted();
        report.left += 1;
        log.error("shift.not-renamed", { run, sequence: segment.sequence, file: segment.file, error: toRecorderError(error) });
      }
    }
  }

  #alone<T>(id: SegmentId, work: () => Promise<T>): Promise<T> {
    const key = segmentKey(id);
    this.#renaming.add(key);
    return this.#options.lanes.run(key, work).finally(() => this.#renaming.delete(key));
  }

  /** Shift 5 for one file. */
  async #rename(root: Root, { run, sequence }: SegmentId): Promise<"right" | "renamed" | "left"> {
    const { catalog, files, names, zone } = this.#context;
    const segment = await catalog.segment({ run, sequence });
    if (segment?.state !== SEGMENT_CLOSED) return "right";
    const named = parseSegmentFile(segment.file);
    if (named === null || named.stamp === zone.stamp(segment.startUtcMs)) return "right";
    const final = await names.hold(root, segment.name, segment.startUtcMs, named.durationMs, segment.file);
    try {
      if (final.file === segment.file) return "right";
      if (this.#options.leases.holds(segment)) return "left";
      const renaming = { run, sequence, root: segment.root, name: segment.name, to: final.file };
      await catalog.write((transaction) => planRenaming(transaction, renaming), true);
      await files.renameDurable(root.handle, path(root, segment, segment.file), path(root, segment, final.file));
      await catalog.write((transaction) => enterRenamed(transaction, renaming));
      return "renamed";
    } finally {
      final.release();
    }
  }
}

const path = (root: Root, { name }: StoredSegment, file: string): string => join(root.path, name, file);
