import { RecorderError } from "../base/errors.ts";
import type { TimelineQuery, TimelineReader, TimelineRow } from "../store/types.ts";

/** Rows asked for at a time: bounds memory here and the time a search holds the database. */
const PAGE_ROWS = 500;
/** Far more than all streams together have rows at one instant, and within what the store answers at once. */
const MAX_PAGE_ROWS = 10_000;

/**
 * All rows that overlap the range, oldest start first, in batches. The store is asked page by page, each from the start of the
 * last row on, so that rows which change or vanish meanwhile shift nothing.
 */
export async function* timelinePages(
  reader: TimelineReader,
  query: Omit<TimelineQuery, "limit">,
  signal: AbortSignal,
  pageRows = PAGE_ROWS,
): AsyncIterable<readonly TimelineRow[]> {
  const { toUtcMs } = query.range;
  let cursorUtcMs = query.range.fromUtcMs;
  let limit = pageRows;
  // Rows that start before the cursor have been passed on; of those that start exactly there, the ones named here.
  let atCursor: Set<string> | null = null;
  for (;;) {
    signal.throwIfAborted();
    const page = await reader.timeline({ ...query, range: { fromUtcMs: cursorUtcMs, toUtcMs }, limit });
    const complete = page.length < limit;
    const seen: ReadonlySet<string> | null = atCursor;
    const fresh: readonly TimelineRow[] =
      seen === null ? page : page.filter((row) => row.fromUtcMs >= cursorUtcMs && !seen.has(rowKey(row)));
    const last = fresh.at(-1);
    if (!complete && (last === undefined || last.fromUtcMs <= cursorUtcMs)) {
      // Nothing but rows that began earlier, or more rows than a page at one instant: only a longer page leads on.
      if (limit >= MAX_PAGE_ROWS)
        throw new RecorderError("INTERNAL", `more than ${limit} rows overlap the instant ${cursorUtcMs}`, { cursorUtcMs });
      limit = Math.min(limit * 2, MAX_PAGE_ROWS);
      continue;
    }
    if (last !== undefined) yield fresh;
    if (complete || last === undefined) return;
    cursorUtcMs = last.fromUtcMs;
    atCursor = new Set(fresh.filter((row) => row.fromUtcMs === cursorUtcMs).map(rowKey));
  }
}

function rowKey(row: TimelineRow): string {
  switch (row.kind) {
    case "segment":
      return `segment ${row.run} ${row.sequence}`;
    case "run":
      return `run ${row.run}`;
    case "gap":
      return `gap ${row.camera} ${row.stream} ${row.fromUtcMs}`;
  }
}
