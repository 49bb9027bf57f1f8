import { expect, test } from "vitest";
import { drivecacheRun } from "./drivecache-run.ts";

test("whatever part of its cache a drive loses, no fragment that was reported durable is lost", async () => {
  const report = await drivecacheRun({ name: "drivecache-short", seed: 1, seconds: 24, subsets: 60, prefixStep: 10 });
  expect(report).toMatchObject({ lost: [], orphans: [], dangling: [], wrong: [], subsets: 60 });
  expect(report.promisedFragments).toBeGreaterThan(0);
  expect(report.mostUnflushed).toBeGreaterThan(1);
});
