/** `./build.sh prove ring [--seconds N] [--megabytes N]`: a root with a limit is never over it, never has a gap, and deletes oldest first. */
import { conclude, numberFlags } from "./proof.ts";
import { ringRun } from "./ring-run.ts";

const { seconds, megabytes } = numberFlags({ seconds: 600, megabytes: 200 });
const report = await ringRun({ name: "ring", seconds, limitBytes: megabytes * 1_000_000, bitrateBps: 4_000_000, segment: "60s" });
conclude({
  holds:
    report.maxUsedBytes <= report.limitBytes &&
    report.gaps.length === 0 &&
    report.outOfOrder === 0 &&
    report.deleted > 0 &&
    report.leftFolders.length === 0,
  ...report,
});
