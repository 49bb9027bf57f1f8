import { type Clock, sleep } from "../base/clock.ts";
import { toRecorderError } from "../base/errors.ts";
import type { Part } from "../base/lifecycle.ts";
import type { Logger } from "../base/log.ts";
import type { RootUsage, SegmentRemoval } from "../store/types.ts";
import { capacityBytes, planRemoval, type RootGrowth } from "./plan.ts";

const PASS_MS = 1000;
/** Segments looked up at a time; a pass goes on until enough is freed. */
const BATCH = 16;
/** A root that cannot be kept within its bounds is reported this often. */
const COMPLAIN_MS = 60_000;

export interface RingOptions {
  readonly store: SegmentRemoval;
  /** How the root with this index fills. */
  readonly growth: (root: number) => RootGrowth;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Keeps every root within its limit and reserve by deleting the oldest segments, so that a full disk never stops recording. */
export class Ring implements Part {
  readonly name = "ring";
  readonly #options: RingOptions;
  readonly #capacities = new Map<number, number>();
  readonly #complainedMonoMs = new Map<number, number>();
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
        await sleep(clock, PASS_MS, signal);
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
    for (const usage of await this.#options.store.usage()) {
      this.#capacities.set(usage.root, capacityBytes(usage));
      const excess = planRemoval(usage, this.#options.growth(usage.root));
      if (excess > 0) await this.#free(usage, excess);
    }
  }

  async #free(usage: RootUsage, excessBytes: number): Promise<void> {
    const { store, log } = this.#options;
    let freed = 0;
    let deleted = 0;
    const rule = usage.limitBytes !== null && usage.availableBytes > usage.reserveBytes ? "limit" : "reserve";
    while (freed < excessBytes && !this.#stopping.signal.aborted) {
      const oldest = await store.oldestSegments(usage.root, BATCH);
      const before = deleted;
      for (const segment of oldest) {
        if (freed >= excessBytes) break;
        if (!(await store.deleteSegment(segment, rule))) continue;
        freed += segment.bytes;
        deleted += 1;
      }
      if (deleted === before) break;
    }
    if (deleted > 0) log.info("ring.deleted", { root: usage.path, rule, segments: deleted, bytes: freed });
    if (freed < excessBytes) this.#complain(usage, excessBytes - freed);
  }

  #complain(usage: RootUsage, missingBytes: number): void {
    const now = this.#options.clock.monoMs();
    const last = this.#complainedMonoMs.get(usage.root);
    if (last !== undefined && now - last < COMPLAIN_MS) return;
    this.#complainedMonoMs.set(usage.root, now);
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
