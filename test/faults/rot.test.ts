import { expect, test } from "vitest";
import { rotRun } from "./rot-run.ts";

test("files that rot anywhere are all found, none falsely, marked and not handed out", async () => {
  const report = await rotRun({ name: "rot-short", seed: 3, segments: 120, rotten: 40, recorded: 1 });
  expect(report).toMatchObject({ missed: [], falsely: [], leases: [], ledger: [], check: [], reindex: [], alarm: true });
  expect(report.rotten).toBe(40);
  expect(report.share).toBeLessThanOrEqual(report.allowedShare);
});
