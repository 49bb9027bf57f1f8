import { expect, test } from "vitest";
import { killRounds } from "./kill-rounds.ts";

test("killed again and again under load, the recorder keeps all that was reported durable, and leaves nothing behind", async () => {
  const report = await killRounds(5, 1);
  expect(report).toMatchObject({ kills: 5, lost: [], unplayable: [], strays: [], findings: [] });
  expect(report.reportedFragments).toBeGreaterThan(0);
  expect(report.gapMs.length).toBeGreaterThan(0);
});
