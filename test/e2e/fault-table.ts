import type { FaultOutcome } from "./fault-run.ts";

const HEADS = ["fault", "state", "cause", "code", "`camera list` says", "`ls` says", "attempts", "as expected"];

/** What each fault came to, as Markdown for people. */
export function faultTable(outcomes: readonly FaultOutcome[]): string {
  const rows = outcomes.map((outcome) => {
    const { listed } = outcome;
    const { fault } = outcome.case;
    const good = outcome.problems.length === 0 ? "yes" : outcome.problems.join("; ");
    return [
      fault,
      listed.state,
      listed.cause ?? "",
      listed.code ?? "",
      listed.detail ?? countersText(outcome),
      rowsText(outcome),
      String(outcome.attempts),
      good,
    ];
  });
  return [HEADS, HEADS.map(() => "---"), ...rows].map((cells) => `| ${cells.map(cellText).join(" | ")} |\n`).join("");
}

/** The counters that are not what a good camera's are, and warnings. */
function countersText({ listed }: FaultOutcome): string {
  const { lostPackets, malformedPackets, discardedUnits, timeJumps } = listed.numbers;
  const counters = Object.entries({ lostPackets, malformedPackets, discardedUnits, timeJumps })
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${name} ${count}`);
  return [...counters, ...listed.warnings].join("; ");
}

function rowsText({ rows }: FaultOutcome): string {
  const gaps = rows.filter((row) => row.kind === "gap").map((gap) => `gap ${gap.cause}${gap.open ? ", goes on" : ""}`);
  const runs = rows.filter((row) => row.kind === "run").length;
  const segments = rows.filter((row) => row.kind === "segment").length;
  const recorded = segments === 0 ? [] : [`${count(segments, "segment")} in ${count(runs, "run")}`];
  return [...recorded, ...new Set(gaps)].join("; ");
}

const count = (number: number, word: string): string => `${number} ${word}${number === 1 ? "" : "s"}`;

const cellText = (text: string): string => text.replaceAll("|", "\\|").replace(/\s+/g, " ");
