import { dirname, join } from "node:path";
import type { Alarms } from "../../base/alarms.ts";
import { sleep } from "../../base/clock.ts";
import { RecorderError, toRecorderError } from "../../base/errors.ts";
import type { SegmentScan } from "../../engine/types.ts";
import type { StoredSegment } from "../catalog.ts";
import { type Root, type StoreContext, writeJournal } from "../context.ts";
import { damageOf } from "../index/verify.ts";
import { boundedDetail } from "../journal.ts";
import type { Lanes } from "../lanes.ts";
import { segmentKey } from "../leases.ts";
import { Pace } from "../pace.ts";
import { SEGMENT_CLOSED } from "../schema.ts";
import type { ScrubStatus, SegmentId } from "../types.ts";
import { type Found, newerThan, olderThan, readCursors, type ScrubCursor, writeCursors } from "./scrub-rows.ts";

/** Share of time that the scrub may read. */
export const SCRUB_SHARE = 0.05;
/** A round over a root begins this long after the one before began, at least. */
const ROUND_MS = 24 * 3_600_000;
/** How long nothing is looked for where everything is read. */
const IDLE_MS = 60_000;
/** How far it has got is kept this often: what a restart reads again costs less than writing it each time. */
const SAVE_MS = 60_000;
/** Segments remembered that cannot be read; a disk with more has other alarms. */
const MAX_UNREADABLE = 256;

export interface ScrubOptions {
  readonly context: StoreContext;
  readonly alarms: Pick<Alarms, "raise" | "clear">;
  /** Steps of one segment that must not overtake each other. */
  readonly lanes: Lanes;
}

/** Reads again what is recorded, to find what the disk does not hold any more: Scrub of README.md. */
export class Scrub {
  readonly #options: ScrubOptions;
  readonly #stopping = new AbortController();
  /** By UUID of the root. */
  #cursors: Map<string, ScrubCursor> | null = null;
  #pace: Pace | null = null;
  #running: Promise<void> | null = null;
  #savedMonoMs = 0;
  #turn = 0;
  #read = { segments: 0, bytes: 0 };
  #damaged = 0;
  /** By `segmentKey`: what the disk refused to read when it was asked last. */
  readonly #unreadable = new Map<string, StoredSegment>();
  readonly #raised = new Set<string>();

  constructor(options: ScrubOptions) {
    this.#options = options;
  }

  /** Behind READY: goes on until `stop`. */
  begin(): void {
    this.#running ??= this.#stopping.signal.aborted ? null : this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new RecorderError("NOT_RUNNING", "the service stops"));
    await this.#running;
  }

  status(): ScrubStatus {
    const { roots } = this.#options.context;
    const rounds = roots.flatMap(({ path, uuid }) => {
      const cursor = this.#cursors?.get(uuid);
      return cursor === undefined ? [] : [{ path, beganUtcMs: cursor.beganUtcMs, reachedUtcMs: cursor.at?.startUtcMs ?? null }];
    });
    const { workedMs, elapsedMs } = this.#pace ?? { workedMs: 0, elapsedMs: 0 };
    const share = elapsedMs === 0 ? 0 : workedMs / elapsedMs;
    return { ...this.#read, damaged: this.#damaged, unreadable: this.#unreadable.size, share, allowedShare: SCRUB_SHARE, rounds };
  }

  /** Says again which roots hold segments whose bytes are not right; where none is left the alarm ends. */
  async recount(): Promise<void> {
    const { catalog } = this.#options.context;
    const counts = new Map<number, { damaged: number; unreadable: number }>();
    const of = (root: number) => counts.get(root) ?? { damaged: 0, unreadable: 0 };
    for (const { root, segments } of await catalog.damagedByRoot()) counts.set(root, { ...of(root), damaged: segments });
    for (const [key, segment] of this.#unreadable) {
      if (!(await this.#isStill(segment))) this.#unreadable.delete(key);
      else counts.set(segment.root, { ...of(segment.root), unreadable: of(segment.root).unreadable + 1 });
    }
    this.#damaged = [...counts.values()].reduce((sum, { damaged }) => sum + damaged, 0);
    const raised = new Set<string>();
    for (const { id, path } of await catalog.roots()) {
      const { damaged, unreadable } = of(id);
      const parts = [
        ...(damaged > 0 ? [`${damaged} recorded segments are damaged and are not played`] : []),
        ...(unreadable > 0 ? [`${unreadable} cannot be read`] : []),
      ];
      if (parts.length === 0) continue;
      raised.add(path);
      this.#raised.add(path);
      this.#options.alarms.raise("segment-damaged", path, parts.join(", "));
    }
    for (const path of this.#raised) {
      if (raised.has(path)) continue;
      this.#raised.delete(path);
      this.#options.alarms.clear("segment-damaged", path);
    }
  }

  /** A segment has been deleted. */
  async deleted(id: SegmentId): Promise<void> {
    this.#unreadable.delete(segmentKey(id));
    if (this.#raised.size > 0) await this.recount();
  }

  /** Reads the segment whose turn it is, `rest` between its pieces. False if no root has one now. */
  async verifyNext(rest: () => Promise<void>): Promise<boolean> {
    const { roots } = this.#options.context;
    for (let asked = 0; asked < roots.length; asked += 1) {
      this.#turn += 1;
      const root = roots[this.#turn % roots.length];
      if (root === undefined) continue;
      const cursor = await this.#cursor(root);
      const before = { ...cursor };
      const segment = await this.#next(root, cursor);
      if (segment === null) continue;
      try {
        await this.#verify(root, segment, rest);
      } catch (error) {
        // What was not read to its end has its turn again.
        Object.assign(cursor, before);
        throw error;
      }
      return true;
    }
    return false;
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#options.context;
    const { signal } = this.#stopping;
    const pace = new Pace(clock, SCRUB_SHARE);
    this.#pace = pace;
    this.#savedMonoMs = clock.monoMs();
    while (!signal.aborted) {
      try {
        await this.recount();
        const found = await this.verifyNext(() => pace.rest(signal));
        if (clock.monoMs() - this.#savedMonoMs >= SAVE_MS) await this.#save();
        await pace.rest(signal);
        if (!found) await pace.idle(sleep(clock, IDLE_MS, signal));
      } catch (error) {
        if (signal.aborted) break;
        log.error("scrub.failed", { error: toRecorderError(error) });
        await pace.idle(sleep(clock, IDLE_MS, signal)).catch(() => undefined);
      }
    }
    await this.#save().catch((error: unknown) => log.warn("scrub.not-saved", { error: toRecorderError(error) }));
  }

  async #save(): Promise<void> {
    const cursors = this.#cursors;
    if (cursors === null) return;
    const { catalog, clock } = this.#options.context;
    this.#savedMonoMs = clock.monoMs();
    await catalog.write((transaction) => writeCursors(transaction, cursors));
  }

  async #cursor({ uuid }: Root): Promise<ScrubCursor> {
    this.#cursors ??= await readCursors(this.#options.context.catalog.reader);
    const cursor: ScrubCursor = this.#cursors.get(uuid) ?? { beganUtcMs: null, newest: null, at: null, fresh: false };
    this.#cursors.set(uuid, cursor);
    return cursor;
  }

  /** What was recorded last and the round that goes back in time take turns; null if there is nothing to read now. */
  async #next(root: Root, cursor: ScrubCursor): Promise<Found | null> {
    const { catalog, clock } = this.#options.context;
    const fresh = cursor.newest === null ? null : await newerThan(catalog.reader, root.id, cursor.newest);
    cursor.fresh = !cursor.fresh;
    if (fresh !== null && cursor.fresh) {
      cursor.newest = fresh.place;
      return fresh;
    }
    const found = await this.#goOn(root, cursor);
    if (found !== null) return found;
    if (fresh !== null) {
      cursor.newest = fresh.place;
      return fresh;
    }
    const now = clock.utcMs();
    const sinceMs = cursor.beganUtcMs === null ? ROUND_MS : now - cursor.beganUtcMs;
    // A clock that was set back puts off no round.
    if (sinceMs >= 0 && sinceMs < ROUND_MS) return null;
    const newest = await olderThan(catalog.reader, root.id, null);
    if (newest === null) return null;
    Object.assign(cursor, { beganUtcMs: now, newest: newest.place, at: newest.place });
    return newest;
  }

  async #goOn(root: Root, cursor: ScrubCursor): Promise<Found | null> {
    if (cursor.at === null) return null;
    const found = await olderThan(this.#options.context.catalog.reader, root.id, cursor.at);
    cursor.at = found?.place ?? null;
    return found;
  }

  async #verify(root: Root, segment: StoredSegment, rest: () => Promise<void>): Promise<void> {
    const { files, log, roots } = this.#options.context;
    const path = join(root.path, segment.name, segment.file);
    const key = segmentKey(segment);
    let scan: SegmentScan;
    try {
      scan = await files.scanSegment(path, rest);
    } catch (error) {
      this.#stopping.signal.throwIfAborted();
      if (!(await this.#isStill(segment)) || !roots.includes(root)) return;
      const { code, message } = toRecorderError(error);
      if (code === "NOT_FOUND") return log.warn("scrub.missing", { path });
      log.error("scrub.unreadable", { path, error: message });
      if (this.#unreadable.size < MAX_UNREADABLE) this.#unreadable.set(key, segment);
      return;
    }
    this.#read.segments += 1;
    this.#read.bytes += scan.head?.bytes ?? segment.bytes;
    this.#unreadable.delete(key);
    const damage = boundedDetail(damageOf(scan, segment));
    if (damage !== segment.damage) await this.#options.lanes.run(key, () => this.#mark(root, segment, damage));
  }

  async #mark(root: Root, segment: StoredSegment, damage: string | null): Promise<void> {
    const { catalog, clock, files, log } = this.#options.context;
    const { run, sequence, file, bytes, startUtcMs: fromUtcMs, endUtcMs: toUtcMs } = segment;
    if (!(await this.#isStill(segment))) return;
    try {
      await files.checkRoot(root.handle);
    } catch {
      return; // read from what has taken the root's place
    }
    const path = join(root.path, segment.name, file);
    if (damage === null) log.info("segment.whole-again", { path });
    else log.error("segment.damaged", { path, damage });
    const what = { run, sequence, damage, file, fromUtcMs, toUtcMs, bytes };
    const fact = { fact: "segment-damaged", atUtcMs: clock.utcMs(), ...what } as const;
    await writeJournal(this.#options.context, root, segment, fact, dirname(file));
    await catalog.markDamage(segment, damage);
    await this.recount();
  }

  /** Closed, and under the name it had: else deleted or renamed meanwhile. */
  async #isStill(segment: StoredSegment): Promise<boolean> {
    const row = await this.#options.context.catalog.segment(segment);
    return row?.state === SEGMENT_CLOSED && row.file === segment.file && row.root === segment.root;
  }
}
