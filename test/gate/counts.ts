/** What a suite came to. `failures` are for people: a name and why, one entry each. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly failures: readonly string[];
}

export const NOTHING: Counts = { passed: 0, failed: 0, skipped: 0, failures: [] };

/** A check without parts of its own counts as one. */
export function countCheck(name: string, exitCode: number): Counts {
  return exitCode === 0 ? { ...NOTHING, passed: 1 } : { ...NOTHING, failed: 1, failures: [name] };
}

/** Sums the result line of every test binary in the output of `cargo test --no-fail-fast`. */
export function countCargoTest(output: string, exitCode: number): Counts {
  let [passed, failed, skipped] = [0, 0, 0];
  for (const match of output.matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;/gm)) {
    passed += Number(match[1]);
    failed += Number(match[2]);
    skipped += Number(match[3]);
  }
  // libtest repeats what each failed test printed, headed by its name.
  const failures = [...output.matchAll(/^---- (\S+) stdout ----\n([\s\S]*?)(?=\n---- |\nfailures:\n)/gm)].map(
    ([, name = "", printed = ""]) => `${name}\n${printed.trim()}`,
  );
  return withOutcome({ passed, failed, skipped, failures }, exitCode, "cargo test");
}

interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
      readonly failureMessages: readonly string[] | null;
    }[];
  }[];
}

/** Reads vitest's JSON report; null stands for a run that wrote none. A file that does not load counts as one failure. */
export function countVitest(report: string | null, exitCode: number): Counts {
  if (report === null) return withOutcome(NOTHING, exitCode === 0 ? 1 : exitCode, "vitest wrote no report");
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } = JSON.parse(report) as VitestReport;
  const failures: string[] = [];
  let unloaded = 0;
  for (const file of testResults) {
    const failed = file.assertionResults.filter(({ status }) => status === "failed");
    for (const { fullName, failureMessages } of failed) failures.push(`${file.name}: ${fullName}\n${failureMessages?.join("\n") ?? ""}`);
    if (file.status === "failed" && failed.length === 0) {
      unloaded++;
      failures.push(`${file.name}: ${file.message}`);
    }
  }
  const counts = { passed: numPassedTests, failed: numFailedTests + unloaded, skipped: numPendingTests + numTodoTests, failures };
  return withOutcome(counts, exitCode, "vitest");
}

/** A run that failed with nothing to show for it (a crash, a compile error) is one failure, never none. */
function withOutcome(counts: Counts, exitCode: number, name: string): Counts {
  if (exitCode === 0 || counts.failed > 0) return counts;
  return { ...counts, failed: 1, failures: [...counts.failures, `${name}: exit code ${exitCode}`] };
}

export function sum(all: readonly Counts[]): Counts {
  return all.reduce(
    (total, counts) => ({
      passed: total.passed + counts.passed,
      failed: total.failed + counts.failed,
      skipped: total.skipped + counts.skipped,
      failures: [...total.failures, ...counts.failures],
    }),
    NOTHING,
  );
}
