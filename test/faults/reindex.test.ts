import { expect, test } from "vitest";
import { reindexRun } from "./reindex-run.ts";

test("files and journals give back the catalog, whatever became of it", async () => {
  const options = { name: "reindex-short", seed: 7, segments: 1600, flips: 3, flipSegments: 320, startRows: 20_000 };
  const { offline, online, flips, older, foreign, start } = await reindexRun(options);
  expect(offline).toMatchObject({ differences: [] });
  expect(offline.segments).toBeGreaterThan(1500);
  expect(online).toMatchObject({ differences: [], problems: [] });
  expect(flips).toMatchObject({ differences: [] });
  expect(older).toEqual({ differences: [] });
  expect(foreign).toMatchObject({ given: 0, entered: 0, mismatches: 0 });
  expect(foreign.asked).toBeGreaterThan(10);
  expect(start.rows).toBe(options.startRows);
});
