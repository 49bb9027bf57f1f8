/** `./build.sh prove torn [--step N] [--starts N] [--seed S]`: a file torn at any byte of its last fragment or seal plays to the last whole fragment. */
import { conclude, numberFlags, progress } from "./proof.ts";
import { tornRun } from "./torn-run.ts";

const { step, starts, seed } = numberFlags({ step: 1, starts: 10, seed: Date.now() % 1_000_000 });
progress(`seed ${seed}`);
const report = await tornRun({ name: "torn", seed, step, starts });
const { wrong, unplayable, listing } = report;
conclude({ holds: [wrong, unplayable, listing].every((problems) => problems.length === 0), seed, step, starts, ...report });
