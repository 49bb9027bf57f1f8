import { describe, expect, test } from "vitest";
import { settle, spokenMs, statesOf } from "../../src/ledger/settle.ts";
import { COVERAGE_STATES, type CoverageState } from "../../src/media/types.ts";
import type { CoverageSpan } from "../../src/store/types.ts";
import { span } from "../fakes/ledger-reader.ts";
import { seededRandom } from "../faults/rng.ts";

const told = (spans: readonly CoverageSpan[], fromUtcMs: number, toUtcMs: number, firstUtcMs = 0) =>
  settle(spans, { fromUtcMs, toUtcMs }, firstUtcMs).map((one) => [one.fromUtcMs, one.toUtcMs, one.state, one.detail]);

describe("settle", () => {
  test("says unknown of what nothing is known of, and not-planned of the time before the first trace", () => {
    expect(told([], 10, 20)).toEqual([[10, 20, "unknown", null]]);
    expect(told([], 10, 20, 15)).toEqual([
      [10, 15, "not-planned", null],
      [15, 20, "unknown", null],
    ]);
    expect(told([], 10, 20, 30)).toEqual([[10, 20, "not-planned", null]]);
    expect(settle([], { fromUtcMs: 10, toUtcMs: 10 }, 0)).toEqual([]);
  });

  test("recorded goes before deleted, deleted before a gap, any gap before not-planned", () => {
    const spans = [
      span(0, 100, "not-planned"),
      span(20, 80, "no-media", "silence"),
      span(30, 60, "deleted-by-rule", "limit"),
      span(50, 70, "recorded"),
    ];
    expect(told(spans, 10, 90)).toEqual([
      [10, 20, "not-planned", null],
      [20, 30, "no-media", "silence"],
      [30, 50, "deleted-by-rule", "limit"],
      [50, 70, "recorded", null],
      [70, 80, "no-media", "silence"],
      [80, 90, "not-planned", null],
    ]);
  });

  test("of two gaps the later one holds while it lasts, and the earlier one again behind it", () => {
    expect(told([span(0, 50, "disk-fault"), span(10, 20, "camera-unreachable")], 0, 50)).toEqual([
      [0, 10, "disk-fault", null],
      [10, 20, "camera-unreachable", null],
      [20, 50, "disk-fault", null],
    ]);
  });

  test("segments that overlap count once, neighbours are one stretch", () => {
    expect(told([span(0, 30, "recorded"), span(20, 40, "recorded"), span(40, 60, "recorded")], 0, 60)).toEqual([[0, 60, "recorded", null]]);
  });

  test("a hole of rounding between media is none, a longer one is, and so is one beside anything else", () => {
    const media = [span(0, 100, "recorded"), span(160, 200, "recorded"), span(261, 300, "recorded"), span(301, 400, "no-media")];
    expect(told(media, 0, 400)).toEqual([
      [0, 200, "recorded", null],
      [200, 261, "unknown", null],
      [261, 300, "recorded", null],
      [300, 301, "unknown", null],
      [301, 400, "no-media", null],
    ]);
    expect(told([span(0, 100, "deleted-by-rule", "limit"), span(101, 200, "recorded")], 0, 200)).toEqual([
      [0, 101, "deleted-by-rule", "limit"],
      [101, 200, "recorded", null],
    ]);
  });

  test("rounding at the edge of a range is judged by what lies beside it", () => {
    const media = [span(0, 10, "recorded"), span(11, 20, "recorded")];
    expect(told(media, 0, 11)).toEqual([[0, 11, "recorded", null]]);
    expect(told(media, 10, 20)).toEqual([[10, 20, "recorded", null]]);
    expect(told(media, 10, 11)).toEqual([[10, 11, "recorded", null]]);
  });

  test("gaps of one cause with other words stay apart", () => {
    expect(told([span(0, 10, "no-media", "a"), span(10, 20, "no-media", "b"), span(20, 30, "no-media", "b")], 0, 30)).toEqual([
      [0, 10, "no-media", "a"],
      [10, 30, "no-media", "b"],
    ]);
  });
});

/** What the rules say of one moment, said without intervals. */
function stateAt(spans: readonly CoverageSpan[], at: number, firstUtcMs: number): CoverageState {
  const here = spans.filter((one) => one.fromUtcMs <= at && one.toUtcMs > at);
  const told = here.sort((a, b) => b.fromUtcMs - a.fromUtcMs).map(({ state }) => state);
  for (const state of ["recorded", "deleted-by-rule"] as const) if (told.includes(state)) return state;
  const cause = told.find((state) => state !== "not-planned" && state !== "unknown");
  return cause ?? (told.includes("not-planned") ? "not-planned" : (told[0] ?? (at < firstUtcMs ? "not-planned" : "unknown")));
}

test("any spans at all: every moment has the state that the rules give it, exactly once", () => {
  const UNIT_MS = 61;
  const random = seededRandom(4);
  const below = (limit: number) => Math.floor(random() * limit);
  for (let round = 0; round < 40; round += 1) {
    // Multiples of more than rounding, so that no hole is short enough to be any; starts of their own, so that "later" is never a draw.
    const starts = new Set(Array.from({ length: 1 + below(12) }, () => UNIT_MS * below(100)));
    const spans = [...starts].map((from) =>
      span(from, from + UNIT_MS * below(40), COVERAGE_STATES[below(COVERAGE_STATES.length)] ?? "recorded"),
    );
    const range = { fromUtcMs: UNIT_MS * below(60), toUtcMs: 60 * UNIT_MS + UNIT_MS * below(60) };
    const firstUtcMs = UNIT_MS * below(100);
    const stretches = settle(spans, range, firstUtcMs);
    expect(stretches[0]?.fromUtcMs).toBe(range.fromUtcMs);
    expect(stretches.at(-1)?.toUtcMs).toBe(range.toUtcMs);
    const wrong = stretches.filter((stretch, at) => {
      const before = stretches[at - 1];
      if (before !== undefined && (before.toUtcMs !== stretch.fromUtcMs || before.state === stretch.state)) return true;
      for (let ms = stretch.fromUtcMs; ms < stretch.toUtcMs; ms += 1) if (stateAt(spans, ms, firstUtcMs) !== stretch.state) return true;
      return false;
    });
    expect(wrong).toEqual([]);
    const sum = Object.values(statesOf(stretches, range)).reduce((total, ms) => total + ms, 0);
    expect(sum).toBe(range.toUtcMs - range.fromUtcMs);
    const spoken = Array.from({ length: sum }, (_, ms) => range.fromUtcMs + ms).filter((ms) =>
      spans.some((one) => one.fromUtcMs <= ms && one.toUtcMs > ms),
    );
    expect(spokenMs(spans, range)).toBe(spoken.length);
  }
});
