/** `./build.sh prove faults`: what `camera list` and `ls` say of every fault a camera can have, as a table. */
import { FAULT_CASES } from "../e2e/fault-cases.ts";
import { runFaults } from "../e2e/fault-run.ts";
import { faultTable } from "../e2e/fault-table.ts";
import { conclude, progress } from "./proof.ts";

const { outcomes, healthyProblems, findings, residentBytes, logLines } = await runFaults(FAULT_CASES, "prove-faults");
progress(faultTable(outcomes));
const wrong = outcomes.filter(({ problems }) => problems.length > 0).map(({ case: { id }, problems }) => ({ id, problems }));
conclude({
  holds: wrong.length === 0 && healthyProblems.length === 0 && findings.length === 0,
  faults: outcomes.length,
  wrong,
  healthyProblems,
  findings,
  residentBytes,
  logLines,
});
