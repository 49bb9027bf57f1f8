import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sqlite3 from "sqlite3";
import { Connection } from "../../src/store/database.ts";
import type { ScrubStatus } from "../../src/store/types.ts";
import { Box, type ListedRow, until } from "../e2e/box.ts";
import { scan, segmentFiles } from "../e2e/segments.ts";
import { type CameraProcess, startCameraProcess } from "./camera-process.ts";
import { HistoryStore, placesOf, SERIAL, writeHistory } from "./history.ts";
import { progress } from "./proof.ts";
import { seededRandom } from "./rng.ts";
import { SegmentMint } from "./segment-mint.ts";

const VAR = join(import.meta.dirname, "..", "..", "var", "test");
const BLOCK_BYTES = 4096;
const HOUR_MS = 3_600_000;

export interface RotOptions {
  readonly name: string;
  readonly seed: number;
  /** Of eight streams and two roots, of one fragment each. */
  readonly segments: number;
  /** Files that are spoilt. */
  readonly rotten: number;
  /** Segments recorded from a camera before, of several fragments; they may rot as well. */
  readonly recorded: number;
}

export interface RotReport {
  readonly segments: number;
  readonly rotten: number;
  /** Spoilt files by how. */
  readonly kinds: Readonly<Record<string, number>>;
  /** Spoilt files without a mark, and marked ones that nobody spoilt; both must be empty. */
  readonly missed: readonly string[];
  readonly falsely: readonly string[];
  /** Spoilt segments that were handed out, others that were refused; must be empty. */
  readonly leases: readonly string[];
  /** Spoilt segments whose time the ledger does not tell as recorded and damaged, or damaged time that is not theirs; must be empty. */
  readonly ledger: readonly string[];
  /** Where `check --deep` disagrees; must be empty. */
  readonly check: readonly string[];
  /** Spoilt segments that a rebuilt catalog lists as whole; must be empty. `lost`: those whose files do not say any more what they are. */
  readonly reindex: readonly string[];
  readonly lost: number;
  /** Whether the alarm stood. */
  readonly alarm: boolean;
  /** Of the time, spent reading. */
  readonly share: number;
  readonly allowedShare: number;
  readonly bytesRead: number;
  readonly tookMs: number;
}

export function rotHolds(report: RotReport): boolean {
  const { missed, falsely, leases, ledger, check, reindex, alarm, share, allowedShare } = report;
  return [missed, falsely, leases, ledger, check, reindex].every((wrong) => wrong.length === 0) && alarm && share <= allowedShare;
}

/** A line of `ls --json` about a closed segment. */
type Listed = ListedRow & { readonly path: string; readonly run: string; readonly sequence: number; readonly damage: string | null };

/** Spoils recorded files while nobody looks, and lets a service find them while it records. */
export async function rotRun({ name, seed, segments, rotten, recorded }: RotOptions): Promise<RotReport> {
  const random = seededRandom(seed);
  const camera = await startCameraProcess(["--streams", "1", "--audio", "none"]);
  const box = await Box.create({ name, roots: ["a", "b"].map((root) => join(VAR, name, root)), segment: "4s" });
  try {
    const mint = await SegmentMint.open(`${name}-mint`);
    await recordAll(box, mint, camera, { segments, recorded, random });
    const { spoilt, kinds } = await spoil(box, rotten, random);
    progress(`${spoilt.size} files spoilt: ${JSON.stringify(kinds)}`);
    await forgetRounds(box);
    const began = Date.now();
    await box.serve();
    const { scrub, alarms } = await until("a whole round", () => roundOver(box), 1_800_000);
    const tookMs = Date.now() - began;
    progress(`round over after ${(tookMs / 1000).toFixed(0)} s, share ${scrub.share.toFixed(4)}, ${scrub.damaged} damaged`);
    const rows = await closedRows(box);
    const marked = rows.filter(({ damage }) => damage !== null);
    const ledger = await judgeLedger(box, marked);
    const check = await judgeCheck(box, spoilt);
    await box.end();
    const leases = await judgeLeases(box, mint, rows, spoilt);
    await box.run("reindex");
    await box.serve();
    const rebuilt = await closedRows(box);
    const found = new Set(marked.map(({ path }) => path));
    return {
      segments: rows.length,
      rotten: spoilt.size,
      kinds,
      missed: [...spoilt].filter(([path]) => !found.has(path)).map(([path, how]) => `${path}: ${how}`),
      falsely: marked.filter(({ path }) => !spoilt.has(path)).map(({ path, damage }) => `${path}: ${damage}`),
      leases,
      ledger,
      check,
      reindex: rebuilt.filter(({ path, damage }) => spoilt.has(path) && damage === null).map(({ path }) => path),
      lost: [...spoilt.keys()].filter((path) => !rebuilt.some((row) => row.path === path)).length,
      alarm: alarms.some(({ code }) => code === "segment-damaged"),
      share: scrub.share,
      allowedShare: scrub.allowedShare,
      bytesRead: scrub.bytes,
      tookMs,
    };
  } finally {
    await box.end("SIGKILL");
    await camera.stop();
  }
}

async function recordAll(
  box: Box,
  mint: SegmentMint,
  camera: CameraProcess,
  { segments, recorded, random }: Pick<RotOptions, "segments" | "recorded"> & { readonly random: () => number },
): Promise<void> {
  const hours = Math.max(2, Math.ceil(segments / 400));
  await writeHistory(box, mint, { segments, hours, endUtcMs: Date.now() - HOUR_MS, random, url: camera.urls["cam1"] ?? "" });
  await box.serve();
  const closed = async () => (box.logOf("cam1", "segment.ended").length >= recorded ? true : null);
  await until("recorded segments", closed, 20_000 + recorded * 8000);
  await box.end();
}

/** As if a day had passed: what was read while recording is read again. */
async function forgetRounds(box: Box): Promise<void> {
  const connection = await Connection.open(join(box.dir, "state", "catalog.db"), sqlite3.OPEN_READWRITE);
  await connection.run("DELETE FROM meta WHERE key = 'scrub'");
  await connection.close();
}

/** Path and how, of the files that were spoilt; what each is must have changed. */
async function spoil(box: Box, rotten: number, random: () => number) {
  const files = (await Promise.all(box.roots.map(segmentFiles))).flat().filter((path) => path.endsWith(".mp4"));
  const below = (bound: number) => Math.floor(random() * bound);
  const spoilt = new Map<string, string>();
  const kinds: Record<string, number> = {};
  while (spoilt.size < Math.min(rotten, files.length)) {
    const path = files[below(files.length)] ?? "";
    if (spoilt.has(path)) continue;
    const whole = await readFile(path);
    const { fragments } = await scan(path);
    const fragment = fragments[below(fragments.length)];
    const sealAt = (fragments.at(-1)?.offset ?? 0) + (fragments.at(-1)?.bytes ?? 0);
    const kind = KINDS[below(KINDS.length)] ?? "bit";
    const bytes = Buffer.from(whole);
    const flip = (from: number, to: number, length = 1) => {
      const at = from + below(to - from);
      for (let index = at; index < Math.min(at + length, bytes.length); index += 1) bytes[index] = (bytes[index] ?? 0) ^ (1 + below(255));
    };
    const blockAt = below(Math.ceil(bytes.length / BLOCK_BYTES)) * BLOCK_BYTES;
    let result: Uint8Array = bytes;
    if (kind === "bit") {
      const at = below(bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8));
    } else if (kind === "bytes") flip(0, bytes.length, 1 + below(64));
    else if (kind === "header") flip(0, fragments[0]?.offset ?? 1);
    else if (kind === "moof") flip(fragment?.offset ?? 0, (fragment?.offset ?? 0) + 120);
    else if (kind === "seal") flip(sealAt, bytes.length);
    else if (kind === "zeroed block") bytes.subarray(blockAt, blockAt + BLOCK_BYTES).fill(0);
    else if (kind === "foreign block")
      (await readFile(files[below(files.length)] ?? "")).subarray(blockAt, blockAt + BLOCK_BYTES).copy(bytes, blockAt);
    else if (kind === "cut") result = bytes.subarray(0, below(bytes.length));
    else if (kind === "cut at the seal") result = bytes.subarray(0, sealAt);
    else result = Buffer.concat([bytes, Buffer.alloc(1 + below(100))]);
    if (whole.equals(result)) continue;
    await writeFile(path, result);
    spoilt.set(path, kind);
    kinds[kind] = (kinds[kind] ?? 0) + 1;
  }
  return { spoilt, kinds };
}

const KINDS = ["bit", "bytes", "header", "moof", "seal", "zeroed block", "foreign block", "cut", "cut at the seal", "grown"] as const;

interface Status {
  readonly scrub: ScrubStatus;
  readonly alarms: readonly { readonly code: string }[];
}

/** The status once every root's round is over; null before. */
async function roundOver(box: Box): Promise<Status | null> {
  const [status] = await box.json<Status>("status");
  const rounds = status?.scrub.rounds ?? [];
  return status !== undefined && rounds.length === box.roots.length && rounds.every(({ reachedUtcMs }) => reachedUtcMs === null)
    ? status
    : null;
}

async function closedRows(box: Box): Promise<Listed[]> {
  return (await box.list()).filter((row): row is Listed => row.kind === "segment" && row.state === "closed");
}

/** Damaged time of the ledger is that of the marked segments, to the millisecond. */
async function judgeLedger(box: Box, marked: readonly Listed[]): Promise<string[]> {
  const wrong: string[] = [];
  for (const { camera, stream } of placesOf(SERIAL)) {
    const told = (
      await box.json<{ kind: string; state: string; detail: string | null; from: number; to: number }>(
        "ledger",
        camera,
        "--stream",
        stream,
        "--zoom",
        "exact",
        "--from",
        "-240h",
      )
    ).filter(({ kind, detail }) => kind === "interval" && detail?.startsWith("damaged: "));
    const mine = marked.filter((row) => row.camera === camera && row.stream === stream);
    for (const { from, to, path } of mine) {
      if (!told.some((span) => span.state === "recorded" && span.from <= from + 1 && span.to >= to - 1)) wrong.push(`${path}: not told`);
    }
    for (const { from, to } of told) {
      if (!mine.some((row) => row.from <= from && row.to >= to - 1)) {
        const covered = mine.filter((row) => row.from < to && row.to > from).reduce((sum, row) => sum + row.to - row.from, 0);
        if (covered < to - from - 2) wrong.push(`${camera} ${stream}: ${from} to ${to} told as damaged`);
      }
    }
  }
  return wrong;
}

/** `check --deep` complains of the spoilt files and of no other. */
async function judgeCheck(box: Box, spoilt: ReadonlyMap<string, string>): Promise<string[]> {
  const { stdout } = await box.run("check", "--deep", "--json");
  const { findings } = JSON.parse(stdout) as { findings: readonly { code: string; path: string }[] };
  const named = new Set(findings.map(({ path }) => path));
  return [
    ...[...spoilt.keys()].filter((path) => !named.has(path)).map((path) => `${path}: not found by check`),
    ...findings.filter(({ path }) => !spoilt.has(path)).map(({ code, path }) => `${path}: ${code}`),
  ];
}

async function judgeLeases(box: Box, mint: SegmentMint, rows: readonly Listed[], spoilt: ReadonlyMap<string, string>): Promise<string[]> {
  const history = await HistoryStore.open(box, mint, Date.now());
  const wrong: string[] = [];
  for (const { run, sequence, path } of rows) {
    const answer = await history.store.lease({ run, sequence }).then(
      (lease) => {
        lease?.release();
        return lease === null ? "nothing" : "given";
      },
      (error: { code?: string }) => error.code,
    );
    if (answer !== (spoilt.has(path) ? "SEGMENT_DAMAGED" : "given")) wrong.push(`${path}: ${answer}`);
  }
  await history.store.stop();
  return wrong;
}
