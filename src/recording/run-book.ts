import type { Clock } from "../base/clock.ts";
import { type ClockMove, isBefore } from "../base/clock-watch.ts";
import type { Logger } from "../base/log.ts";
import type { Fact, SegmentEnd } from "../engine/types.ts";
import { type GapCause, JOIN_MS } from "../media/types.ts";
import type { SegmentStore, StreamPlace } from "../store/types.ts";
import { type Run, Runs } from "./runs.ts";
import { SerialWork } from "./serial-work.ts";

type FactOf<K extends Fact["kind"]> = Extract<Fact, { kind: K }>;

/** Of the two bounds of a gap. */
const ROUNDING_MS = 1;

/** Why nothing is recorded: what ledger, listings and people get to see. */
export interface Interruption {
  readonly cause: GapCause;
  readonly detail: string | null;
}

export interface RunBookOptions {
  readonly place: StreamPlace;
  readonly store: SegmentStore;
  readonly clock: Clock;
  /** Whether the wall clock is known to be right. */
  readonly clockTrusted: () => boolean;
  readonly log: Logger;
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

/** How long the end of recording waits for the last segment to end, and for the store to hold it; what takes longer is left to recovery. */
const FINISH_MS = 10_000;
const ENOSPC = 28;
const EDQUOT = 122;
/** Ends of a segment that the next one follows at once. */
const GOES_ON: readonly SegmentEnd[] = ["cut", "parameter-change", "time-jump", "clock-step"];
const DROPPING: Interruption = { cause: "disk-fault", detail: "media is dropped: the disk does not keep up" };

/**
 * Keeps the books of one stream: which run and segment media goes to, and why there is none.
 * Fed with facts and session states in the order they happened; writes to the store in that order.
 */
export class RunBook {
  readonly #place: StreamPlace;
  readonly #store: SegmentStore;
  readonly #clock: Clock;
  readonly #clockTrusted: () => boolean;
  readonly #log: Logger;
  readonly #work: SerialWork;
  readonly #closing = new Set<Promise<void>>();
  readonly #runs = new Runs();
  #segment: OpenSegment | null = null;
  /** The last segment was cut, and the one that goes on with its media has not been reported yet. */
  #betweenSegments = false;
  /** Every moment of the stream before this one is recorded or in a gap; begins with the book. */
  #accountedUtcMs: number;
  /** Waits for the segment in progress to end, so that the gap starts where media ends. */
  #pending: Interruption | null = null;
  #gap: Interruption | null = null;
  /** The wall clock was moved, and what is accounted for ends by the clock before. */
  #move: ClockMove | null = null;
  /** The clock before was never trusted: times by it are moved along. */
  #moved: ClockMove | null = null;
  /** By how much they were so far. */
  #shiftMs = 0;
  /** Media is being dropped before the disk; its gap is open in the store. */
  #dropping = false;
  #onIdle: () => void = () => {};

  constructor({ place, store, clock, clockTrusted, log }: RunBookOptions) {
    this.#place = place;
    this.#store = store;
    this.#clock = clock;
    this.#clockTrusted = clockTrusted;
    this.#log = log;
    this.#work = new SerialWork(log);
    this.#accountedUtcMs = clock.utcMs();
  }

  get segment(): Readonly<OpenSegment> | null {
    return this.#segment;
  }

  /** True while media goes to the disk: not in between sessions, and not while it is dropped. */
  get recording(): boolean {
    return (this.#segment !== null || this.#betweenSegments) && !this.#dropping;
  }

  get interruption(): Interruption | null {
    return this.#dropping ? DROPPING : (this.#gap ?? this.#pending);
  }

  /** The next segment to hand to the engine. */
  nextSegment(): { run: string; sequence: number; clockTrusted: boolean } {
    const { current } = this.#runs;
    if (!current.begun) current.clockTrusted = this.#clockTrusted();
    return { run: current.id, sequence: current.nextSequence, clockTrusted: current.clockTrusted };
  }

  /** A new RTSP session is about to begin: its media is another run, also if the last one's has not reached the disk yet. */
  beginSession(): void {
    this.#runs.begin();
  }

  /** The session is over: nothing is recorded from the end of its media on. Called again with another cause, it changes the cause from now on. */
  interrupt(interruption: Interruption): void {
    this.#runs.current.endCause ??= interruption.cause;
    this.#betweenSegments = false;
    if (this.#segment !== null) {
      this.#pending = interruption;
      return;
    }
    this.#openGap(interruption);
    this.#endRun(this.#runs.current);
  }

  /** The wall clock was moved. Media up to the next random access point is still stamped by the one before. */
  clockMoved(move: ClockMove): void {
    if (move.recorded !== null) {
      this.#shift(move, move.recorded.byMs);
      return;
    }
    const recording = this.#segment !== null || this.#betweenSegments;
    this.#split(move);
    if (recording && !this.#dropping) this.#move = move;
    else this.#accountedUtcMs = move.toUtcMs;
  }

  /** Everything so far was stamped by a clock that was never trusted. */
  #shift(move: ClockMove, byMs: number): void {
    this.#moved = move;
    this.#shiftMs += byMs;
    this.#accountedUtcMs += byMs;
    for (const run of this.#runs.all()) if (run.begun) run.shiftMs += byMs;
    const segment = this.#segment;
    if (segment === null) return;
    this.#segment = { ...segment, startUtcMs: segment.startUtcMs + byMs, durableUtcMs: segment.durableUtcMs + byMs };
  }

  /** Media from here on is stamped by a clock that was moved: it is another run. The last segment of the one before may not have ended yet. */
  clockStepped(): void {
    const before = this.#runs.current;
    before.endCause ??= "clock-step";
    this.#runs.begin();
    if (this.#segment?.run !== before.id) this.#endRun(before);
  }

  /** Media arrives and no root can take it. A segment that still grows is left to its own end. */
  withhold(reason: Interruption): void {
    if (this.#segment !== null) return;
    this.#betweenSegments = false;
    this.#openGap(reason);
  }

  opened(fact: FactOf<"segmentOpened">): void {
    const { run, sequence, root, path, startUtcMs, startMonoMs } = fact;
    const owner = this.#runs.of(run);
    const first = !owner.begun;
    if (first) owner.shiftMs = this.#shiftOf(fact);
    owner.begun = true;
    owner.nextSequence = sequence + 1;
    owner.lastUtcMs = startUtcMs;
    const beganUtcMs = startUtcMs + owner.shiftMs;
    // The writer goes on in order: of runs before it nothing more is to come.
    for (const other of this.#runs.all()) if (other !== owner) this.#endRun(other);
    this.#segment = { run, sequence, startUtcMs: beganUtcMs, durableUtcMs: beganUtcMs, durableFragments: 0, durableBytes: 0 };
    this.#betweenSegments = false;
    this.#endDropping();
    this.#endMove(fact);
    // Media of a session that ended while the disk was slow: what ended it holds from the end of this segment on.
    this.#pending = owner.endCause === null ? null : (this.#gap ?? this.#pending);
    this.#gap = null;
    this.#log.info("segment.opened", { run, sequence });
    const { clockTrusted } = owner;
    // A gap no longer than rounding is none.
    const goesOn = Math.abs(beganUtcMs - this.#accountedUtcMs) <= ROUNDING_MS;
    const toUtcMs = this.#stamp(goesOn ? this.#accountedUtcMs : beganUtcMs);
    this.#work.add("segment-opened", async () => {
      if (first) await this.#store.beginRun({ ...this.#place, run, startUtcMs, startMonoMs, clockTrusted });
      await this.#store.segmentOpened(this.#place, { run, sequence }, { root, path, startUtcMs, startMonoMs });
      await this.#store.closeGap(this.#place, toUtcMs());
    });
  }

  durable(fact: FactOf<"durable">): void {
    const { run, sequence, fragments, bytes, endUtcMs } = fact;
    const segment = this.#segment;
    if (segment !== null && segment.run === run && segment.sequence === sequence) {
      segment.durableFragments = fragments;
      segment.durableBytes = bytes;
      segment.durableUtcMs = endUtcMs + this.#runs.of(run).shiftMs;
    }
    this.#store.openSegmentProgress({ run, sequence }, bytes, endUtcMs);
    this.#log.debug("fragment.durable", { run, sequence, fragments, bytes, endUtcMs });
  }

  ended(fact: FactOf<"segmentEnded">): void {
    const { run, sequence, startUtcMs, endUtcMs, durationMs, reason, fragments, bytes } = fact;
    this.#log.info("segment.ended", { run, sequence, reason, fragments, bytes, durationMs });
    const owner = this.#runs.of(run);
    this.#account(endUtcMs + owner.shiftMs);
    owner.lastUtcMs = endUtcMs;
    const successor = reason === "clock-step" ? this.#runs.current : owner;
    this.#betweenSegments = GOES_ON.includes(reason) && successor.endCause === null;
    this.#close({ run, sequence }, { startUtcMs, endUtcMs, durationMs });
    this.#clearSegment(owner, sequence);
  }

  /** The writer gave the file up; what is durable in it stays recorded. */
  failed(fact: FactOf<"segmentFailed">): void {
    const { run, sequence, step, errno, message } = fact;
    const full = errno === ENOSPC || errno === EDQUOT;
    const interruption: Interruption = { cause: full ? "disk-full" : "disk-fault", detail: `${step}: ${message}` };
    // A disk that stays full is tried twice a second: what has been said once is not said again.
    const known = this.#gap !== null && this.#gap.cause === interruption.cause && this.#gap.detail === interruption.detail;
    this.#log[known ? "debug" : "error"]("segment.failed", { run, sequence, step, errno, message });
    const owner = this.#runs.of(run);
    const segment = this.#segment;
    if (segment !== null && segment.run === run && segment.sequence === sequence) {
      this.#account(segment.durableUtcMs);
      owner.lastUtcMs = segment.durableUtcMs - owner.shiftMs;
    }
    owner.nextSequence = Math.max(owner.nextSequence, sequence + 1);
    this.#betweenSegments = false;
    this.#work.add("segment-failed", () => this.#store.segmentFailed(this.#place, { run, sequence }));
    if (owner.endCause === null && this.#isCurrent(run, sequence)) this.#openGap(interruption);
    this.#clearSegment(owner, sequence);
  }

  /** Whole GOPs were discarded because the disk did not keep up. The segment in progress ends before them; the next one ends the gap. */
  dropped(fact: FactOf<"dropped">): void {
    const { fragments, bytes, fromUtcMs, toUtcMs } = fact;
    this.#log[this.#dropping ? "debug" : "error"]("media.dropped", { fragments, bytes, fromUtcMs, toUtcMs });
    if (this.#gap !== null) return;
    const shiftMs = this.#nearest(toUtcMs) - toUtcMs;
    this.#account(toUtcMs + shiftMs);
    if (this.#dropping) return;
    this.#dropping = true;
    const at = this.#stamp(fromUtcMs + shiftMs);
    this.#work.add("gap-dropped", () => this.#store.openGap(this.#place, at(), DROPPING.cause, DROPPING.detail));
  }

  /**
   * Recording was ended on purpose: waits for the segment in progress to end, ends the run, and waits for the store to hold it all.
   * The time from now on is accounted for with this cause.
   */
  async finish(cause: GapCause): Promise<void> {
    await this.#idle();
    const segment = this.#segment;
    if (segment !== null) {
      this.#account(segment.durableUtcMs);
      const owner = this.#runs.of(segment.run);
      owner.lastUtcMs = segment.durableUtcMs - owner.shiftMs;
    }
    this.#segment = null;
    this.#betweenSegments = false;
    this.#pending = null;
    for (const run of this.#runs.all()) {
      run.endCause ??= cause;
      this.#endRun(run);
    }
    this.#openGap({ cause, detail: null });
    await this.#within(FINISH_MS, this.settled());
  }

  /** Resolves when the store holds everything that was reported so far, closes included. */
  async settled(): Promise<void> {
    await this.#work.drained();
    await Promise.all(this.#closing);
    await this.#work.drained();
  }

  #account(utcMs: number): void {
    this.#accountedUtcMs = this.#dropping ? Math.max(this.#accountedUtcMs, utcMs) : utcMs;
  }

  /** True where nothing younger than this segment grows. */
  #isCurrent(run: string, sequence: number): boolean {
    return this.#segment === null || (this.#segment.run === run && this.#segment.sequence === sequence);
  }

  #clearSegment(owner: Run, sequence: number): void {
    if (this.#segment?.run !== owner.id || this.#segment.sequence !== sequence) return;
    this.#segment = null;
    const pending = this.#pending;
    this.#pending = null;
    if (pending !== null) this.#openGap(pending);
    if (owner.endCause !== null) this.#endRun(owner);
    if (!this.#betweenSegments) this.#onIdle();
  }

  /** From the end of what is accounted for, or, if a gap goes on already, with another cause from now on. */
  #openGap(interruption: Interruption): void {
    const known = this.#gap;
    if (known !== null && known.cause === interruption.cause && known.detail === interruption.detail) return;
    const fromUtcMs = known === null ? this.#accountedUtcMs : this.#clock.utcMs();
    this.#dropping = false;
    this.#gap = interruption;
    const at = this.#stamp(fromUtcMs);
    this.#work.add("gap-open", () => this.#store.openGap(this.#place, at(), interruption.cause, interruption.detail));
    const move = this.#move;
    if (known === null && move !== null) this.#split(move);
  }

  #split(move: ClockMove): void {
    this.#move = null;
    this.#work.add("gap-split", () => this.#store.splitGap(this.#place, move));
  }

  /** The first media by the clock after a move: what that clock never showed between is missing. */
  #endMove(fact: FactOf<"segmentOpened">): void {
    const move = this.#move;
    if (move === null || isBefore(move, fact.startUtcMs, fact.startMonoMs)) return;
    this.#move = null;
    const [from, to] = [this.#accountedUtcMs, fact.startUtcMs];
    if (this.#gap !== null || to <= from + JOIN_MS) return;
    // The segment that follows closes it.
    this.#work.add("gap-clock-step", () => this.#store.openGap(this.#place, from, "clock-step", null));
  }

  /** By how much the times of media that begins so are to be moved along. */
  #shiftOf(fact: FactOf<"segmentOpened">): number {
    const move = this.#moved;
    if (move === null || !isBefore(move, fact.startUtcMs, fact.startMonoMs)) return 0;
    return move.recorded?.byMs ?? 0;
  }

  /** A time of just now that no run's clock is known for, by the clock of now. */
  #nearest(utcMs: number): number {
    const moved = utcMs + (this.#moved?.recorded?.byMs ?? 0);
    const now = this.#clock.utcMs();
    return Math.abs(moved - now) < Math.abs(utcMs - now) ? moved : utcMs;
  }

  /** A time as it is by the clock of when it is asked for. */
  #stamp(utcMs: number): () => number {
    const asOf = this.#shiftMs;
    return () => utcMs + this.#shiftMs - asOf;
  }

  #endDropping(): void {
    if (!this.#dropping) return;
    this.#dropping = false;
    const toUtcMs = this.#stamp(this.#accountedUtcMs);
    this.#work.add("gap-dropped-end", () => this.#store.closeGap(this.#place, toUtcMs()));
  }

  /** Closes wait for the disk and may overlap; the row of the next segment does not wait for them. */
  #close(id: { run: string; sequence: number }, times: { startUtcMs: number; endUtcMs: number; durationMs: number }): void {
    this.#work.add("segment-close", async () => {
      const closing = this.#store.closeSegment(this.#place, id, times).catch(async (error: unknown) => {
        this.#log.error("segment.close-failed", { ...id, error });
        // The writer has let go of the file: what it holds is saved now if the disk allows, else at the next start.
        await this.#store.segmentFailed(this.#place, id).catch((failure: unknown) => {
          this.#log.error("segment.not-saved", { ...id, error: failure });
        });
      });
      this.#closing.add(closing);
      void closing.finally(() => this.#closing.delete(closing));
    });
  }

  #endRun(run: Run): void {
    const { id, begun, ended, endCause, lastUtcMs } = run;
    if (!begun || ended || endCause === null) return;
    run.ended = true;
    this.#work.add("run-end", () => this.#store.endRun(id, lastUtcMs, endCause));
  }

  #idle(): Promise<void> {
    if (this.#segment === null && !this.#betweenSegments) return Promise.resolve();
    return this.#within(FINISH_MS, new Promise((resolve) => (this.#onIdle = resolve)));
  }

  #within(timeoutMs: number, work: Promise<void>): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(timeoutMs, resolve);
      void work.finally(() => {
        cancel();
        resolve();
      });
    });
  }
}
