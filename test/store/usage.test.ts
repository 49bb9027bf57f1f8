import { expect, it } from "vitest";
import type { RootUsage } from "../../src/store/types.ts";
import { capacityBytes } from "../../src/store/usage.ts";

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

it("room is what strangers leave, the limit at most", () => {
  expect(capacityBytes(usage({ segmentBytes: 50, availableBytes: 100, reserveBytes: 30 }))).toBe(120);
  expect(capacityBytes(usage({ segmentBytes: 50, availableBytes: 100, reserveBytes: 30, limitBytes: 80 }))).toBe(80);
  expect(capacityBytes(usage({ segmentBytes: 0, availableBytes: 10, reserveBytes: 30 }))).toBe(0);
});
