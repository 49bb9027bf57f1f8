import type { LedgerItem } from "../../../src/commands/ledger.ts";
import type { ListedRow } from "../../e2e/box.ts";
import { segmentFiles } from "../../e2e/segments.ts";
import { type RecordedFrame, readRecording } from "../../fakes/frames.ts";
import { CAMERA, type Site } from "./site.ts";

/** What is meant by "equal to the second". */
const TOLERANCE_MS = 500;
/** A fragment is as long as its media; where wall time is pulled back, the next one begins so much before its end, at most. */
const PULLED_BACK_MS = 30;
const FAR = "2200-01-01T00:00:00Z";

export interface Expectation {
  /** Clocks that media is stamped by in the end, in this order: each minus ours, milliseconds. */
  readonly offsetsMs: readonly number[];
  /** What the ledger tells from the camera's first trace to now, each once. */
  readonly states: readonly string[];
}

interface Stretch {
  readonly from: number;
  readonly to: number;
}

/** Compares what the service tells with what the camera knows of the pictures in its files; returns what differs. */
export async function judge(site: Site, expected: Expectation): Promise<string[]> {
  const { box } = site;
  const rows = await box.json<ListedRow>("ls", CAMERA, "--from", "1970-01-01T00:00:00Z", "--to", FAR);
  const told = (await box.json<LedgerItem>("ledger", CAMERA, "--zoom", "exact", "--from", "1970-01-01T00:00:00Z")).filter(
    (item) => item.kind === "interval",
  );
  const buckets = told.length === 0 ? [] : await secondsOf(site, told);
  await box.end("SIGTERM");
  const check = await box.run("check", "--deep", "--json");
  const problems = check.code === 0 ? [] : [`check: ${check.stdout}${check.stderr}`];
  const segments = rows.filter(({ kind, state }) => kind === "segment" && state === "closed");
  const files = await segmentFiles(box.roots[0] ?? "");
  const ended = box.log.filter(({ event }) => event === "segment.ended").length;
  if (files.length < ended) problems.push(`${ended} segments were recorded, ${files.length} files are left`);
  problems.push(...overlaps(segments));
  const truth = await truthOf(site, segments, expected.offsetsMs, problems);
  problems.push(...compare(told, truth, expected.states), ...compareSeconds(buckets, told));
  return problems;
}

/** Where the pictures of the listed files are in time, by the camera; rows that say otherwise are problems. */
async function truthOf(site: Site, segments: readonly ListedRow[], offsetsMs: readonly number[], problems: string[]): Promise<Stretch[]> {
  const truth: Stretch[] = [];
  const read: { readonly row: ListedRow; readonly first: RecordedFrame; readonly last: RecordedFrame }[] = [];
  // A camera on a busy machine sends late what it has shown in time: of a run its least-delayed picture tells when the others were shown.
  const shownFrom = new Map<string, number>();
  for (const row of segments) {
    const { frames } = await readRecording(row.path ?? "");
    const [first, last] = [frames[0], frames.at(-1)];
    if (first === undefined || last === undefined) problems.push(`${row.path}: no picture`);
    else read.push({ row, first, last });
    const run = row.run ?? "";
    for (const { number, sentUtcUs } of frames) {
      shownFrom.set(run, Math.min(shownFrom.get(run) ?? Number.POSITIVE_INFINITY, sentUtcUs / 1000 - number * site.pictureMs));
    }
  }
  const shown = (row: ListedRow, { number }: RecordedFrame) => (shownFrom.get(row.run ?? "") ?? Number.NaN) + number * site.pictureMs;
  const bySent = read.map(({ row, first, last }) => ({ row, sent: shown(row, first), lastSent: shown(row, last) + site.pictureMs }));
  bySent.sort((a, b) => a.sent - b.sent);
  let clock = 0;
  for (const { sent, lastSent, row } of bySent) {
    const at = offsetsMs.findIndex((offset, index) => index >= clock && Math.abs(row.from - (sent + offset)) <= TOLERANCE_MS);
    if (at < 0) {
      problems.push(
        `${row.path}: from ${text(row.from)}, the camera sent it at ${offsetsMs.map((offset) => text(sent + offset)).join(" or ")}`,
      );
      continue;
    }
    clock = at;
    const offset = offsetsMs[at] ?? 0;
    if (Math.abs(row.to - (lastSent + offset)) > TOLERANCE_MS)
      problems.push(`${row.path}: to ${text(row.to)}, the camera sent the last at ${text(lastSent + offset)}`);
    truth.push({ from: sent + offset, to: lastSent + offset });
  }
  return truth;
}

function overlaps(segments: readonly ListedRow[]): string[] {
  const sorted = [...segments].sort((a, b) => a.from - b.from);
  return sorted.flatMap((row, index) => {
    const before = sorted[index - 1];
    return before !== undefined && row.from < before.to - PULLED_BACK_MS
      ? [`${row.path} begins ${before.to - row.from} ms before ${before.path} ends`]
      : [];
  });
}

/** The ledger's intervals against the pictures: the same states in order, and recorded where and only where pictures are. */
function compare(
  told: readonly Extract<LedgerItem, { kind: "interval" }>[],
  truth: readonly Stretch[],
  states: readonly string[],
): string[] {
  const problems: string[] = [];
  const said = told.map(({ state }) => state).filter((state, index, all) => state !== all[index - 1]);
  // Before the first trace there is nothing to tell.
  if (said[0] === "not-planned") said.shift();
  if (JSON.stringify(said) !== JSON.stringify(states)) problems.push(`the ledger tells ${said.join(", ")}; true is ${states.join(", ")}`);
  const now = told.at(-1)?.to ?? 0;
  const recorded = told.filter(({ state }) => state === "recorded");
  for (const { from, to } of truth) {
    // What a clock that was set back showed is in the future for a while.
    if (from >= now) continue;
    const held = recorded.some((item) => item.from <= from + TOLERANCE_MS && item.to >= Math.min(to, now) - TOLERANCE_MS);
    if (!held) problems.push(`pictures from ${text(from)} to ${text(to)} are not recorded to the ledger`);
  }
  const sorted = [...truth].sort((a, b) => a.from - b.from);
  for (const item of recorded) {
    const within = sorted.filter(({ from, to }) => to > item.from && from < item.to);
    let at = item.from;
    for (const { from, to } of within) {
      if (from - at > TOLERANCE_MS) problems.push(`recorded to the ledger from ${text(at)} to ${text(from)}, without a picture`);
      at = Math.max(at, to);
    }
    // The segment that grows has no row to be compared yet.
    if (item.to < now && item.to - at > TOLERANCE_MS)
      problems.push(`recorded to the ledger from ${text(at)} to ${text(item.to)}, without a picture`);
  }
  return problems;
}

/** The same by seconds, around each place where the state changes. */
async function secondsOf(site: Site, told: readonly Extract<LedgerItem, { kind: "interval" }>[]) {
  const buckets: Extract<LedgerItem, { kind: "bucket" }>[] = [];
  const now = told.at(-1)?.to ?? 0;
  for (const { from } of told.slice(1)) {
    const range = [new Date(from - 3000).toISOString(), new Date(Math.min(from + 3000, now)).toISOString()] as const;
    const items = await site.box.json<LedgerItem>("ledger", CAMERA, "--zoom", "1s", "--from", range[0], "--to", range[1]);
    buckets.push(...items.filter((item) => item.kind === "bucket"));
  }
  return buckets;
}

/** Each second must hold what the intervals say of it. */
function compareSeconds(
  buckets: readonly Extract<LedgerItem, { kind: "bucket" }>[],
  told: readonly Extract<LedgerItem, { kind: "interval" }>[],
): string[] {
  const first = told[0]?.from ?? 0;
  return buckets.flatMap(({ from, to, states }) => {
    if (from < first) return [];
    const differs = Object.entries(states).filter(([state, ms]) => {
      const parts = told.filter((item) => item.state === state).map((item) => Math.min(item.to, to) - Math.max(item.from, from));
      return Math.abs((ms ?? 0) - parts.reduce((sum, part) => sum + Math.max(0, part), 0)) > 20;
    });
    return differs.length === 0 ? [] : [`second ${text(from)}: ${JSON.stringify(states)} differs from the intervals`];
  });
}

const text = (utcMs: number): string => new Date(utcMs).toISOString();
