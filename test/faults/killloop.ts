/** `./build.sh prove killloop [--count N] [--seed S]`: kill -9 under load loses nothing that was reported durable. */
import { killRounds } from "./kill-rounds.ts";
import { conclude, distribution, numberFlags, progress } from "./proof.ts";

const { count, seed } = numberFlags({ count: 10, seed: Date.now() % 1_000_000 });
progress(`seed ${seed}`);
const { kills, reportedFragments, lost, unplayable, findings, backMs, gapMs } = await killRounds(count, seed);
conclude({
  holds: lost.length === 0 && unplayable.length === 0 && findings.length === 0,
  seed,
  kills,
  reportedFragments,
  lost,
  unplayable,
  findings,
  backMs: distribution(backMs),
  gapMs: distribution(gapMs),
});
