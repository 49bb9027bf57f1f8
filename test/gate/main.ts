// Usage: bun test/gate/main.ts lint|test. Runs every step whatever failed before it; the last line is "N passed, N failed".
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Counts, countCheck, sum } from "./counts.ts";
import { LINT, reportPath, type Step, type StepResult, TEST } from "./steps.ts";

const REPOSITORY = resolve(import.meta.dir, "..", "..");
const LOGS = join(REPOSITORY, "var", "gate");
/** How much of a failed step's output is shown; all of it is in its log. */
const SHOWN_LINES = 60;
const INTERRUPTS = ["SIGINT", "SIGTERM"] as const;

async function runStep(step: Step): Promise<StepResult> {
  const report = join(REPOSITORY, reportPath(step.name));
  rmSync(report, { force: true });
  // A group of its own, so that the limit ends what the step started as well.
  const child = Bun.spawn([...step.command], {
    cwd: join(REPOSITORY, step.cwd ?? "."),
    env: { ...process.env, NO_COLOR: "1", CARGO_TERM_COLOR: "never" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    detached: true,
  });
  let ended = false;
  const limit = setTimeout(() => {
    ended = true;
    endGroup(child.pid, "SIGKILL");
  }, step.limitMs);
  const interrupt = () => {
    endGroup(child.pid, "SIGTERM");
    process.exit(130);
  };
  for (const signal of INTERRUPTS) process.on(signal, interrupt);
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  clearTimeout(limit);
  for (const signal of INTERRUPTS) process.off(signal, interrupt);
  const note = ended ? `\nended after ${step.limitMs / 1000} s\n` : "";
  return { exitCode: ended ? null : exitCode, output: `${stdout}${stderr}${note}`, report: readIfThere(report) };
}

function endGroup(leader: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-leader, signal);
  } catch {
    // It has just ended by itself.
  }
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

function show(step: Step, counts: Counts, output: string, elapsedMs: number): void {
  const verdict = counts.failed === 0 ? "ok    " : "FAILED";
  const tests = counts.passed + counts.failed > 1 ? `  ${counts.passed} passed, ${counts.failed} failed` : "";
  const skipped = counts.skipped === 0 ? "" : `, ${counts.skipped} skipped`;
  console.log(`${verdict}  ${step.name.padEnd(10)} ${(elapsedMs / 1000).toFixed(1).padStart(6)} s${tests}${skipped}`);
  if (counts.failed === 0) return;
  const named = counts.failures.filter((failure) => failure.includes("\n") || failure.includes(": "));
  const lines = (named.length > 0 ? named.join("\n") : output).trimEnd().split("\n");
  for (const line of lines.slice(-SHOWN_LINES)) console.log(`        ${line}`);
  console.log(`        (all of it: var/gate/${step.name}.log)`);
}

async function runAll(steps: readonly Step[]): Promise<Counts> {
  mkdirSync(LOGS, { recursive: true });
  const results = new Map<string, Counts>();
  for (const step of steps) {
    const startedMs = performance.now();
    const missing = step.after !== undefined && results.get(step.after)?.failed !== 0;
    if (missing) {
      const counts = countCheck(step.name, 1);
      results.set(step.name, counts);
      show(step, counts, `not run: it needs ${step.after}, which failed`, 0);
      continue;
    }
    const result = await runStep(step);
    writeFileSync(join(LOGS, `${step.name}.log`), result.output);
    const counts = step.count(result);
    results.set(step.name, counts);
    show(step, counts, result.output, performance.now() - startedMs);
  }
  return sum([...results.values()]);
}

const sets: Readonly<Record<string, readonly Step[]>> = { lint: LINT, test: TEST };
const steps = sets[process.argv[2] ?? ""];
if (steps === undefined) {
  console.error(`main.ts: no set '${process.argv[2] ?? ""}'; there is: ${Object.keys(sets).join(", ")}`);
  process.exit(2);
}
const total = await runAll(steps);
if (total.skipped > 0) console.log(`${total.skipped} skipped`);
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;
