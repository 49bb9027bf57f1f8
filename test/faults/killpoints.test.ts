import { expect, test } from "vitest";
import { killpointsRun } from "./killpoints-run.ts";

test("killed or failed at a file call, the recorder finds all it promised at its next start", async () => {
  const report = await killpointsRun({ name: "killpoints-short", killStep: 37, errorStep: 160, first: 11 });
  expect(report.problems).toEqual([]);
  expect(report.kills).toBeGreaterThanOrEqual(10);
  expect(report.errors).toBeGreaterThanOrEqual(2);
});
