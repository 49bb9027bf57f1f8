import type { CoverageState, GapCause, StreamKey, StreamKind, TimeRange } from "../media/types.ts";
import type { Catalog, StoredStream } from "./catalog.ts";
import { SEGMENT_CLOSED, SEGMENT_OPEN } from "./schema.ts";
import type { Progress } from "./timeline.ts";
import type { CoverageSpan, TracedStream } from "./types.ts";

const HOUR_MS = 3_600_000;

/**
 * One row of the statements below. Open runs end where they begin, and so do segments that grow: how far they have got is known to the
 * process only. One that was given up on a root that is away ends where it was durable.
 */
interface LedgerRow {
  readonly source: "segment" | "deletion" | "gap" | "open-segment" | "open-run";
  readonly fromUtcMs: number;
  /** Null for a gap that goes on. */
  readonly toUtcMs: number | null;
  /** Cause of a gap, rule of a deletion, UUID of a run. */
  readonly word: string | null;
  readonly detail: string | null;
  readonly sequence: number | null;
}

/** A row overlaps the range if it starts before its end and ends after its start; see `TIMELINE_SQL` on where a search begins. ?1 stream, ?2 ?3 range. */
const CLOSED = `SELECT 'segment' AS source, start_utc_ms AS fromUtcMs, end_utc_ms AS toUtcMs, NULL AS word, damage AS detail, NULL AS sequence FROM segment
  WHERE stream_id = ?1 AND state = ${SEGMENT_CLOSED} AND start_utc_ms < ?3 AND end_utc_ms > ?2
    AND start_utc_ms >= ?2 - (SELECT longest_segment_ms FROM stream WHERE stream_id = ?1)`;

/** Deletions do not overlap each other, so that of those before the range only the last can reach into it. */
const OTHERS = `SELECT 'deletion' AS source, from_utc_ms AS fromUtcMs, to_utc_ms AS toUtcMs, rule AS word, NULL AS detail, NULL AS sequence FROM deletion
  WHERE stream_id = ?1 AND from_utc_ms < ?3 AND to_utc_ms > ?2
    AND from_utc_ms >= ifnull((SELECT max(from_utc_ms) FROM deletion WHERE stream_id = ?1 AND from_utc_ms <= ?2), ?2)
  UNION ALL SELECT 'gap', from_utc_ms, to_utc_ms, cause, detail, NULL FROM gap
  WHERE stream_id = ?1 AND from_utc_ms < ?3 AND to_utc_ms > ?2
    AND from_utc_ms >= ?2 - (SELECT longest_gap_ms FROM stream WHERE stream_id = ?1)
  UNION ALL SELECT 'gap', from_utc_ms, NULL, cause, detail, NULL FROM gap WHERE stream_id = ?1 AND to_utc_ms IS NULL
  UNION ALL SELECT 'open-segment', s.start_utc_ms, s.end_utc_ms, run.uuid, NULL, s.sequence FROM segment AS s JOIN run ON run.run_id = s.run_id
  WHERE s.stream_id = ?1 AND s.state <> ${SEGMENT_CLOSED} AND s.state = ${SEGMENT_OPEN}
  UNION ALL SELECT 'open-run', start_utc_ms, start_utc_ms, uuid, NULL, NULL FROM run WHERE stream_id = ?1 AND end_utc_ms IS NULL`;

/** One statement an answer: what retention moves from segments to deletions meanwhile is seen as one or the other. */
const SPANS_SQL = `${CLOSED} UNION ALL ${OTHERS}`;
const HOURS_SQL = `SELECT 'hour' AS source, hour AS fromUtcMs, recorded_ms AS toUtcMs, NULL AS word, NULL AS detail, NULL AS sequence FROM coverage_hour
  WHERE stream_id = ?1 AND hour >= ?4 AND hour < ?5 UNION ALL ${OTHERS}`;

const FIRST_SQL = `SELECT min(atUtcMs) AS atUtcMs FROM (
  SELECT min(start_utc_ms) AS atUtcMs FROM segment WHERE stream_id = ?1 UNION ALL SELECT min(start_utc_ms) FROM run WHERE stream_id = ?1
  UNION ALL SELECT min(from_utc_ms) FROM gap WHERE stream_id = ?1 UNION ALL SELECT min(from_utc_ms) FROM deletion WHERE stream_id = ?1)`;
/** By start, which is where the indexes are: rows that began earlier and end later do not matter for what this is used for. */
const LAST_SQL = `SELECT max(atUtcMs) AS atUtcMs FROM (
  SELECT max(end_utc_ms) AS atUtcMs FROM (SELECT end_utc_ms FROM segment WHERE stream_id = ?1 ORDER BY start_utc_ms DESC LIMIT 1)
  UNION ALL SELECT to_utc_ms FROM (SELECT to_utc_ms FROM deletion WHERE stream_id = ?1 ORDER BY from_utc_ms DESC LIMIT 1)
  UNION ALL SELECT ifnull(to_utc_ms, ?2) FROM (
    SELECT to_utc_ms FROM gap WHERE stream_id = ?1 AND cause <> 'not-planned' ORDER BY from_utc_ms DESC LIMIT 1)
  UNION ALL SELECT ?2 FROM run WHERE stream_id = ?1 AND end_utc_ms IS NULL)`;

export async function tracedStreams(
  catalog: Catalog,
  progress: Progress,
  camera: string | null,
  stream: StreamKind | null,
): Promise<readonly TracedStream[]> {
  const traced = new Map<string, TracedStream>();
  for (const stored of await catalog.streams(camera, stream)) {
    const first = await catalog.reader.get<{ atUtcMs: number | null }>(FIRST_SQL, [stored.id]);
    const firstUtcMs = first?.atUtcMs ?? null;
    if (firstUtcMs === null) continue;
    const last = await catalog.reader.get<{ atUtcMs: number | null }>(LAST_SQL, [stored.id, progress.utcMs()]);
    const lastUtcMs = last?.atUtcMs ?? 0;
    const key = `${stored.camera}/${stored.stream}`;
    const other = traced.get(key);
    traced.set(key, {
      camera: stored.camera,
      stream: stored.stream,
      channel: other === undefined || lastUtcMs > other.lastUtcMs ? stored.channel : other.channel,
      firstUtcMs: Math.min(firstUtcMs, other?.firstUtcMs ?? firstUtcMs),
      lastUtcMs: Math.max(lastUtcMs, other?.lastUtcMs ?? lastUtcMs),
    });
  }
  return [...traced.values()].sort((a, b) => a.channel - b.channel || a.stream.localeCompare(b.stream));
}

export async function coverageSpans(
  catalog: Catalog,
  progress: Progress,
  key: StreamKey,
  range: TimeRange,
): Promise<readonly CoverageSpan[]> {
  const spans: CoverageSpan[] = [];
  for (const stream of await streamsOf(catalog, key)) {
    const rows = await catalog.reader.all<LedgerRow>(SPANS_SQL, [stream.id, range.fromUtcMs, range.toUtcMs]);
    spans.push(...spansOf(rows, progress));
  }
  return spans;
}

export async function coverageHours(
  catalog: Catalog,
  progress: Progress,
  key: StreamKey,
  range: TimeRange,
): Promise<{ readonly spans: readonly CoverageSpan[]; readonly recordedMs: ReadonlyMap<number, number | null> }> {
  const { fromUtcMs, toUtcMs } = range;
  const spans: CoverageSpan[] = [];
  const recordedMs = new Map<number, number | null>();
  for (const stream of await streamsOf(catalog, key)) {
    const parameters = [stream.id, fromUtcMs, toUtcMs, Math.floor(fromUtcMs / HOUR_MS), Math.ceil(toUtcMs / HOUR_MS)];
    const rows = await catalog.reader.all<LedgerRow | HourRow>(HOURS_SQL, parameters);
    for (const row of rows) {
      // Two names of a camera within an hour: how they lie to each other is not in their sums.
      if (row.source === "hour") recordedMs.set(row.fromUtcMs, recordedMs.has(row.fromUtcMs) ? null : row.toUtcMs);
    }
    spans.push(
      ...spansOf(
        rows.filter((row) => row.source !== "hour"),
        progress,
      ),
    );
  }
  return { spans, recordedMs };
}

interface HourRow {
  readonly source: "hour";
  readonly fromUtcMs: number;
  readonly toUtcMs: number;
}

const streamsOf = async (catalog: Catalog, key: StreamKey): Promise<readonly StoredStream[]> => catalog.streams(key.camera, key.stream);

function spansOf(rows: readonly LedgerRow[], progress: Progress): CoverageSpan[] {
  const nowUtcMs = progress.utcMs();
  const starts = new Map<string, number>();
  const spans: CoverageSpan[] = [];
  const span = (fromUtcMs: number, toUtcMs: number, state: CoverageState, detail: string | null, live: boolean) => {
    if (toUtcMs > fromUtcMs) spans.push({ fromUtcMs, toUtcMs, state, detail, live });
  };
  for (const { source, fromUtcMs, toUtcMs, word, detail, sequence } of rows) {
    if (source === "segment") span(fromUtcMs, toUtcMs ?? fromUtcMs, "recorded", detail === null ? null : `damaged: ${detail}`, false);
    else if (source === "deletion") span(fromUtcMs, toUtcMs ?? fromUtcMs, "deleted-by-rule", word, false);
    else if (source === "gap") span(fromUtcMs, toUtcMs ?? nowUtcMs, (word ?? "unknown") as GapCause, detail, toUtcMs === null);
    else if (source === "open-segment") {
      const grown = progress.segment(word ?? "", sequence ?? 0);
      span(fromUtcMs, grown?.endUtcMs ?? toUtcMs ?? fromUtcMs, "recorded", null, grown !== null);
      if (grown === null) continue;
      starts.set(word ?? "", Math.min(fromUtcMs, starts.get(word ?? "") ?? fromUtcMs));
    }
  }
  // What was received and is not durable yet counts as recorded, also between two segments; where a gap goes on there is no such media.
  if (rows.some((row) => row.source === "gap" && row.toUtcMs === null)) return spans;
  for (const { source, word } of rows) {
    if (source !== "open-run") continue;
    const run = word ?? "";
    const endUtcMs = progress.runEndUtcMs(run) ?? starts.get(run) ?? null;
    if (endUtcMs !== null) span(endUtcMs, nowUtcMs, "recorded", null, true);
  }
  return spans;
}
