import { expect, test } from "vitest";
import { wearRound } from "../bench/lib/wear-round.ts";

test("little more reaches the device than the media itself", async () => {
  const { lifeRatio, fragments, syncCalls, problems } = await wearRound({ name: "wear", streams: 4, seconds: 30, segment: "20s" });
  expect(problems).toEqual([]);
  expect(fragments).toBeGreaterThan(4 * 25);
  expect(syncCalls).toBeGreaterThan(4 * 25);
  // `bench wear` holds a longer time to less: here beginning and end weigh most, and segments close three times as often.
  expect(lifeRatio).toBeLessThan(1.2);
});
