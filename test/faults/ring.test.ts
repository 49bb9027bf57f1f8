import { expect, test } from "vitest";
import { ringRun } from "./ring-run.ts";
import { strangerRun } from "./stranger-run.ts";

test("a root with a limit is never over it, never has a gap, and deletes oldest first", async () => {
  const options = { limitBytes: 70_000_000, bitrateBps: 10_000_000, segment: "5s" };
  const report = await ringRun({ name: "ring-short", seconds: 30, ...options });
  expect(report.maxUsedBytes).toBeLessThanOrEqual(options.limitBytes);
  expect(report).toMatchObject({ gaps: [], outOfOrder: 0, leftFolders: [] });
  expect(report.deleted).toBeGreaterThan(0);
});

test("a stranger who fills the disk costs the oldest recordings alone", async () => {
  const disk = { diskBytes: 160 * 1024 * 1024, reserveBytes: 24_000_000, bitrateBps: 8_000_000 };
  const report = await strangerRun({ name: "stranger-short", seconds: 30, fillAfterSeconds: 5, ...disk });
  expect(report).toMatchObject({ gaps: [], findings: [] });
  expect(report.strangerBytes).toBeGreaterThanOrEqual(disk.diskBytes / 2);
  expect(report.deleted).toBeGreaterThan(0);
});
