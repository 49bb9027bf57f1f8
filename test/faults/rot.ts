/** `./build.sh prove rot [--segments N] [--rotten N] [--seed S]`: files that rot anywhere are all found, none falsely, within 5 % of time. */
import { conclude, numberFlags, progress } from "./proof.ts";
import { rotHolds, rotRun } from "./rot-run.ts";

const { segments, rotten, seed } = numberFlags({ segments: 4000, rotten: 600, seed: Date.now() % 1_000_000 });
progress(`seed ${seed}`);
const report = await rotRun({ name: "rot", seed, segments, rotten, recorded: 12 });
conclude({ holds: rotHolds(report), seed, ...report });
