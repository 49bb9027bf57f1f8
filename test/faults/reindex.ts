/** `./build.sh prove reindex [--segments N] [--flips N] [--rows N] [--seed S]`: files and journals give back the catalog, whatever became of it. */
import { conclude, numberFlags, progress } from "./proof.ts";
import { reindexHolds } from "./reindex-judge.ts";
import { reindexRun } from "./reindex-run.ts";

const { segments, flips, rows, seed } = numberFlags({ segments: 20_000, flips: 40, rows: 500_000, seed: Date.now() % 1_000_000 });
progress(`seed ${seed}`);
const report = await reindexRun({ name: "reindex", seed, segments, flips, flipSegments: 2000, startRows: rows });
conclude({ holds: reindexHolds(report, { segmentsPerSecond: 10_000, startMs: 2000 }), seed, ...report });
