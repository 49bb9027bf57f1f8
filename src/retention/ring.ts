import type { Alarms } from "../base/alarms.ts";
import { type Clock, sleep, untilNext } from "../base/clock.ts";
import { type RecorderError, toRecorderError } from "../base/errors.ts";
import type { Part } from "../base/lifecycle.ts";
import type { Logger } from "../base/log.ts";
import type { RootUsage, SegmentId, SegmentRemoval, SegmentRow } from "../store/types.ts";
import { capacityBytes } from "../store/usage.ts";
import { planRemoval, type RootGrowth } from "./plan.ts";

const PASS_MS = 1000;
/** How long a pass waits for a root; one that takes longer is left to its work, and the others get theirs. */
const PATIENCE_MS = 1000;
/** Segments looked up at a time; a pass goes on until enough is freed. */
const BATCH = 16;
/** A root that cannot be kept within its bounds is reported this often. */
const COMPLAIN_MS = 60_000;
/** Refusals of a root in one pass after which it is left alone for a while: a disk that turned read-only refuses everything. */
const MAX_REFUSALS = 2;
const REFUSED_PAUSE_MS = 30_000;
/** Segments remembered for having been refused, so that younger ones get their turn; beyond it all are tried afresh. */
const MAX_REFUSED = 64;

export interface RingOptions {
  readonly store: SegmentRemoval;
  /** How the root with this index fills. */
  readonly growth: (root: number) => RootGrowth;
  readonly alarms: Alarms;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Keeps every root within its limit and reserve by deleting the oldest segments, so that a full disk never stops recording. */
export class Ring implements Part {
  readonly name = "ring";
  readonly #options: RingOptions;
  readonly #capacities = new Map<number, number>();
  readonly #complainedMonoMs = new Map<number, number>();
  readonly #pausedUntilMonoMs = new Map<number, number>();
  readonly #refused = new Set<string>();
  /** Roots that are being freed. */
  readonly #working = new Map<number, Promise<void>>();
  /** Roots without room, by path. */
  #full: ReadonlySet<string> = new Set();
  readonly #stopping = new AbortController();
  #loop: Promise<void> = Promise.resolve();

  constructor(options: RingOptions) {
    this.#options = options;
  }

  /** Makes room before recording begins, then goes on every second. */
  async start(): Promise<void> {
    await this.pass();
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await sleep(clock, untilNext(clock, PASS_MS), signal);
        await this.pass();
      } catch (error) {
        if (!signal.aborted) log.error("ring.pass-failed", { error: toRecorderError(error) });
      }
    }
  }

  /** Room for segments on a root as of the last pass, bytes; strangers' files shrink it. */
  capacityBytes(root: number): number {
    return this.#capacities.get(root) ?? Number.POSITIVE_INFINITY;
  }

  /** One look at every root. */
  async pass(): Promise<void> {
    const usages = await this.#options.store.usage();
    for (const path of this.#full) {
      if (!usages.some((usage) => usage.path === path)) this.#setFull(path, null);
    }
    await Promise.all(usages.map((usage) => this.#look(usage)));
  }

  async #look(usage: RootUsage): Promise<void> {
    const { clock } = this.#options;
    this.#capacities.set(usage.root, capacityBytes(usage));
    const excess = planRemoval(usage, this.#options.growth(usage.root));
    if (excess <= 0) this.#setFull(usage.path, null);
    if (excess <= 0 || clock.monoMs() < (this.#pausedUntilMonoMs.get(usage.root) ?? 0) || this.#working.has(usage.root)) return;
    const work = this.#free(usage, excess)
      .catch((error: unknown) => this.#fail(usage, toRecorderError(error)))
      .finally(() => this.#working.delete(usage.root));
    this.#working.set(usage.root, work);
    const done = new AbortController();
    const patience = sleep(clock, PATIENCE_MS, done.signal).catch(() => undefined);
    await Promise.race([work, patience]);
    done.abort();
  }

  async #free(usage: RootUsage, excessBytes: number): Promise<void> {
    const { store, log } = this.#options;
    let freed = 0;
    let deleted = 0;
    let refusals = 0;
    const rule = usage.limitBytes !== null && usage.availableBytes > usage.reserveBytes ? "limit" : "reserve";
    while (freed < excessBytes && !this.#stopping.signal.aborted) {
      const oldest = await store.oldestSegments(usage.root, BATCH + this.#refused.size);
      const before = deleted;
      for (const segment of oldest.filter((candidate) => !this.#refused.has(keyOf(candidate)))) {
        if (freed >= excessBytes) break;
        try {
          if (!(await store.deleteSegment(segment, rule))) continue;
        } catch (error) {
          refusals += 1;
          if (!isRefusal(toRecorderError(error)) || refusals >= MAX_REFUSALS) throw error;
          this.#refuse(segment);
          continue;
        }
        freed += segment.bytes;
        deleted += 1;
      }
      if (deleted === before) break;
    }
    if (deleted > 0) log.info("ring.deleted", { root: usage.path, rule, segments: deleted, bytes: freed });
    if (freed >= excessBytes) this.#setFull(usage.path, null);
    else if (!this.#stopping.signal.aborted) this.#complain(usage, excessBytes - freed);
  }

  #refuse(segment: SegmentRow): void {
    if (this.#refused.size >= MAX_REFUSED) this.#refused.clear();
    this.#refused.add(keyOf(segment));
  }

  /** A disk that keeps its files is left alone for a while; everything else, a full database above all, is tried again in the next pass. */
  #fail(usage: RootUsage, error: RecorderError): void {
    if (isRefusal(error)) {
      this.#pausedUntilMonoMs.set(usage.root, this.#options.clock.monoMs() + REFUSED_PAUSE_MS);
      this.#setFull(usage.path, `there is no room for more, and the disk keeps what should go: ${error.message}`);
    }
    if (this.#mayComplain(usage)) this.#options.log.error("ring.not-deleted", { root: usage.path, error });
  }

  #mayComplain(usage: RootUsage): boolean {
    const now = this.#options.clock.monoMs();
    const last = this.#complainedMonoMs.get(usage.root);
    if (last !== undefined && now - last < COMPLAIN_MS) return false;
    this.#complainedMonoMs.set(usage.root, now);
    return true;
  }

  /** `why`: one sentence; null where there is room. */
  #setFull(path: string, why: string | null): void {
    const { alarms } = this.#options;
    if (why === null) alarms.clear("disk-full", path);
    else alarms.raise("disk-full", path, why);
    this.#full = new Set(why === null ? [...this.#full].filter((full) => full !== path) : [...this.#full, path]);
  }

  #complain(usage: RootUsage, missingBytes: number): void {
    const { availableBytes, reserveBytes } = usage;
    this.#setFull(
      usage.path,
      `nothing is left to delete and ${missingBytes} bytes are missing: ${availableBytes} are free, ${reserveBytes} are to stay free`,
    );
    if (!this.#mayComplain(usage)) return;
    this.#options.log.warn("ring.no-room", {
      root: usage.path,
      missingBytes,
      segmentBytes: usage.segmentBytes,
      limitBytes: usage.limitBytes,
      availableBytes: usage.availableBytes,
      reserveBytes: usage.reserveBytes,
    });
  }
}

const isRefusal = (error: RecorderError): boolean => error.code === "DISK_FAULT" || error.code === "PERMISSION_DENIED";

const keyOf = (segment: SegmentId): string => `${segment.run}/${segment.sequence}`;
