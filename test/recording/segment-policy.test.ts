import { describe, expect, test } from "vitest";
import { sizeSegment } from "../../src/recording/segment-policy.ts";

const MIB = 1024 * 1024;

describe("sizeSegment", () => {
  test("an unbounded root takes the configured length and reserves a whole segment in one step", () => {
    const size = sizeSegment(60_000, Number.POSITIVE_INFINITY, 16, 250_000);
    expect(size.maxDurationMs).toBe(60_000);
    expect(size.preallocateBytes).toBeGreaterThanOrEqual(250_000 * 60);
    expect(size.preallocateBytes).toBeLessThanOrEqual(250_000 * 60 * 1.1 + MIB);
  });

  test("a reservation step is capped whatever the rate", () => {
    expect(sizeSegment(60_000, Number.POSITIVE_INFINITY, 1, 10_000_000).preallocateBytes).toBe(32 * MIB);
  });

  test("a small root holds four segments per stream and sixteen steps", () => {
    const capacity = 64 * MIB;
    const size = sizeSegment(60_000, capacity, 4, 500_000);
    expect((size.maxDurationMs / 1000) * 500_000 * 4 * 4).toBeLessThanOrEqual(capacity);
    expect(size.preallocateBytes * 4 * 16).toBeLessThanOrEqual(capacity);
  });

  test("never cuts below five seconds, and reserves whole MiB", () => {
    const size = sizeSegment(60_000, 1 * MIB, 4, 2_000_000);
    expect(size.maxDurationMs).toBe(5_000);
    expect(size.preallocateBytes).toBe(MIB);
  });

  test("a shorter length that was asked for is kept", () => {
    expect(sizeSegment(1000, 1 * MIB, 4, 2_000_000).maxDurationMs).toBe(1000);
    expect(sizeSegment(1000, Number.POSITIVE_INFINITY, 1, 500_000).maxDurationMs).toBe(1000);
  });

  test("an unknown rate is assumed, not taken as none", () => {
    expect(sizeSegment(60_000, 100 * MIB, 4, 0).maxDurationMs).toBeLessThan(60_000);
  });
});
