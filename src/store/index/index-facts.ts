import { JOIN_MS } from "../../media/types.ts";
import type { Catalog, Meanwhile } from "../catalog.ts";
import { BY_ID, ensureStream } from "../catalog-rows.ts";
import type { Transaction } from "../database.ts";
import { addDeletion } from "../deletions.ts";
import type { DeletionRule } from "../journal.ts";
import type { IndexReport, StreamPlace } from "../types.ts";
import type { DeletionFacts, Facts, GapFacts, StreamFacts } from "./facts.ts";
import { endRuns, enterDamages, measureLongest, type RunEnd } from "./index-rows.ts";

/** Run ends, or marks of damage, in one statement. */
const ENDS = 1000;

export interface SettleOptions {
  /** What is filled; every segment is in. */
  readonly catalog: Catalog;
  readonly facts: Facts;
  readonly meanwhile: Meanwhile;
  /** True for a run that this process records. */
  readonly isLive: (run: string) => boolean;
  /** True for a gap that goes on by what this process knows. */
  readonly isGapOpen: (place: StreamPlace, fromUtcMs: number) => boolean;
  /** Nobody records: what a stream did last goes on until the next start, which knows why it ended. */
  readonly offline: boolean;
}

/** Enters what segments do not tell: ends of runs, gaps and deletions. What is there already stays; doing it twice changes nothing. */
export async function settleFacts(options: SettleOptions): Promise<Pick<IndexReport, "gaps" | "deletions">> {
  const { catalog, facts, meanwhile } = options;
  const ends = new Map<string, RunEnd>();
  for (const [run, { end }] of facts.runs) if (end !== null) ends.set(run, [run, end.atUtcMs, end.cause, false]);
  for (const [run, { atUtcMs, cause }] of meanwhile.ended) ends.set(run, [run, atUtcMs, cause, true]);
  const all = [...ends.values()].filter(([run]) => !options.isLive(run));
  for (let at = 0; at < all.length; at += ENDS) {
    await catalog.write((transaction) => endRuns(transaction, all.slice(at, at + ENDS)));
  }
  await endOthers(options);
  const report = { gaps: 0, deletions: 0 };
  for (const stream of facts.streams.values()) {
    report.deletions += await catalog.write((transaction) => enterDeletions(transaction, stream));
    report.gaps += await catalog.write((transaction) => enterGaps(transaction, stream, options));
  }
  const damages = [...new Map([...facts.damages, ...meanwhile.damaged]).values()];
  for (let at = 0; at < damages.length; at += ENDS) {
    await catalog.write((transaction) => enterDamages(transaction, damages.slice(at, at + ENDS)));
  }
  await catalog.write(measureLongest);
  return report;
}

/** Runs that nothing says the end of: their end is that of their last media, and why is unknown. */
async function endOthers({ catalog, isLive, offline, meanwhile }: SettleOptions): Promise<void> {
  const newest = new Map<number, number>();
  const runs = await catalog.runsGoingOn();
  for (const { id, lastUtcMs } of runs) newest.set(id, Math.max(lastUtcMs, newest.get(id) ?? 0));
  for (const { id, run, lastUtcMs, shiftMs } of runs) {
    if (isLive(run) || meanwhile.ended.has(run) || (offline && lastUtcMs === newest.get(id))) continue;
    await catalog.endRun(run, lastUtcMs - shiftMs, "unknown");
  }
}

interface GapRow {
  readonly id: number;
  readonly fromUtcMs: number;
  readonly toUtcMs: number | null;
  readonly cause: string;
}

const GAPS = "SELECT gap_id AS id, from_utc_ms AS fromUtcMs, to_utc_ms AS toUtcMs, cause FROM gap WHERE stream_id = ?";
const MEDIA = `SELECT min(atUtcMs) AS atUtcMs FROM (
  SELECT min(start_utc_ms) AS atUtcMs FROM segment WHERE stream_id = ?1 AND start_utc_ms >= ?2
  UNION ALL SELECT min(start_utc_ms) FROM run WHERE stream_id = ?1 AND start_utc_ms >= ?2)`;

/** Returns how many rows were lacking. A row that shares one end with a gap that the journal knows better gives way to it. */
async function enterGaps(transaction: Transaction, facts: StreamFacts, { isGapOpen, offline }: SettleOptions): Promise<number> {
  const stream = await ensureStream(transaction, facts.place);
  const mediaFrom = async (utcMs: number) => (await transaction.get<{ atUtcMs: number | null }>(MEDIA, [stream, utcMs]))?.atUtcMs ?? null;
  let rows = await transaction.all<GapRow>(GAPS, [stream]);
  const told = await facts.gaps(mediaFrom);
  let entered = 0;
  const insert = async ({ cause, detail }: GapFacts, fromUtcMs: number, toUtcMs: number | null) => {
    const values = [stream, fromUtcMs, toUtcMs, cause, detail];
    await transaction.run("INSERT INTO gap (stream_id, from_utc_ms, to_utc_ms, cause, detail) VALUES (?, ?, ?, ?, ?)", values);
    entered += 1;
  };
  for (const [at, gap] of told.entries()) {
    const { fromUtcMs, toUtcMs, cause } = gap;
    const same = rows.filter((row) => row.fromUtcMs === fromUtcMs && row.cause === cause);
    if (toUtcMs !== null) {
      if (same.some((row) => row.toUtcMs === toUtcMs || (row.toUtcMs === null && isGapOpen(facts.place, fromUtcMs)))) continue;
      const wrong = rows.filter((row) => row.fromUtcMs === fromUtcMs || row.toUtcMs === toUtcMs);
      for (const row of wrong) await transaction.run("DELETE FROM gap WHERE gap_id = ?", [row.id]);
      rows = rows.filter((row) => !wrong.includes(row));
      await insert(gap, fromUtcMs, toUtcMs);
    } else if (same.length === 0) {
      // Nothing says when it ended: what comes next does.
      const later = [told[at + 1]?.fromUtcMs, await mediaFrom(fromUtcMs), ...rows.map((row) => row.fromUtcMs)];
      const next = Math.min(...later.filter((utcMs) => utcMs != null && utcMs > fromUtcMs).map(Number));
      if (next < Number.POSITIVE_INFINITY) await insert(gap, fromUtcMs, next);
      else if (offline && !rows.some((row) => row.toUtcMs === null)) await insert(gap, fromUtcMs, null);
    }
  }
  return entered;
}

/** Returns how many stretches were lacking. A segment that is there was not deleted after all: the disk kept it, or the process ended. */
async function enterDeletions(transaction: Transaction, facts: StreamFacts): Promise<number> {
  if (facts.deletions.length === 0) return 0;
  const stream = await ensureStream(transaction, facts.place);
  const gone: DeletionFacts[] = [];
  for (const deletion of facts.deletions) {
    const row = await transaction.get(`SELECT 1 FROM segment WHERE ${BY_ID}`, [deletion.run, deletion.sequence]);
    if (row === undefined && deletion.toUtcMs > deletion.fromUtcMs) gone.push(deletion);
  }
  let entered = 0;
  for (const { rule, fromUtcMs, toUtcMs } of joined(gone)) {
    const known = await transaction.get(
      "SELECT 1 FROM deletion WHERE stream_id = ? AND rule = ? AND from_utc_ms <= ? AND to_utc_ms >= ? LIMIT 1",
      [stream, rule, fromUtcMs, toUtcMs],
    );
    if (known !== undefined) continue;
    await addDeletion(transaction, stream, fromUtcMs, toUtcMs, rule);
    entered += 1;
  }
  return entered;
}

/** Neighbours of one rule as one stretch. */
function joined(deletions: readonly DeletionFacts[]): Iterable<{ rule: DeletionRule; fromUtcMs: number; toUtcMs: number }> {
  const stretches: { rule: DeletionRule; fromUtcMs: number; toUtcMs: number }[] = [];
  const last = new Map<DeletionRule, (typeof stretches)[number]>();
  for (const { rule, fromUtcMs, toUtcMs } of deletions.toSorted((a, b) => a.fromUtcMs - b.fromUtcMs)) {
    const before = last.get(rule);
    if (before !== undefined && fromUtcMs <= before.toUtcMs + JOIN_MS) {
      before.toUtcMs = Math.max(before.toUtcMs, toUtcMs);
    } else {
      const stretch = { rule, fromUtcMs, toUtcMs };
      last.set(rule, stretch);
      stretches.push(stretch);
    }
  }
  return stretches;
}
