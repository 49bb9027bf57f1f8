import type { ReindexRunReport } from "./reindex-run.ts";

/** Whether everything came out as it was; and as fast as asked for. */
export function reindexHolds(report: ReindexRunReport, bounds: { readonly segmentsPerSecond: number; readonly startMs: number }): boolean {
  const { offline, online, flips, older, foreign, start } = report;
  const same = [offline.differences, online.differences, online.problems, flips.differences, older.differences];
  return (
    same.every((differences) => differences.length === 0) &&
    foreign.asked > 0 &&
    foreign.given === 0 &&
    foreign.entered === 0 &&
    foreign.mismatches === 0 &&
    offline.segmentsPerSecond >= bounds.segmentsPerSecond &&
    start.readyMs <= bounds.startMs
  );
}
