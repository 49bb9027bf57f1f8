/** `./build.sh prove pulled [--count N] [--seed S]`: two disks pulled and put back at random, the recorder killed in between: nothing is written in their place, nothing is lost. */
import { conclude, distribution, numberFlags, progress } from "./proof.ts";
import { pulledRun } from "./pulled-run.ts";

/** A root is looked at each second, and must be back within two. */
const LEFT_MS = 1500;
const ENTERED_MS = 2000;

const { count, seed } = numberFlags({ count: 30, seed: Date.now() % 1_000_000 });
progress(`seed ${seed}`);
const { leftMs, enteredMs, ...report } = await pulledRun({ name: "prove-pulled", count, killShare: 0.25, seed });
const { writtenBelow, lost, unplayable, holes, strays, findings } = report;
conclude({
  holds:
    [writtenBelow, lost, unplayable, holes, strays, findings].every((problems) => problems.length === 0) &&
    Math.max(...leftMs) <= LEFT_MS &&
    Math.max(...enteredMs) <= ENTERED_MS,
  seed,
  ...report,
  leftMs: distribution(leftMs),
  enteredMs: distribution(enteredMs),
});
