import { randomUUID } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { Fact } from "../engine/types.ts";
import type { GapCause } from "../media/types.ts";
import type { SegmentStore, StreamPlace } from "../store/types.ts";
import { SerialWork } from "./serial-work.ts";

type FactOf<K extends Fact["kind"]> = Extract<Fact, { kind: K }>;

/** Why nothing is recorded: what ledger, listings and people get to see. */
export interface Interruption {
  readonly cause: GapCause;
  readonly detail: string | null;
}

/** The segment that grows now. */
export interface OpenSegment {
  readonly run: string;
  readonly sequence: number;
  readonly startUtcMs: number;
  durableUtcMs: number;
  durableFragments: number;
  durableBytes: number;
}

interface Run {
  readonly id: string;
  nextSequence: number;
  /** True from its first segment on; a run without one leaves no trace. */
  begun: boolean;
}

/** A segment that does not end within this time is left to recovery. */
const FINISH_MS = 10_000;
const ENOSPC = 28;
const EDQUOT = 122;
/** No box that records with this software has a right clock before this instant; one without RTC starts in 1970 or at its build date. */
const EARLIEST_TRUSTED_UTC_MS = Date.UTC(2026, 0, 1);

/**
 * Keeps the books of one stream: which run and segment media goes to, and why there is none.
 * Fed with facts and session states in the order they happened; writes to the store in that order.
 */
export class RunBook {
  readonly #place: StreamPlace;
  readonly #store: SegmentStore;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #work: SerialWork;
  readonly #closing = new Set<Promise<void>>();
  #run: Run = newRun();
  #segment: OpenSegment | null = null;
  /** The end of what is recorded; null when nothing was since the start. */
  #recordedUtcMs: number | null = null;
  /** Waits for the segment in progress to end, so that the gap starts where media ends. */
  #pending: Interruption | null = null;
  #gap: Interruption | null = null;
  #onIdle: () => void = () => {};

  constructor(place: StreamPlace, store: SegmentStore, clock: Clock, log: Logger) {
    this.#place = place;
    this.#store = store;
    this.#clock = clock;
    this.#log = log;
    this.#work = new SerialWork(log);
  }

  get segment(): Readonly<OpenSegment> | null {
    return this.#segment;
  }

  get interruption(): Interruption | null {
    return this.#gap ?? this.#pending;
  }

  /** The key of the next segment to hand to the engine. */
  nextSegment(): { run: string; sequence: number } {
    return { run: this.#run.id, sequence: this.#run.nextSequence };
  }

  /** A new RTSP session is about to begin. */
  beginSession(): void {
    if (this.#run.begun) this.#run = newRun();
  }

  /** Nothing is recorded from the end of the media on. Called again with another cause, it changes the cause from now on. */
  interrupt(interruption: Interruption): void {
    if (this.#segment !== null) {
      this.#pending = interruption;
      return;
    }
    const known = this.#gap;
    if (known !== null && known.cause === interruption.cause && known.detail === interruption.detail) return;
    const fromUtcMs = known === null ? this.#recordedUtcMs : null;
    this.#gap = interruption;
    this.#work.add("gap-open", async () => {
      const from = fromUtcMs ?? this.#clock.utcMs();
      await this.#store.openGap(this.#place, from, interruption.cause, interruption.detail);
    });
    this.#endRun(interruption.cause);
  }

  opened(fact: FactOf<"segmentOpened">): void {
    const { run, sequence, root, path, startUtcMs, startMonoMs } = fact;
    const first = sequence === 0;
    if (run === this.#run.id) {
      this.#run.begun = true;
      this.#run.nextSequence = sequence + 1;
    }
    this.#segment = { run, sequence, startUtcMs, durableUtcMs: startUtcMs, durableFragments: 0, durableBytes: 0 };
    this.#pending = null;
    this.#gap = null;
    this.#log.info("segment.opened", { run, sequence });
    this.#work.add("segment-opened", async () => {
      if (first) await this.#store.beginRun({ ...this.#place, run, startUtcMs, startMonoMs, clockTrusted: this.clockTrusted() });
      await this.#store.segmentOpened(this.#place, { run, sequence }, { root, path, startUtcMs, startMonoMs });
      await this.#store.closeGap(this.#place, startUtcMs);
    });
  }

  durable(fact: FactOf<"durable">): void {
    const { run, sequence, fragments, bytes, endUtcMs } = fact;
    const segment = this.#segment;
    if (segment !== null && segment.run === run && segment.sequence === sequence) {
      segment.durableFragments = fragments;
      segment.durableBytes = bytes;
      segment.durableUtcMs = endUtcMs;
    }
    this.#store.openSegmentProgress({ run, sequence }, bytes, endUtcMs);
    this.#log.debug("fragment.durable", { run, sequence, fragments, bytes, endUtcMs });
  }

  ended(fact: FactOf<"segmentEnded">): void {
    const { run, sequence, startUtcMs, endUtcMs, durationMs, reason, fragments, bytes } = fact;
    this.#log.info("segment.ended", { run, sequence, reason, fragments, bytes, durationMs });
    this.#recordedUtcMs = endUtcMs;
    this.#clearSegment(run, sequence);
    this.#close({ run, sequence }, { startUtcMs, endUtcMs, durationMs });
    this.#settlePending();
  }

  /** The writer gave the file up; what is durable in it stays recorded. */
  failed(fact: FactOf<"segmentFailed">): Interruption {
    const { run, sequence, step, errno, message } = fact;
    const full = errno === ENOSPC || errno === EDQUOT;
    const interruption: Interruption = { cause: full ? "disk-full" : "disk-fault", detail: `${step}: ${message}` };
    this.#log.error("segment.failed", { run, sequence, step, errno, message });
    const segment = this.#segment;
    if (segment !== null && segment.run === run && segment.sequence === sequence) this.#recordedUtcMs = segment.durableUtcMs;
    this.#clearSegment(run, sequence);
    if (run === this.#run.id) this.#run.nextSequence = Math.max(this.#run.nextSequence, sequence + 1);
    this.#work.add("segment-failed", () => this.#store.segmentFailed(this.#place, { run, sequence }));
    if (this.#segment === null) this.#openGapWithinRun(interruption);
    return interruption;
  }

  /** Whole GOPs were discarded because the disk did not keep up. */
  dropped(fact: FactOf<"dropped">): void {
    const { fragments, bytes, fromUtcMs, toUtcMs } = fact;
    this.#log.error("media.dropped", { fragments, bytes, fromUtcMs, toUtcMs });
    if (this.#gap !== null) return;
    this.#work.add("gap-dropped", async () => {
      await this.#store.openGap(this.#place, fromUtcMs, "disk-fault", `${fragments} fragments dropped: the disk did not keep up`);
      await this.#store.closeGap(this.#place, toUtcMs);
    });
  }

  /** Recording was ended on purpose: waits for the segment in progress to end, ends the run, and for the store to hold it all. */
  async finish(cause: string): Promise<void> {
    if (this.#segment !== null) {
      await new Promise<void>((resolve) => {
        const cancel = this.#clock.after(FINISH_MS, resolve);
        this.#onIdle = () => {
          cancel();
          resolve();
        };
      });
    }
    this.#pending = null;
    this.#endRun(cause);
    await this.settled();
  }

  /** Resolves when the store holds everything that was reported so far, closes included. */
  async settled(): Promise<void> {
    await this.#work.drained();
    await Promise.all(this.#closing);
    await this.#work.drained();
  }

  clockTrusted(): boolean {
    return this.#clock.utcMs() >= EARLIEST_TRUSTED_UTC_MS;
  }

  #clearSegment(run: string, sequence: number): void {
    if (this.#segment?.run !== run || this.#segment.sequence !== sequence) return;
    this.#segment = null;
    this.#onIdle();
  }

  #settlePending(): void {
    const pending = this.#pending;
    if (pending === null || this.#segment !== null) return;
    this.#pending = null;
    this.interrupt(pending);
  }

  #openGapWithinRun(interruption: Interruption): void {
    if (this.#gap !== null && this.#gap.cause === interruption.cause) return;
    const fromUtcMs = this.#recordedUtcMs ?? this.#clock.utcMs();
    this.#gap = interruption;
    this.#work.add("gap-open", () => this.#store.openGap(this.#place, fromUtcMs, interruption.cause, interruption.detail));
  }

  /** Closes wait for the disk and may overlap; the row of the next segment does not wait for them. */
  #close(id: { run: string; sequence: number }, times: { startUtcMs: number; endUtcMs: number; durationMs: number }): void {
    this.#work.add("segment-close", async () => {
      const closing = this.#store.closeSegment(this.#place, id, times).catch((error: unknown) => {
        this.#log.error("segment.close-failed", { ...id, error });
      });
      this.#closing.add(closing);
      void closing.finally(() => this.#closing.delete(closing));
    });
  }

  #endRun(cause: string): void {
    const { id, begun } = this.#run;
    if (!begun) return;
    this.#run = newRun();
    const endUtcMs = this.#recordedUtcMs ?? this.#clock.utcMs();
    this.#work.add("run-end", () => this.#store.endRun(id, endUtcMs, cause));
  }
}

function newRun(): Run {
  return { id: randomUUID(), nextSequence: 0, begun: false };
}
