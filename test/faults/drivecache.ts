/** `./build.sh prove drivecache [--seconds N] [--subsets N] [--seed S]`: whatever a volatile drive cache loses at a power cut, no durable fragment is lost. */
import { drivecacheRun } from "./drivecache-run.ts";
import { conclude, numberFlags, progress } from "./proof.ts";

const { seconds, subsets, seed } = numberFlags({ seconds: 35, subsets: 2000, seed: Date.now() % 1_000_000 });
progress(`seed ${seed}`);
const report = await drivecacheRun({ name: "drivecache", seed, seconds, subsets, prefixStep: 1 });
const { lost, orphans, dangling, wrong } = report;
conclude({ holds: [lost, orphans, dangling, wrong].every((list) => list.length === 0), seed, seconds, ...report });
