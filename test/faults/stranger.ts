/** `./build.sh prove stranger [--seconds N] [--megabytes N]`: a small file system that a stranger fills loses recordings from the oldest end only. */
import { conclude, numberFlags } from "./proof.ts";
import { strangerRun } from "./stranger-run.ts";

const { seconds, megabytes } = numberFlags({ seconds: 240, megabytes: 256 });
const options = { diskBytes: megabytes * 1024 * 1024, reserveBytes: 24_000_000, bitrateBps: 4_000_000, fillAfterSeconds: 30 };
const report = await strangerRun({ name: "stranger", seconds, ...options });
conclude({
  holds: report.gaps.length === 0 && report.findings.length === 0 && report.deleted > 0 && report.leastAvailableBytes > 0,
  seconds,
  ...options,
  ...report,
});
