import type { Clock } from "../base/clock.ts";
import type { StreamKind, TimeRange } from "../media/types.ts";
import type { CoverageSpan, LedgerReader, TracedStream } from "../store/types.ts";
import { daysOf, partsOf } from "./calendar.ts";
import { addStates, append, clip, isLong, SEEN_AROUND_MS, settle, spokenMs, statesOf } from "./settle.ts";
import type { Bucket, LedgerDay, LedgerPort, StateMs, Stretch } from "./types.ts";

const HOUR_MS = 3_600_000;
/** Time asked for at once where every row counts: bounds the rows held. */
const CHUNK_MS = 6 * HOUR_MS;
/** Items of a batch. */
const BATCH = 512;

export interface LedgerOptions {
  readonly reader: LedgerReader;
  /** IANA zone of the site: days are its days. */
  readonly zone: string;
  readonly clock: Clock;
}

/** See README.md. Holds nothing: every answer is made from the rows there are. */
export class Ledger implements LedgerPort {
  readonly #options: LedgerOptions;

  constructor(options: LedgerOptions) {
    this.#options = options;
  }

  streams(camera: string | null, stream: StreamKind | null): Promise<readonly TracedStream[]> {
    return this.#options.reader.tracedStreams(camera, stream);
  }

  async *stretches(stream: TracedStream, range: TimeRange, signal: AbortSignal): AsyncIterable<readonly Stretch[]> {
    let batch: Stretch[] = [];
    for await (const stretches of this.#exact(stream, this.#elapsed(range), signal)) {
      for (const stretch of stretches) append(batch, stretch);
      if (batch.length < BATCH) continue;
      // The last one may go on.
      yield batch.slice(0, -1);
      batch = batch.slice(-1);
    }
    if (batch.length > 0) yield batch;
  }

  async *buckets(stream: TracedStream, range: TimeRange, stepMs: 1000 | 60_000, signal: AbortSignal): AsyncIterable<readonly Bucket[]> {
    const { zone } = this.#options;
    const elapsed = this.#elapsed(range);
    for (const day of daysOf({ ...elapsed, fromUtcMs: Math.max(elapsed.fromUtcMs, stream.firstUtcMs) }, zone)) {
      // Parts are whole minutes or seconds from midnight, and so are chunks: none of them lies in two.
      for (const chunk of partsOf(day, elapsed, CHUNK_MS)) {
        const stretches = (await this.#settled(stream, chunk, signal)).values();
        let batch: Bucket[] = [];
        let pending: Stretch[] = [];
        for (const part of partsOf(day, chunk, stepMs)) {
          if (part.toUtcMs <= stream.firstUtcMs) continue;
          pending = pending.filter((stretch) => stretch.toUtcMs > part.fromUtcMs);
          while ((pending.at(-1)?.toUtcMs ?? 0) < part.toUtcMs) {
            const next = stretches.next();
            if (next.done === true) break;
            pending.push(next.value);
          }
          batch.push({ ...part, states: statesOf(pending, part) });
          if (batch.length < BATCH) continue;
          yield batch;
          batch = [];
        }
        if (batch.length > 0) yield batch;
      }
    }
  }

  async *days(stream: TracedStream, range: TimeRange, signal: AbortSignal): AsyncIterable<LedgerDay> {
    const elapsed = this.#elapsed(range);
    for (const day of daysOf({ ...elapsed, fromUtcMs: Math.max(elapsed.fromUtcMs, stream.firstUtcMs) }, this.#options.zone)) {
      signal.throwIfAborted();
      const hours = await this.#hours(stream, [...partsOf(day, elapsed, HOUR_MS)], signal);
      const states = hours.reduce<StateMs>((sum, hour) => addStates(sum, hour.states), {});
      yield { ...clip(day, elapsed), states, hours };
    }
  }

  #elapsed(range: TimeRange): TimeRange {
    return { fromUtcMs: range.fromUtcMs, toUtcMs: Math.min(range.toUtcMs, this.#options.clock.utcMs()) };
  }

  /** The range's stretches chunk by chunk; the last of one and the first of the next may say the same. */
  async *#exact(stream: TracedStream, range: TimeRange, signal: AbortSignal): AsyncIterable<readonly Stretch[]> {
    const fromUtcMs = Math.max(range.fromUtcMs, Math.min(stream.firstUtcMs, range.toUtcMs));
    if (fromUtcMs > range.fromUtcMs) yield [{ fromUtcMs: range.fromUtcMs, toUtcMs: fromUtcMs, state: "not-planned", detail: null }];
    const first = Math.floor(fromUtcMs / CHUNK_MS) * CHUNK_MS;
    for (let chunkUtcMs = first; chunkUtcMs < range.toUtcMs; chunkUtcMs += CHUNK_MS) {
      const chunk = clip({ fromUtcMs: chunkUtcMs, toUtcMs: chunkUtcMs + CHUNK_MS }, { ...range, fromUtcMs });
      yield await this.#settled(stream, chunk, signal);
    }
  }

  async #settled(stream: TracedStream, range: TimeRange, signal: AbortSignal): Promise<Stretch[]> {
    signal.throwIfAborted();
    return settle(await this.#options.reader.coverageSpans(stream, seenAround(range)), range, stream.firstUtcMs);
  }

  /** How the time of neighbouring local hours divides. Segments are read only where sums by hour do not say it. */
  async #hours(stream: TracedStream, parts: readonly TimeRange[], signal: AbortSignal): Promise<Bucket[]> {
    const range = { fromUtcMs: parts[0]?.fromUtcMs ?? 0, toUtcMs: parts.at(-1)?.toUtcMs ?? 0 };
    const { spans, recordedMs } = await this.#options.reader.coverageHours(stream, seenAround(range));
    const sums = parts.map((part): { -readonly [K in keyof Bucket]: Bucket[K] } => ({ ...part, states: {} }));
    const divide = (stretches: readonly Stretch[]) => {
      for (const sum of sums) sum.states = addStates(sum.states, statesOf(stretches, sum));
    };
    // Sums are by hours of UTC, which local hours need not be.
    for (let hour = Math.floor(range.fromUtcMs / HOUR_MS); hour * HOUR_MS < range.toUtcMs; hour += 1) {
      const whole = { fromUtcMs: hour * HOUR_MS, toUtcMs: (hour + 1) * HOUR_MS };
      const part = clip(whole, range);
      const inside = spans.filter((span) => isLong(clip(span, whole)));
      const heldMs = inside.some(isGrowing) ? null : (recordedMs.get(hour) ?? (recordedMs.has(hour) ? null : 0));
      const bucket = sums.find((sum) => sum.fromUtcMs <= whole.fromUtcMs && sum.toUtcMs >= whole.toUtcMs);
      const known = heldMs !== null && bucket !== undefined ? statesByMs(whole, inside, heldMs, stream.firstUtcMs) : null;
      if (heldMs === HOUR_MS) divide([{ ...part, state: "recorded", detail: null }]);
      else if (heldMs === 0) divide(settle(spans, part, stream.firstUtcMs));
      else if (bucket !== undefined && known !== null) bucket.states = addStates(bucket.states, known);
      else divide(await this.#settled(stream, part, signal));
    }
    return sums;
  }
}

const seenAround = ({ fromUtcMs, toUtcMs }: TimeRange): TimeRange => ({
  fromUtcMs: fromUtcMs - SEEN_AROUND_MS,
  toUtcMs: toUtcMs + SEEN_AROUND_MS,
});

/** Media whose segment is not closed is in no sum by hour. */
const isGrowing = (span: CoverageSpan): boolean => span.live && span.state === "recorded";

/**
 * How an hour divides of which `heldMs` are recorded, but not known where: all the same if nothing else is said of the hour, or if what is
 * said fills the rest of it to the millisecond. Null if that takes a look at the segments.
 */
function statesByMs(hour: TimeRange, spans: readonly CoverageSpan[], heldMs: number, firstUtcMs: number): StateMs | null {
  if (firstUtcMs > hour.fromUtcMs) return null;
  if (spans.length > 0 && heldMs + spokenMs(spans, hour) !== HOUR_MS) return null;
  // What no span speaks of is unknown here as far as it is not recorded.
  const { unknown = 0, ...others } = statesOf(settle(spans, hour, firstUtcMs), hour);
  return { ...others, recorded: heldMs, ...(unknown > heldMs ? { unknown: unknown - heldMs } : {}) };
}
