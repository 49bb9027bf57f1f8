import { type Counts, countCargoTest, countCheck, countVitest } from "./counts.ts";

/** One step of the gate: a command and how to count what it says. */
export interface Step {
  readonly name: string;
  readonly command: readonly string[];
  /** From the repository's top; default the top itself. */
  readonly cwd?: string;
  /** A step that needs what another made is not run, and fails, where that one failed. */
  readonly after?: string;
  /** After this the step is ended and counts as failed. */
  readonly limitMs: number;
  count(result: StepResult): Counts;
}

export interface StepResult {
  /** Null where the step was ended at its limit. */
  readonly exitCode: number | null;
  readonly output: string;
  /** The report file the step wrote, where it writes one. */
  readonly report: string | null;
}

const MINUTE_MS = 60_000;

const BIN = "node_modules/.bin";
const BUN = `${BIN}/bun`;

function check(name: string, command: readonly string[], cwd?: string): Step {
  return {
    name,
    command,
    ...(cwd === undefined ? {} : { cwd }),
    limitMs: 15 * MINUTE_MS,
    count: ({ exitCode }) => countCheck(name, exitCode ?? 1),
  };
}

function vitest(name: string, limitMs: number, after?: string): Step {
  return {
    name,
    command: [
      ...[BUN, "--bun", `${BIN}/vitest`, "run", "--project", name, "--passWithNoTests"],
      ...["--reporter=default", "--reporter=json", `--outputFile.json=${reportPath(name)}`],
    ],
    ...(after === undefined ? {} : { after }),
    limitMs,
    count: ({ report, exitCode }) => countVitest(report, exitCode ?? 1),
  };
}

/** Where a step may leave a report, from the repository's top. */
export const reportPath = (name: string): string => `var/gate/${name}.json`;

const SHELLCHECK = "shellcheck --external-sources build.sh .ci/run $(git ls-files '*.sh')";

export const LINT: readonly Step[] = [
  check("format", [`${BIN}/biome`, "format"]),
  check("rustfmt", ["cargo", "fmt", "--all", "--check", "--", "--color=never"], "native"),
  check("biome", [`${BIN}/biome`, "lint", "--error-on-warnings"]),
  check("shellcheck", ["sh", "-c", SHELLCHECK]),
  check("types", [`${BIN}/tsc`, "-p", "."]),
  check("levels", [BUN, "test/checks/static.ts", "levels"]),
  check("docs", [BUN, "test/checks/static.ts", "docs"]),
  check("licences", [BUN, "test/checks/static.ts", "licences"]),
  check(
    "tracer",
    ["sh", "-c", "cargo fmt --check && cargo clippy --quiet --locked --target-dir ../../../var/tracer -- -D warnings"],
    "test/faults/tracer",
  ),
  check("clippy", ["cargo", "clippy", "--quiet", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"], "native"),
];

export const TEST: readonly Step[] = [
  ...LINT,
  {
    name: "cargo-test",
    command: ["cargo", "test", "--workspace", "--locked", "--no-fail-fast"],
    cwd: "native",
    limitMs: 20 * MINUTE_MS,
    count: ({ output, exitCode }) => countCargoTest(output, exitCode ?? 1),
  },
  check("build", ["./build.sh"]),
  vitest("unit", 5 * MINUTE_MS),
  vitest("e2e", 20 * MINUTE_MS, "build"),
  vitest("faults", 15 * MINUTE_MS, "build"),
];
