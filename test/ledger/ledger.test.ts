import { describe, expect, test } from "vitest";
import { Ledger } from "../../src/ledger/ledger.ts";
import { shareOf } from "../../src/ledger/share.ts";
import type { Bucket, LedgerDay, StateMs, Stretch } from "../../src/ledger/types.ts";
import { type CoverageState, GAP_CAUSES, JOIN_MS, type TimeRange } from "../../src/media/types.ts";
import type { CoverageSpan, TracedStream } from "../../src/store/types.ts";
import { SimulatedClock } from "../fakes/clock.ts";
import { FakeLedgerReader, span } from "../fakes/ledger-reader.ts";
import { seededRandom } from "../faults/rng.ts";

const HOUR_MS = 3_600_000;
const KEY = { camera: "gate", stream: "main" } as const;
const never = new AbortController().signal;

async function box(spans: readonly CoverageSpan[], zone: string, nowUtcMs: number) {
  const reader = new FakeLedgerReader();
  reader.add(KEY, spans);
  const [stream] = await reader.tracedStreams(null, null);
  if (stream === undefined) throw new Error("no stream");
  return { reader, stream, ledger: new Ledger({ reader, zone, clock: new SimulatedClock(nowUtcMs) }) };
}

async function flat<T>(batches: AsyncIterable<readonly T[]>): Promise<T[]> {
  const all: T[] = [];
  for await (const batch of batches) all.push(...batch);
  return all;
}

async function daysOf(ledger: Ledger, stream: TracedStream, range: TimeRange): Promise<LedgerDay[]> {
  const days: LedgerDay[] = [];
  for await (const day of ledger.days(stream, range, never)) days.push(day);
  return days;
}

const at = (text: string, zone: string) => Temporal.PlainDateTime.from(text).toZonedDateTime(zone).epochMilliseconds;

/** The truth, second by second: what `settle` is told here is made of whole seconds. */
class Model {
  readonly #fromS: number;
  readonly #states: CoverageState[];

  constructor(spans: readonly CoverageSpan[], fromUtcMs: number, toUtcMs: number) {
    this.#fromS = fromUtcMs / 1000;
    const firstUtcMs = Math.min(...spans.map((one) => one.fromUtcMs));
    this.#states = Array.from({ length: (toUtcMs - fromUtcMs) / 1000 }, (_, second) =>
      fromUtcMs + second * 1000 < firstUtcMs ? "not-planned" : "unknown",
    );
    // Painted from the weakest to the strongest; gaps in order of their start.
    const strength = (state: CoverageState) => ["unknown", "not-planned", "", "deleted-by-rule", "recorded"].indexOf(state);
    const order = (state: CoverageState) => (strength(state) < 0 ? 2 : strength(state));
    for (const one of spans.toSorted((a, b) => order(a.state) - order(b.state) || a.fromUtcMs - b.fromUtcMs)) {
      const from = Math.max(0, one.fromUtcMs / 1000 - this.#fromS);
      this.#states.fill(one.state, from, Math.max(from, one.toUtcMs / 1000 - this.#fromS));
    }
  }

  states({ fromUtcMs, toUtcMs }: TimeRange): Partial<Record<CoverageState, number>> {
    const sum: Partial<Record<CoverageState, number>> = {};
    for (let second = fromUtcMs / 1000; second < toUtcMs / 1000; second += 1) {
      const state = this.#states[second - this.#fromS] ?? "unknown";
      sum[state] = (sum[state] ?? 0) + 1000;
    }
    return sum;
  }
}

/** Days of recording as they come: runs of segments, some overlapping, gaps that fill what is between or nearly so, stretches deleted. */
function randomLife(random: () => number, fromUtcMs: number, toUtcMs: number): CoverageSpan[] {
  const seconds = (least: number, most: number) => 1000 * (least + Math.floor(random() * (most - least)));
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const spans: CoverageSpan[] = [];
  let utcMs = fromUtcMs;
  while (utcMs < toUtcMs) {
    const kind = random();
    const endUtcMs = utcMs + (random() < 0.1 ? seconds(3600, 40_000) : seconds(1, 5000));
    if (kind < 0.55) {
      for (let start = utcMs; start < endUtcMs; ) {
        const end = Math.min(endUtcMs, start + 60_000);
        spans.push(span(start, end, "recorded"));
        start = random() < 0.02 ? Math.max(utcMs, end - seconds(1, 40)) || end : end;
        if (end === endUtcMs) break;
      }
    } else if (kind < 0.65) {
      spans.push(span(utcMs, endUtcMs, "deleted-by-rule", "limit"));
    } else if (kind < 0.95) {
      const early = random() < 0.1 ? seconds(1, 200) : 0;
      spans.push(span(utcMs - early, endUtcMs + (random() < 0.1 ? seconds(1, 200) : 0), pick(GAP_CAUSES), `${utcMs}`));
    }
    utcMs = endUtcMs;
  }
  return spans;
}

describe.each(["Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/Santiago"])("a random life in %s", (zone) => {
  test("is told the same by every zoom as second by second", async () => {
    const random = seededRandom(11);
    for (let round = 0; round < 4; round += 1) {
      // Over the change of the clocks, when there is one.
      const start = at(["2026-03-27T05:00", "2026-10-23T05:00", "2026-04-03T05:00", "2026-09-04T05:00"][round] ?? "", zone);
      const spans = randomLife(random, start + Math.floor(random() * 20_000) * 1000, start + 80 * HOUR_MS);
      const nowUtcMs = start + 75 * HOUR_MS + 1000 * Math.floor(random() * 7200);
      const { ledger, stream } = await box(spans, zone, nowUtcMs);
      const range = { fromUtcMs: start + 1000 * Math.floor(random() * 30_000), toUtcMs: start + 90 * HOUR_MS };
      const model = new Model(spans, start - 40 * HOUR_MS, nowUtcMs);
      const elapsed = { ...range, toUtcMs: nowUtcMs };

      const stretches = await flat(ledger.stretches(stream, range, never));
      expect(problems(stretches, elapsed.fromUtcMs, elapsed, model, (one) => ({ [one.state]: one.toUtcMs - one.fromUtcMs }))).toEqual([]);
      const firstUtcMs = Math.max(elapsed.fromUtcMs, stream.firstUtcMs);
      const divided = (buckets: readonly Bucket[]) => problems(buckets, firstUtcMs, elapsed, model, ({ states }) => states);
      const minutes = await flat(ledger.buckets(stream, range, 60_000, never));
      expect(divided(minutes)).toEqual([]);
      expect((minutes[1]?.fromUtcMs ?? 1) % 60_000).toBe(0);
      if (round === 0) expect(divided(await flat(ledger.buckets(stream, range, 1000, never)))).toEqual([]);
      const days = await daysOf(ledger, stream, range);
      expect(divided(days)).toEqual([]);
      expect(divided(days.flatMap(({ hours }) => hours.filter((hour) => hour.toUtcMs > firstUtcMs)))).toEqual([]);
      for (const day of days.slice(1)) {
        expect(Temporal.Instant.fromEpochMilliseconds(day.fromUtcMs).toZonedDateTimeISO(zone).toPlainDate().toString()).toBe(day.day);
        expect(day.fromUtcMs).toBe(Temporal.PlainDate.from(day.day).toZonedDateTime(zone).epochMilliseconds);
      }
    }
  }, 60_000);
});

/** Where parts do not follow each other over all of the time since `firstUtcMs`, or one does not divide as the model says. */
function problems<Part extends TimeRange>(
  parts: readonly Part[],
  firstUtcMs: number,
  elapsed: TimeRange,
  model: Model,
  statesOf: (part: Part) => StateMs,
): unknown[] {
  const found: unknown[] = [];
  const [first, last] = [parts[0], parts.at(-1)];
  if (first === undefined || first.fromUtcMs > firstUtcMs || first.toUtcMs <= firstUtcMs) found.push({ first, firstUtcMs });
  if (last?.toUtcMs !== elapsed.toUtcMs) found.push({ last, elapsed });
  for (const [index, part] of parts.entries()) {
    const before = parts[index - 1];
    if (before !== undefined && before.toUtcMs !== part.fromUtcMs) found.push({ before, part });
    const [told, truth] = [statesOf(part), model.states(part)];
    const same =
      Object.keys(told).length === Object.keys(truth).length &&
      Object.entries(truth).every(([state, ms]) => told[state as CoverageState] === ms);
    if (!same) found.push({ part, told, truth });
  }
  return found.slice(0, 3);
}

describe("days", () => {
  const zone = "Europe/Berlin";
  const begin = at("2026-06-01T00:00", zone);
  const minutes = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, index) => span(begin + (from + index) * 60_000, begin + (from + index + 1) * 60_000, "recorded"));

  test("are told without reading segments where sums by hour say it all", async () => {
    const gap = span(begin + 600 * 60_000, begin + 605 * 60_000, "no-media");
    const { ledger, reader, stream } = await box([...minutes(0, 600), gap, ...minutes(605, 1440)], zone, begin + 48 * HOUR_MS);
    const [day] = await daysOf(ledger, stream, { fromUtcMs: begin, toUtcMs: begin + 24 * HOUR_MS });
    expect(day?.states).toEqual({ recorded: 1435 * 60_000, "no-media": 300_000 });
    expect(reader.exact).toEqual([]);
  });

  test("read the segments of hours of which the sums do not tell all, and no others", async () => {
    // Two minutes are both recorded and in the gap, and two are in nothing.
    const gap = span(begin + 598 * 60_000, begin + 605 * 60_000, "no-media");
    const { ledger, reader, stream } = await box([...minutes(0, 600), gap, ...minutes(608, 1440)], zone, begin + 48 * HOUR_MS);
    const [day] = await daysOf(ledger, stream, { fromUtcMs: begin, toUtcMs: begin + 24 * HOUR_MS });
    expect(day?.states).toEqual({ recorded: 1432 * 60_000, "no-media": 300_000, unknown: 180_000 });
    expect(reader.exact).toEqual([{ fromUtcMs: begin + 10 * HOUR_MS - JOIN_MS, toUtcMs: begin + 11 * HOUR_MS + JOIN_MS }]);
  });

  test("count what goes on up to now", async () => {
    const now = begin + 90 * 60_000 + 30_500;
    const open = span(begin + 90 * 60_000, now, "recorded", null, true);
    const { ledger, stream } = await box([...minutes(0, 90), open], zone, now);
    const [day] = await daysOf(ledger, stream, { fromUtcMs: begin, toUtcMs: begin + 24 * HOUR_MS });
    expect(day).toMatchObject({ day: "2026-06-01", toUtcMs: now, states: { recorded: now - begin } });
    expect(day?.hours).toHaveLength(2);
  });

  test("end when nobody waits for them", async () => {
    const { ledger, stream } = await box(minutes(0, 1440), zone, begin + 480 * HOUR_MS);
    const abort = new AbortController();
    const reading = (async () => {
      for await (const _ of ledger.days(stream, { fromUtcMs: begin, toUtcMs: begin + 480 * HOUR_MS }, abort.signal))
        abort.abort(new Error("enough"));
    })();
    await expect(reading).rejects.toThrow("enough");
  });
});

test("a long life is passed on in batches of bounded size", async () => {
  const spans = Array.from({ length: 5000 }, (_, index) =>
    span(index * 20_000, index * 20_000 + 10_000, index % 2 === 0 ? "recorded" : "no-media"),
  );
  const { ledger, stream } = await box(spans, "UTC", 5000 * 20_000);
  const sizes: number[] = [];
  const stretches: Stretch[] = [];
  for await (const batch of ledger.stretches(stream, { fromUtcMs: 0, toUtcMs: 1e12 }, never)) {
    sizes.push(batch.length);
    stretches.push(...batch);
  }
  expect(stretches).toHaveLength(10_000);
  expect(Math.max(...sizes)).toBeLessThan(5000);
});

test("the share is of planned time, counts what was deleted by rule, and is 1 only if nothing is missing", () => {
  expect(shareOf({ recorded: 600, "deleted-by-rule": 300, "no-media": 100, "not-planned": 5000 })).toEqual({
    plannedMs: 1000,
    recordedMs: 900,
    share: 0.9,
  });
  expect(shareOf({ recorded: 86_399_999, unknown: 1 }).share).toBe(0.999999);
  expect(shareOf({ recorded: 86_400_000 }).share).toBe(1);
  expect(shareOf({ "not-planned": 86_400_000 })).toEqual({ plannedMs: 0, recordedMs: 0, share: null });
  expect(shareOf({ "power-lost": 5 }).share).toBe(0);
});
