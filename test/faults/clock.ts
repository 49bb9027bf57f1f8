/** `./build.sh prove clock [--only N]`: whatever the host's clock does, the ledger says of each second what the camera knows of it. */
import { CLOCK_CASES } from "./clock/cases.ts";
import { clockRun } from "./clock/run.ts";
import { conclude, numberFlags } from "./proof.ts";

const { only } = numberFlags({ only: -1 });
// Those that wait for minutes do so side by side; they cost little.
const results = await clockRun("clock", CLOCK_CASES.length, (one) => only < 0 || CLOCK_CASES.indexOf(one) === only);
conclude({ holds: results.every(({ problems }) => problems.length === 0), cases: results.length, results });
