import { expect, test } from "vitest";
import { timelinePages } from "../../src/commands/timeline-pages.ts";
import type { GapRow, TimelineRow } from "../../src/store/types.ts";
import { FakeTimeline } from "../fakes/service.ts";

const gap = (camera: string, fromUtcMs: number, toUtcMs: number): GapRow => ({
  kind: "gap",
  camera,
  stream: "main",
  fromUtcMs,
  toUtcMs,
  cause: "no-media",
  detail: null,
  open: false,
});

async function collect(timeline: FakeTimeline, range: { fromUtcMs: number; toUtcMs: number }, pageRows: number) {
  const rows: TimelineRow[] = [];
  const query = { camera: null, stream: null, range };
  for await (const page of timelinePages(timeline, query, new AbortController().signal, pageRows)) rows.push(...page);
  return rows;
}

test("every row comes exactly once and in order, whatever overlaps, for pages of any size", async () => {
  // A small generator with a fixed seed: the same shapes in every run.
  let seed = 7;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  for (let round = 0; round < 60; round++) {
    const timeline = new FakeTimeline();
    const keys = new Set<string>();
    while (keys.size < 60) {
      const row = gap(`c${random(5)}`, random(40), 0);
      if (keys.has(`${row.camera} ${row.fromUtcMs}`)) continue;
      keys.add(`${row.camera} ${row.fromUtcMs}`);
      timeline.rows.push({ ...row, toUtcMs: row.fromUtcMs + 1 + (random(4) === 0 ? random(60) : random(3)) });
    }
    const range = { fromUtcMs: random(20), toUtcMs: 20 + random(25) };
    const expected = await timeline.timeline({ camera: null, stream: null, range, limit: 1000 });
    for (const pageRows of [1, 2, 7, 59, 60, 61]) expect(await collect(timeline, range, pageRows)).toEqual(expected);
  }
});

test("more rows at one instant than a page holds are still all found", async () => {
  const timeline = new FakeTimeline();
  timeline.rows = Array.from({ length: 50 }, (_, at) => gap(`c${at}`, 1000, 2000));
  expect(await collect(timeline, { fromUtcMs: 0, toUtcMs: 5000 }, 4)).toHaveLength(50);
  expect(await collect(timeline, { fromUtcMs: 1500, toUtcMs: 5000 }, 4)).toHaveLength(50);
});

test("rows that no page can hold end in an error instead of a loop", async () => {
  const timeline = new FakeTimeline();
  timeline.rows = Array.from({ length: 10_001 }, (_, at) => gap(`c${at}`, 1000, 2000));
  await expect(collect(timeline, { fromUtcMs: 0, toUtcMs: 5000 }, 500)).rejects.toThrow("more than 10000 rows");
  expect(Math.max(...timeline.queries.map(({ limit }) => limit))).toBe(10_000);
});

test("an aborted signal ends the search between two pages", async () => {
  const timeline = new FakeTimeline();
  timeline.rows = Array.from({ length: 50 }, (_, at) => gap("c", at, at + 1));
  const abort = new AbortController();
  const pages = timelinePages(timeline, { camera: null, stream: null, range: { fromUtcMs: 0, toUtcMs: 100 } }, abort.signal, 10);
  const reading = (async () => {
    for await (const _ of pages) abort.abort(new Error("enough"));
  })();
  await expect(reading).rejects.toThrow("enough");
  expect(timeline.queries).toHaveLength(1);
});
