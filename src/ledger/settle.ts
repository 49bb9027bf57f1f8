import { type CoverageState, JOIN_MS, type TimeRange } from "../media/types.ts";
import type { CoverageSpan } from "../store/types.ts";
import type { StateMs, Stretch } from "./types.ts";

/**
 * What holds where several rows speak of a moment: the lowest. Among gaps of one rank it is the one that began last, which knows more.
 * A stream that goes on under another channel is not planned under its old one, so that this is the weakest of all causes that are known.
 */
function rank(state: CoverageState): number {
  switch (state) {
    case "recorded":
      return 0;
    case "deleted-by-rule":
      return 1;
    case "not-planned":
      return 3;
    case "unknown":
      return 4;
    default:
      return 2;
  }
}

/** States in which there is, or was, media. */
const HELD: ReadonlySet<CoverageState> = new Set(["recorded", "deleted-by-rule"]);

/** How much time around a range `settle` must see to know what is a hole and what is rounding. */
export const SEEN_AROUND_MS = JOIN_MS;

/**
 * Divides a range into stretches of one state each. Time that no span speaks of is `not-planned` before `firstUtcMs`, `unknown` after it.
 * `spans`: all that overlap the range widened by `SEEN_AROUND_MS`, in any order; they may overlap each other.
 */
export function settle(spans: readonly CoverageSpan[], range: TimeRange, firstUtcMs: number): Stretch[] {
  const window = { fromUtcMs: range.fromUtcMs - SEEN_AROUND_MS, toUtcMs: range.toUtcMs + SEEN_AROUND_MS };
  const within = (utcMs: number): number => Math.min(Math.max(utcMs, window.fromUtcMs), window.toUtcMs);
  const coming = spans.filter((span) => isLong(clip(span, window))).sort((a, b) => a.fromUtcMs - b.fromUtcMs);
  const edges = new Set([window.fromUtcMs, window.toUtcMs, within(firstUtcMs)]);
  for (const { fromUtcMs, toUtcMs } of coming) edges.add(within(fromUtcMs)).add(within(toUtcMs));
  const stretches: Stretch[] = [];
  let active: CoverageSpan[] = [];
  let next = 0;
  let fromUtcMs = window.fromUtcMs;
  for (const toUtcMs of [...edges].sort((a, b) => a - b).slice(1)) {
    active = active.filter((span) => span.toUtcMs > fromUtcMs);
    for (let span = coming[next]; span !== undefined && span.fromUtcMs <= fromUtcMs; span = coming[next]) {
      active.push(span);
      next += 1;
    }
    const says = active.reduce<CoverageSpan | null>((best, span) => (best === null || tells(span, best) ? span : best), null);
    const otherwise = fromUtcMs < firstUtcMs ? "not-planned" : "unknown";
    append(stretches, { fromUtcMs, toUtcMs, state: says?.state ?? otherwise, detail: says?.detail ?? null });
    fromUtcMs = toUtcMs;
  }
  return joinRounding(stretches)
    .map((stretch) => clip(stretch, range))
    .filter(isLong);
}

const tells = (one: CoverageSpan, other: CoverageSpan): boolean =>
  rank(one.state) < rank(other.state) || (rank(one.state) === rank(other.state) && one.fromUtcMs >= other.fromUtcMs);

/** Adds a stretch that begins where the last one ends; one that says the same makes that one longer. */
export function append(stretches: Stretch[], stretch: Stretch): void {
  const last = stretches.at(-1);
  if (last !== undefined && last.state === stretch.state && last.detail === stretch.detail) {
    stretches[stretches.length - 1] = { ...last, toUtcMs: stretch.toUtcMs };
  } else {
    stretches.push(stretch);
  }
}

/** Holes of rounding between media belong to what comes before them. */
function joinRounding(stretches: readonly Stretch[]): Stretch[] {
  const joined: Stretch[] = [];
  for (const [at, stretch] of stretches.entries()) {
    const before = joined.at(-1);
    const after = stretches[at + 1];
    const rounding =
      stretch.state === "unknown" &&
      stretch.detail === null &&
      stretch.toUtcMs - stretch.fromUtcMs <= JOIN_MS &&
      before !== undefined &&
      after !== undefined &&
      HELD.has(before.state) &&
      HELD.has(after.state);
    append(joined, rounding ? { ...stretch, state: before.state, detail: before.detail } : stretch);
  }
  return joined;
}

/** Milliseconds of the range that at least one span speaks of. */
export function spokenMs(spans: readonly CoverageSpan[], range: TimeRange): number {
  let [sum, doneUtcMs] = [0, range.fromUtcMs];
  const inRange = spans.map((span) => clip(span, range)).filter(isLong);
  for (const { fromUtcMs, toUtcMs } of inRange.sort((a, b) => a.fromUtcMs - b.fromUtcMs)) {
    sum += Math.max(0, toUtcMs - Math.max(fromUtcMs, doneUtcMs));
    doneUtcMs = Math.max(doneUtcMs, toUtcMs);
  }
  return sum;
}

/** How the time of stretches divides, within `range`. */
export function statesOf(stretches: readonly Stretch[], range: TimeRange): StateMs {
  const sum: Partial<Record<CoverageState, number>> = {};
  for (const stretch of stretches) {
    const { fromUtcMs, toUtcMs } = clip(stretch, range);
    if (toUtcMs > fromUtcMs) sum[stretch.state] = (sum[stretch.state] ?? 0) + toUtcMs - fromUtcMs;
  }
  return sum;
}

export function addStates(one: StateMs, other: StateMs): StateMs {
  const sum: Partial<Record<CoverageState, number>> = { ...one };
  for (const [state, ms] of Object.entries(other) as [CoverageState, number][]) sum[state] = (sum[state] ?? 0) + ms;
  return sum;
}

export function clip<Range extends TimeRange>(inner: Range, outer: TimeRange): Range {
  const fromUtcMs = Math.max(inner.fromUtcMs, outer.fromUtcMs);
  return { ...inner, fromUtcMs, toUtcMs: Math.min(inner.toUtcMs, outer.toUtcMs) };
}

export const isLong = ({ fromUtcMs, toUtcMs }: TimeRange): boolean => toUtcMs > fromUtcMs;
