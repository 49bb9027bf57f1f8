import { expect, test } from "vitest";
import { FAULT_ROWS } from "./diskfaults-rows.ts";
import { faultRun } from "./diskfaults-run.ts";

/** One that fails and one that goes. */
const ROWS = ["EIO on a sync, once", "root vanishes"];

test.each(ROWS)("%s: nothing promised is lost, it is told, and recording is back by itself", async (name) => {
  const row = FAULT_ROWS.find((candidate) => candidate.name === name);
  if (row === undefined) throw new Error(`no row ${name}`);
  const { problems, alarmMs, backMs, promisedFragments } = await faultRun(row, {
    name: "diskfaults-short",
    rounds: 1,
    seed: 1,
  });
  expect(problems).toEqual([]);
  expect(promisedFragments).toBeGreaterThan(0);
  expect([alarmMs.length, backMs.length]).toEqual([1, 1]);
});
