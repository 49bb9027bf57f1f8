import { beforeAll, describe, expect, it } from "vitest";
import { CASE_OF_KIND, FAULT_CASES } from "./fault-cases.ts";
import { type FaultReport, runFaults } from "./fault-run.ts";

/** More than sixty cameras need, less than what a flood of garbage would have left behind. */
const MAX_RESIDENT_BYTES = 400e6;

describe("cameras that do what they should not", () => {
  let report: FaultReport;
  beforeAll(async () => {
    report = await runFaults(FAULT_CASES);
  }, 180_000);

  it.each(FAULT_CASES.map((fault) => [fault.fault, fault.id] as const))("%s (%s)", (_, id) => {
    const outcome = report.outcomes.find((candidate) => candidate.case.id === id);
    expect(outcome?.problems).toEqual([]);
  });

  it("cost a healthy camera nothing", () => {
    expect(report.healthyProblems).toEqual([]);
  });

  it("leave files that check finds right", () => {
    expect(report.findings).toEqual([]);
  });

  it("leave memory where it was", () => {
    expect(report.residentBytes.after).toBeLessThan(MAX_RESIDENT_BYTES);
  });

  it("are all of the fault script", () => {
    const ids = FAULT_CASES.map(({ id }) => id);
    expect(ids).toEqual(expect.arrayContaining(Object.values(CASE_OF_KIND)));
    expect(new Set(ids).size).toBe(ids.length);
  });
});
