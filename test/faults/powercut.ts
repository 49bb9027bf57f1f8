/** `./build.sh prove powercut [--count N] [--seed S]`: a disk cut off at random instants holds every fragment that was reported durable. */
import { powercutRun } from "./powercut-run.ts";
import { conclude, distribution, numberFlags, progress } from "./proof.ts";

/** DESIGN.md 5: a fragment, what a group sync waits, a tick. */
const LOST_MS = 1350;

const { count, seed } = numberFlags({ count: 300, seed: Date.now() % 1_000_000 });
progress(`seed ${seed}`);
const { lostMs, lostWithoutSyncMs, syncMs, ...report } = await powercutRun({ name: "powercut", cuts: count, seed });
const { lost, orphans, dangling, wrong, unplayable } = report;
conclude({
  holds: [lost, orphans, dangling, wrong, unplayable].every((list) => list.length === 0) && Math.max(...lostWithoutSyncMs) <= LOST_MS,
  seed,
  ...report,
  lostMs: distribution(lostMs),
  lostWithoutSyncMs: distribution(lostWithoutSyncMs),
  syncMs: distribution(syncMs),
});
