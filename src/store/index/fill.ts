import { join } from "node:path";
import type { Catalog, Meanwhile } from "../catalog.ts";
import type { Root, StoreContext } from "../context.ts";
import { segmentKey } from "../leases.ts";
import type { Pace } from "../pace.ts";
import { parseSegmentFile } from "../paths.ts";
import { list } from "../removal.ts";
import type { IndexReport, StreamPlace } from "../types.ts";
import type { Wanted } from "../wanted.ts";
import { settleFacts } from "./index-facts.ts";
import { coverAgain, enterDamages, enterSegments, type IndexEntry } from "./index-rows.ts";
import { BATCH, type DayFolder, Indexer } from "./indexer.ts";

/** What this process records, which files tell last. */
export interface LiveState {
  isRunLive(run: string): boolean;
  isGapOpen(place: StreamPlace, fromUtcMs: number): boolean;
}

export interface FillOptions {
  readonly context: StoreContext;
  /** Filled; empty, but for what is recorded meanwhile. */
  readonly catalog: Catalog;
  readonly roots: readonly Root[];
  readonly wanted: Wanted;
  /** Of the catalog that serves, since before anything of `catalog` was filled. */
  readonly meanwhile: Meanwhile;
  /** Null while nobody records. */
  readonly live: LiveState | null;
  readonly pace: Pace;
  readonly signal: AbortSignal;
  onProgress(progress: { readonly segments: number; readonly totalSegments: number }): void;
  /** The oldest day is in. If given it is entered before its turn, right after the newest: that is where room comes from. */
  readonly onOldest?: () => void;
}

/** Reindex 3 to 5 of README.md: fills a catalog from files and journals alone. */
export async function fillCatalog(options: FillOptions): Promise<IndexReport> {
  const { catalog, roots, live, onProgress, meanwhile } = options;
  const indexer = new Indexer(options);
  const folders = await indexer.folders(roots);
  await indexer.readJournals(folders);
  const days = await Promise.all(folders.map(async (folder) => ({ folder, names: await closedFiles(folder) })));
  const totalSegments = days.reduce((sum, { names }) => sum + names.length, 0);
  let segments = 0;
  onProgress({ segments, totalSegments });
  const [newest = "", oldest = ""] = [folders[0]?.day, folders.at(-1)?.day];
  const rank = ({ day }: DayFolder) => (options.onOldest === undefined || day === newest ? 0 : day === oldest ? 1 : 2);
  for (const { folder, names } of days.toSorted((a, b) => rank(a.folder) - rank(b.folder))) {
    if (rank(folder) === 2) options.onOldest?.();
    await fillDay(options, indexer, folder, names, (entered) => {
      segments += entered;
      onProgress({ segments, totalSegments });
    });
  }
  const settled = await settleFacts({
    catalog,
    facts: indexer.facts,
    meanwhile,
    isLive: (run) => live?.isRunLive(run) ?? false,
    isGapOpen: (place, fromUtcMs) => live?.isGapOpen(place, fromUtcMs) ?? false,
    offline: live === null,
  });
  return { ...indexer.report, ...settled };
}

/** Reads a batch while the one before is committed. */
async function fillDay(
  { catalog, meanwhile, pace, signal }: FillOptions,
  indexer: Indexer,
  folder: DayFolder,
  names: readonly string[],
  onBatch: (files: number) => void,
): Promise<void> {
  const stretches: IndexEntry[] = [];
  let committed: Promise<void> = Promise.resolve();
  const commit = async (entries: readonly IndexEntry[], last: boolean) => {
    const runs = indexer.runsOf(entries);
    const damages = entries.map((entry) => indexer.facts.damages.get(segmentKey(entry))).filter((mark) => mark !== undefined);
    await catalog.write(async (transaction) => {
      indexer.report.segments += await enterSegments(transaction, entries, runs, meanwhile.gone);
      // At once: what is entered may be asked for before all is settled.
      await enterDamages(transaction, damages);
      if (last) await coverAgain(transaction, stretches);
    });
  };
  for (let at = 0; at < names.length; at += BATCH) {
    const batch = names.slice(at, at + BATCH);
    const entries = await indexer.entries(folder, batch);
    for (const { place, startUtcMs, endUtcMs } of entries) stretches.push({ place, startUtcMs, endUtcMs } as IndexEntry);
    await committed;
    committed = commit(entries, at + BATCH >= names.length);
    committed.catch(() => undefined); // awaited below or with the next batch
    onBatch(batch.length);
    await pace.rest(signal);
  }
  await committed;
}

async function closedFiles({ root, name, day }: DayFolder): Promise<string[]> {
  const names = await list(join(root.path, name, day));
  return names.filter((entry) => parseSegmentFile(`${day}/${entry}`) !== null).sort();
}
