import { describe, expect, test } from "vitest";
import { planRemoval, type RootGrowth } from "../../src/retention/plan.ts";
import type { RootUsage } from "../../src/store/types.ts";

const usage = (over: Partial<RootUsage>): RootUsage => ({
  root: 0,
  path: "/srv/a",
  segmentBytes: 0,
  segments: 0,
  limitBytes: null,
  reserveBytes: 0,
  availableBytes: 1e12,
  totalBytes: 1e12,
  ...over,
});
const still: RootGrowth = { reservedBytes: 0, reserveStepBytes: 0, openSegments: 0, bytesPerSecond: 0 };

describe("planRemoval", () => {
  test("nothing to do while both bounds are far", () => {
    expect(planRemoval(usage({ limitBytes: 100, segmentBytes: 100 }), still)).toBe(0);
    expect(planRemoval(usage({ reserveBytes: 10, availableBytes: 10 }), still)).toBe(0);
  });

  test("frees what is over the limit, blocks of open segments included", () => {
    expect(planRemoval(usage({ limitBytes: 100, segmentBytes: 90 }), { ...still, reservedBytes: 30 })).toBe(20);
  });

  test("keeps room for every open segment's next step and for a late pass", () => {
    const growth = { reservedBytes: 0, reserveStepBytes: 10, openSegments: 4, bytesPerSecond: 5 };
    expect(planRemoval(usage({ limitBytes: 100, segmentBytes: 60 }), growth)).toBe(15);
    expect(planRemoval(usage({ reserveBytes: 100, availableBytes: 120 }), growth)).toBe(35);
  });

  test("the tighter bound wins, also when a stranger fills the disk", () => {
    expect(planRemoval(usage({ limitBytes: 1000, segmentBytes: 500, reserveBytes: 200, availableBytes: 50 }), still)).toBe(150);
  });
});
