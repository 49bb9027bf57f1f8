/** `./build.sh prove killpoints [--kill-step N] [--error-step N] [--first N]`: killed, or failed, at every file call, the recorder finds all it promised at its next start. */
import { killpointsRun } from "./killpoints-run.ts";
import { conclude, numberFlags, progress } from "./proof.ts";

const { "kill-step": killStep, "error-step": errorStep, first } = numberFlags({ "kill-step": 1, "error-step": 3, first: 1 });
const report = await killpointsRun({ name: "killpoints", killStep, errorStep, first });
for (const [what, { hits, recovered }] of Object.entries(report.table)) progress(`${what}: ${recovered} of ${hits} recovered`);
conclude({ holds: report.problems.length === 0 && report.missed.length === 0, ...report });
