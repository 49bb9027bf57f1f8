import { expect, it } from "vitest";
import { LEASE_IDLE_MS, Leases, MAX_LEASES } from "../../src/store/leases.ts";
import type { SegmentRow } from "../../src/store/types.ts";
import { SimulatedClock } from "../fakes/clock.ts";

const segment = (sequence: number, bytes = 10): SegmentRow => ({
  kind: "segment",
  camera: "gate",
  stream: "main",
  run: "r",
  sequence,
  fromUtcMs: 0,
  toUtcMs: 1,
  root: 0,
  path: "p",
  bytes,
  state: "closed",
  damage: null,
});

it("a lease ends by release, or when it was idle for 60 s", async () => {
  const clock = new SimulatedClock();
  const leases = new Leases(clock, 1000);
  const first = leases.grant(segment(0));
  const second = leases.grant(segment(0));
  leases.grant(segment(1));
  first.release();
  first.release();
  expect(leases.holds(segment(0))).toBe(true);
  await clock.advance(LEASE_IDLE_MS - 1);
  second.touch();
  await clock.advance(1);
  expect([leases.holds(segment(0)), leases.holds(segment(1))]).toEqual([true, false]);
  await clock.advance(LEASE_IDLE_MS);
  expect(leases.size).toBe(0);
  expect(clock.pendingTimers).toBe(0);
  second.touch();
  expect(leases.holds(segment(0))).toBe(false);
});

it("beyond the bounds the reader idle for longest loses", () => {
  const clock = new SimulatedClock();
  const leases = new Leases(clock, 100);
  const first = leases.grant(segment(0, 60));
  leases.grant(segment(1, 30));
  first.touch();
  leases.grant(segment(2, 20));
  expect([0, 1, 2].map((sequence) => leases.holds(segment(sequence)))).toEqual([true, false, true]);
  // One that is too large alone is granted still: it loses to the next.
  leases.grant(segment(3, 500));
  expect(leases.size).toBe(1);
  for (let index = 0; index < 2 * MAX_LEASES; index += 1) leases.grant(segment(index, 0));
  expect(leases.size).toBe(MAX_LEASES);
  leases.clear();
  expect(clock.pendingTimers).toBe(0);
});
