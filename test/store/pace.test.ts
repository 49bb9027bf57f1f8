import { expect, it } from "vitest";
import { Pace } from "../../src/store/pace.ts";
import { SimulatedClock } from "../fakes/clock.ts";

it("rests so long that work has its share of time", async () => {
  const clock = new SimulatedClock();
  const pace = new Pace(clock, 0.05);
  await clock.advance(10);
  const { signal } = new AbortController();
  let rested = false;
  const resting = pace.rest(signal).then(() => {
    rested = true;
  });
  await clock.advance(189);
  expect(rested).toBe(false);
  await clock.advance(1);
  await resting;
  expect(clock.pendingTimers).toBe(0);
  await pace.rest(signal);
});

it("does not rest where all of the time may be worked", async () => {
  const clock = new SimulatedClock();
  const pace = new Pace(clock, 1);
  await clock.advance(1000);
  await pace.rest(new AbortController().signal);
});

it("ends at once when it is broken off, and leaves no timer", async () => {
  const clock = new SimulatedClock();
  const pace = new Pace(clock, 0.05);
  await clock.advance(1000);
  const ending = new AbortController();
  const resting = pace.rest(ending.signal);
  ending.abort(new Error("enough"));
  await expect(resting).rejects.toThrow("enough");
  await expect(pace.rest(ending.signal)).rejects.toThrow("enough");
  expect(clock.pendingTimers).toBe(0);
});
