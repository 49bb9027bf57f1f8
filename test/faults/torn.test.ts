import { expect, test } from "vitest";
import { tornRun } from "./torn-run.ts";

test("a file torn anywhere in its last fragment or its seal plays to the last whole fragment, and is listed", async () => {
  const report = await tornRun({ name: "torn-short", seed: 1, step: 61, starts: 1 });
  expect(report).toMatchObject({ wrong: [], unplayable: [], listing: [] });
  expect(report.startedOn).toBeGreaterThanOrEqual(12);
  for (const kind of ["fragment cut", "fragment zeros", "fragment noise", "fragment hole", "seal cut", "seal zeros", "seal noise"]) {
    expect(report.cases[kind], kind).toBeGreaterThan(0);
  }
});
