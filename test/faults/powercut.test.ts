import { expect, test } from "vitest";
import { powercutRun } from "./powercut-run.ts";

test("a disk that is cut off holds every fragment that was reported durable, each file has its row, and each row its file", async () => {
  const report = await powercutRun({ name: "powercut-short", cuts: 20, seed: 1 });
  expect(report).toMatchObject({ lost: [], orphans: [], dangling: [], wrong: [], unplayable: [], productStarts: 1 });
  expect(report.promisedFragments).toBeGreaterThan(0);
});
