import { describe, expect, it } from "vitest";
import { countCargoTest, countCheck, countVitest, sum } from "./counts.ts";

describe("countCargoTest", () => {
  const output = `
running 3 tests
test rtp::parses ... ok
test mp4::seals ... FAILED
test mp4::marks ... FAILED

failures:

---- mp4::seals stdout ----

thread 'mp4::seals' panicked at media/src/mp4/seal.rs:7:9:
assertion failed

---- mp4::marks stdout ----
no mark


failures:
    mp4::seals
    mp4::marks

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s

running 40 tests
test result: ok. 39 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s
`;
  it("sums all binaries and names what failed", () => {
    expect(countCargoTest(output, 101)).toEqual({
      passed: 40,
      failed: 2,
      skipped: 1,
      failures: ["mp4::seals\nthread 'mp4::seals' panicked at media/src/mp4/seal.rs:7:9:\nassertion failed", "mp4::marks\nno mark"],
    });
  });

  it("counts a compile error or a crash as a failure", () => {
    expect(countCargoTest("error: could not compile `easyrms-media`", 101)).toMatchObject({ passed: 0, failed: 1 });
    expect(countCargoTest("test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured", 101)).toMatchObject({ passed: 3, failed: 1 });
  });
});

describe("countVitest", () => {
  const report = (testResults: object[], passed: number, failed: number) =>
    JSON.stringify({ numPassedTests: passed, numFailedTests: failed, numPendingTests: 1, numTodoTests: 1, testResults });
  const test = (fullName: string, status: string, failureMessages: string[] | null = null) => ({ fullName, status, failureMessages });

  it("reads the counts and the messages", () => {
    const assertionResults = [test("adds", "passed"), test("halves", "failed", ["expected 2 to be 1"])];
    expect(countVitest(report([{ name: "a.test.ts", status: "failed", message: "", assertionResults }], 1, 1), 1)).toEqual({
      passed: 1,
      failed: 1,
      skipped: 2,
      failures: ["a.test.ts: halves\nexpected 2 to be 1"],
    });
  });

  it("counts a file that does not load", () => {
    const broken = { name: "b.test.ts", status: "failed", message: "Cannot find module", assertionResults: [] };
    expect(countVitest(report([broken], 5, 0), 1)).toMatchObject({ passed: 5, failed: 1, failures: ["b.test.ts: Cannot find module"] });
  });

  it("counts an unhandled error that no test owns, and a run without a report", () => {
    expect(countVitest(report([], 5, 0), 1)).toMatchObject({ passed: 5, failed: 1 });
    expect(countVitest(null, 137)).toMatchObject({ passed: 0, failed: 1 });
    expect(countVitest(null, 0)).toMatchObject({ passed: 0, failed: 1 });
  });
});

it("adds up, a check counting as one", () => {
  expect(sum([countCheck("format", 0), countCheck("types", 2), countCargoTest("", 0)])).toEqual({
    passed: 1,
    failed: 1,
    skipped: 0,
    failures: ["types"],
  });
});
