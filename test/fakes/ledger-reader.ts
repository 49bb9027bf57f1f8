import { type CoverageState, JOIN_MS, type StreamKey, type StreamKind, type TimeRange } from "../../src/media/types.ts";
import type { CoverageSpan, LedgerReader, TracedStream } from "../../src/store/types.ts";

const HOUR_MS = 3_600_000;

interface FakeStream extends TracedStream {
  readonly spans: readonly CoverageSpan[];
}

/** A settled span. */
export function span(fromUtcMs: number, toUtcMs: number, state: CoverageState, detail: string | null = null, live = false): CoverageSpan {
  return { fromUtcMs, toUtcMs, state, detail, live };
}

/** Rows in memory, answered and added up by hour as the store promises. */
export class FakeLedgerReader implements LedgerReader {
  readonly #streams: FakeStream[] = [];
  /** Ranges that were asked for row by row. */
  readonly exact: TimeRange[] = [];

  add(key: StreamKey, spans: readonly CoverageSpan[], channel = this.#streams.length + 1): void {
    const firstUtcMs = Math.min(...spans.map(({ fromUtcMs }) => fromUtcMs));
    const ends = spans.filter(({ state }) => state !== "not-planned").map(({ toUtcMs }) => toUtcMs);
    this.#streams.push({ ...key, channel, firstUtcMs, lastUtcMs: Math.max(0, ...ends), spans });
  }

  async tracedStreams(camera: string | null, stream: StreamKind | null) {
    return this.#streams.filter((traced) => (camera ?? traced.camera) === traced.camera && (stream ?? traced.stream) === traced.stream);
  }

  async coverageSpans(key: StreamKey, range: TimeRange) {
    this.exact.push(range);
    return this.#spans(key, range);
  }

  async coverageHours(key: StreamKey, range: TimeRange) {
    const closed = (candidate: CoverageSpan) => candidate.state === "recorded" && !candidate.live;
    const recordedMs = new Map<number, number>();
    for (let hour = Math.floor(range.fromUtcMs / HOUR_MS); hour * HOUR_MS < range.toUtcMs; hour += 1) {
      const ms = lengthOf(
        this.#spans(key, { fromUtcMs: -Infinity, toUtcMs: Infinity }).filter(closed),
        hour * HOUR_MS,
        (hour + 1) * HOUR_MS,
      );
      if (ms > 0) recordedMs.set(hour, ms);
    }
    return { spans: this.#spans(key, range).filter((candidate) => !closed(candidate)), recordedMs };
  }

  #spans(key: StreamKey, range: TimeRange): CoverageSpan[] {
    const stream = this.#streams.find((candidate) => candidate.camera === key.camera && candidate.stream === key.stream);
    return (stream?.spans ?? []).filter(({ fromUtcMs, toUtcMs }) => fromUtcMs < range.toUtcMs && toUtcMs > range.fromUtcMs);
  }
}

/** Time that spans cover within bounds, holes of rounding between them included. */
function lengthOf(spans: readonly CoverageSpan[], fromUtcMs: number, toUtcMs: number): number {
  let [sum, doneUtcMs] = [0, -Infinity];
  for (const one of [...spans].sort((a, b) => a.fromUtcMs - b.fromUtcMs)) {
    const begin = one.fromUtcMs - doneUtcMs <= JOIN_MS ? doneUtcMs : one.fromUtcMs;
    doneUtcMs = Math.max(doneUtcMs, one.toUtcMs);
    sum += Math.max(0, Math.min(doneUtcMs, toUtcMs) - Math.max(begin, fromUtcMs));
  }
  return sum;
}
