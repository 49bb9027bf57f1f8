/** `./build.sh prove killloop [--count N] [--seed S]`: kill -9 under load loses nothing that was reported durable. */
import { GROUP_MS, killRounds } from "./kill-rounds.ts";
import { conclude, distribution, numberFlags, progress } from "./proof.ts";

const BACK_MS = 2000;

const { count, seed } = numberFlags({ count: 10, seed: Date.now() % 1_000_000 });
progress(`seed ${seed}`);
const { backMs, gapMs, gapWithoutRestartMs, lostTailMs, ...report } = await killRounds(count, seed);
const { lost, unplayable, strays, findings } = report;
conclude({
  holds:
    [lost, unplayable, strays, findings].every((problems) => problems.length === 0) &&
    Math.max(...backMs) <= BACK_MS &&
    Math.max(...gapWithoutRestartMs) <= GROUP_MS,
  seed,
  ...report,
  backMs: distribution(backMs),
  gapMs: distribution(gapMs),
  gapWithoutRestartMs: distribution(gapWithoutRestartMs),
  lostTailMs: distribution(lostTailMs),
  rssBytes: process.memoryUsage.rss(),
});
