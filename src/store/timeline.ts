import { join } from "node:path";
import { RecorderError } from "../base/errors.ts";
import { type Catalog, SEGMENT_COLUMNS, SEGMENT_JOINS, type StoredSegment, type StoredStream } from "./catalog.ts";
import type { Value } from "./database.ts";
import { SEGMENT_CLOSED, SEGMENT_OPEN } from "./schema.ts";
import type { GapRow, RunRow, SegmentRow, SegmentState, TimelineQuery, TimelineRow } from "./types.ts";

export const MAX_TIMELINE_ROWS = 10_000;
/** Rows that a source reads ahead: a query over many streams holds streams × 3 × this. */
const MAX_PAGE = 500;

/** What only the process that records knows: how far the open segments have got. */
export interface Progress {
  /** Bytes and end of an open segment as last reported; null if nothing was. */
  segment(run: string, sequence: number): { readonly bytes: number; readonly endUtcMs: number } | null;
  /** End of the newest media of a run that goes on; null if nothing was reported. */
  runEndUtcMs(run: string): number | null;
  utcMs(): number;
  /** Path and configured index of a root by the catalog's key; null for one that is not configured now. */
  root(id: number): { readonly index: number; readonly path: string } | null;
  rootIds(): readonly number[];
}

interface Cursor {
  readonly startUtcMs: number;
  readonly id: number;
  readonly sequence: number;
}

interface Keyed {
  readonly startUtcMs: number;
  readonly id: number;
  readonly sequence: number;
}

type RunFields = {
  readonly run: string;
  readonly clockTrusted: number;
  readonly endUtcMs: number | null;
  readonly endCause: string | null;
};
type GapFields = { readonly cause: GapRow["cause"]; readonly detail: string | null; readonly endUtcMs: number | null };

const BEGIN: Cursor = { startUtcMs: Number.MIN_SAFE_INTEGER, id: 0, sequence: 0 };

/**
 * Searches of settled rows. A row overlaps the range if it starts before its end and ends after its start; the index is by start, so the
 * search begins as far before the range as the stream's longest row is long. ?1 stream, ?2 ?3 range, ?4 ?5 ?6 the row read last, ?7 rows.
 */
export const TIMELINE_SQL = {
  segments: (roots: readonly number[]) => `SELECT ${SEGMENT_COLUMNS}, s.run_id AS id FROM segment AS s ${SEGMENT_JOINS}
    WHERE s.stream_id = ?1 AND s.start_utc_ms >= max(?4, ?2 - (SELECT longest_segment_ms FROM stream WHERE stream_id = ?1)) AND s.start_utc_ms < ?3
      AND s.end_utc_ms > ?2 AND s.state = ${SEGMENT_CLOSED} AND s.root_id IN (${roots.join(", ")})
      AND (s.start_utc_ms, s.run_id, s.sequence) > (?4, ?5, ?6)
    ORDER BY s.start_utc_ms, s.run_id, s.sequence LIMIT ?7`,
  runs: `SELECT uuid AS run, start_utc_ms AS startUtcMs, end_utc_ms AS endUtcMs, end_cause AS endCause, clock_trusted AS clockTrusted, run_id AS id, 0 AS sequence
    FROM run
    WHERE stream_id = ?1 AND start_utc_ms >= max(?4, ?2 - (SELECT longest_run_ms FROM stream WHERE stream_id = ?1)) AND start_utc_ms < ?3
      AND end_utc_ms > ?2 AND (start_utc_ms, run_id, 0) > (?4, ?5, ?6)
    ORDER BY start_utc_ms, run_id LIMIT ?7`,
  gaps: `SELECT from_utc_ms AS startUtcMs, to_utc_ms AS endUtcMs, cause, detail, gap_id AS id, 0 AS sequence
    FROM gap
    WHERE stream_id = ?1 AND from_utc_ms >= max(?4, ?2 - (SELECT longest_gap_ms FROM stream WHERE stream_id = ?1)) AND from_utc_ms < ?3
      AND to_utc_ms > ?2 AND (from_utc_ms, gap_id, 0) > (?4, ?5, ?6)
    ORDER BY from_utc_ms, gap_id LIMIT ?7`,
  openSegments: `SELECT ${SEGMENT_COLUMNS}, s.run_id AS id FROM segment AS s ${SEGMENT_JOINS}
    WHERE s.state <> ${SEGMENT_CLOSED} AND s.state = ${SEGMENT_OPEN} AND s.stream_id = ?1`,
  openRuns: `SELECT uuid AS run, start_utc_ms AS startUtcMs, end_utc_ms AS endUtcMs, end_cause AS endCause, clock_trusted AS clockTrusted, run_id AS id, 0 AS sequence
    FROM run WHERE stream_id = ?1 AND end_utc_ms IS NULL`,
  openGaps: `SELECT from_utc_ms AS startUtcMs, to_utc_ms AS endUtcMs, cause, detail, gap_id AS id, 0 AS sequence
    FROM gap WHERE stream_id = ?1 AND to_utc_ms IS NULL`,
} as const;

/** Segments, runs and gaps that overlap the range, in order of start; at most `query.limit` of them, which is at most 10,000. */
export async function queryTimeline(catalog: Catalog, progress: Progress, query: TimelineQuery): Promise<readonly TimelineRow[]> {
  const { range, limit } = query;
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > MAX_TIMELINE_ROWS) {
    throw new RecorderError("INPUT_INVALID", `limit is ${limit}, allowed are 1 to ${MAX_TIMELINE_ROWS}`, { limit });
  }
  const streams = await catalog.streams(query.camera, query.stream);
  if (streams.length === 0 || range.toUtcMs <= range.fromUtcMs) return [];
  const page = Math.min(MAX_PAGE, Math.ceil(limit / streams.length) + 16);
  const sources = streams.flatMap((stream) => sourcesOf(catalog, progress, query, stream, page));
  return merge(sources, limit);
}

/** A segment as readers see it; null if its root is not configured now. */
export function segmentRow(stored: StoredSegment, progress: Progress): SegmentRow | null {
  const root = progress.root(stored.root);
  if (root === null) return null;
  const open = stored.state === SEGMENT_OPEN ? progress.segment(stored.run, stored.sequence) : null;
  const state: SegmentState = stored.state === SEGMENT_OPEN ? "open" : stored.state === SEGMENT_CLOSED ? "closed" : "deleting";
  return {
    kind: "segment",
    camera: stored.camera,
    stream: stored.stream,
    run: stored.run,
    sequence: stored.sequence,
    fromUtcMs: stored.startUtcMs,
    toUtcMs: Math.max(stored.endUtcMs, open?.endUtcMs ?? 0),
    root: root.index,
    path: join(root.path, stored.name, stored.file),
    bytes: open?.bytes ?? stored.bytes,
    state,
    damage: stored.damage,
  };
}

type Source = AsyncGenerator<TimelineRow, void, void>;

function sourcesOf(catalog: Catalog, progress: Progress, query: TimelineQuery, stream: StoredStream, page: number): Source[] {
  const { fromUtcMs, toUtcMs } = query.range;
  const key = { camera: stream.camera, stream: stream.stream };
  const overlaps = (row: TimelineRow): boolean => row.fromUtcMs < toUtcMs && row.toUtcMs > fromUtcMs;
  const read = <Row>(sql: string, cursor: Cursor) => {
    const parameters: readonly Value[] = [stream.id, fromUtcMs, toUtcMs, cursor.startUtcMs, cursor.id, cursor.sequence, page];
    return catalog.reader.all<Row & Keyed>(sql, parameters);
  };
  const settled = <Row>(sql: string, map: (row: Row & Keyed) => TimelineRow | null) => paged(page, (cursor) => read<Row>(sql, cursor), map);
  const goingOn = <Row>(sql: string, map: (row: Row & Keyed) => TimelineRow | null) =>
    ordered(async () => (await catalog.reader.all<Row & Keyed>(sql, [stream.id])).map(map).filter((row) => row !== null && overlaps(row)));

  const segment = (row: StoredSegment) => segmentRow(row, progress);
  const run = (row: RunFields & Keyed): RunRow => ({
    kind: "run",
    ...key,
    run: row.run,
    fromUtcMs: row.startUtcMs,
    toUtcMs: row.endUtcMs ?? Math.max(row.startUtcMs, progress.runEndUtcMs(row.run) ?? 0),
    clockTrusted: row.clockTrusted === 1,
    endCause: row.endCause,
  });
  const gap = (row: GapFields & Keyed): GapRow => ({
    kind: "gap",
    ...key,
    fromUtcMs: row.startUtcMs,
    toUtcMs: row.endUtcMs ?? Math.max(row.startUtcMs, progress.utcMs()),
    cause: row.cause,
    detail: row.detail,
    open: row.endUtcMs === null,
  });
  // Where starts are equal: a run, its segments, a gap.
  return [
    settled<RunFields>(TIMELINE_SQL.runs, run),
    goingOn<RunFields>(TIMELINE_SQL.openRuns, run),
    settled<StoredSegment>(TIMELINE_SQL.segments(progress.rootIds()), segment),
    goingOn<StoredSegment>(TIMELINE_SQL.openSegments, segment),
    settled<GapFields>(TIMELINE_SQL.gaps, gap),
    goingOn<GapFields>(TIMELINE_SQL.openGaps, gap),
  ];
}

/** Rows page by page, each from behind the last row of the page before. */
async function* paged<Row extends Keyed>(
  page: number,
  read: (cursor: Cursor) => Promise<Row[]>,
  map: (row: Row) => TimelineRow | null,
): Source {
  let cursor = BEGIN;
  for (;;) {
    const rows = await read(cursor);
    for (const row of rows) {
      const mapped = map(row);
      if (mapped !== null) yield mapped;
      cursor = { startUtcMs: row.startUtcMs, id: row.id, sequence: row.sequence };
    }
    if (rows.length < page) return;
  }
}

/** The few rows that go on, by start. */
async function* ordered(read: () => Promise<readonly (TimelineRow | null)[]>): Source {
  const rows = (await read()).filter((row) => row !== null);
  yield* rows.sort((a, b) => a.fromUtcMs - b.fromUtcMs);
}

/** Merges sources that are each in order of start. */
async function merge(sources: readonly Source[], limit: number): Promise<TimelineRow[]> {
  const heads = await Promise.all(sources.map(async (source) => ({ source, next: await source.next() })));
  const rows: TimelineRow[] = [];
  while (rows.length < limit) {
    let first: { source: Source; row: TimelineRow; head: (typeof heads)[number] } | null = null;
    for (const head of heads) {
      if (head.next.done === true) continue;
      const row = head.next.value;
      if (first === null || row.fromUtcMs < first.row.fromUtcMs) first = { source: head.source, row, head };
    }
    if (first === null) break;
    rows.push(first.row);
    first.head.next = await first.source.next();
  }
  return rows;
}
