import { expect, test } from "vitest";
import { clockRun } from "./clock/run.ts";

test("whatever the host's clock does, the ledger says of each second what the camera knows of it", async () => {
  const results = await clockRun("clock-short", 6, (one) => !one.long);
  expect(results.filter(({ problems }) => problems.length > 0)).toEqual([]);
  expect(results.length).toBeGreaterThanOrEqual(11);
});
