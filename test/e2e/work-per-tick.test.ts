import { beforeAll, describe, expect, test } from "vitest";
import { Ffmpeg } from "../bench/lib/ffmpeg.ts";
import { Product } from "../bench/lib/product.ts";
import { measureRound, type Round } from "../bench/lib/round.ts";

/** Counts only: what the work costs is for `./build.sh bench record`, on a machine with nothing else to do. */
const LOAD = { streams: 4, pacing: "spread" } as const;
const SECONDS = 8;

describe("recording four cameras", () => {
  let product: Round;
  const rate = (name: string): number => product.rates[name] ?? Number.NaN;

  beforeAll(async () => {
    product = await measureRound(new Product(), LOAD, SECONDS);
  }, 120_000);

  test("records every picture and sound, from the first key frame after PLAY", () => {
    expect(product.frames.problems).toEqual([]);
    expect(product.frames.recorded).toBeGreaterThan(LOAD.streams * SECONDS * 25);
  });

  test("wakes the network thread by the tick, whatever arrives", () => {
    expect(rate("ticks")).toBeGreaterThan(5);
    // Some wake-ups are orders; the status that reads these numbers asks for none.
    expect(rate("wakeups")).toBeLessThanOrEqual(rate("ticks") + 1);
    expect(rate("ticks")).toBeLessThanOrEqual(20);
  });

  test("calls into JavaScript at most once a wake-up, with facts of fragments, not of packets", () => {
    expect(rate("callbacks")).toBeLessThanOrEqual(rate("wakeups"));
    expect(rate("facts")).toBeGreaterThan(0);
    expect(rate("facts")).toBeLessThanOrEqual(2 * LOAD.streams);
    expect(rate("facts_lost")).toBe(0);
  });

  test("reads many packets with one call", () => {
    expect(product.packetsPerSecond).toBeGreaterThan(400 * LOAD.streams);
    expect(rate("receive_calls") / product.packetsPerSecond).toBeLessThanOrEqual(0.1);
  });

  test("writes whole fragments and syncs them as groups", () => {
    expect(rate("written_bytes")).toBeGreaterThan(LOAD.streams * 500_000 * 0.9);
    expect(rate("write_calls")).toBeLessThanOrEqual(2 * LOAD.streams);
    expect(rate("sync_groups")).toBeLessThanOrEqual(4);
    expect(rate("sync_calls")).toBeLessThanOrEqual(2 * LOAD.streams);
  });
});

test("the benchmark's rival records the same load whole", async () => {
  const { frames } = await measureRound(new Ffmpeg(), { streams: 1, pacing: "spread" }, 4);
  expect(frames.problems).toEqual([]);
}, 60_000);
