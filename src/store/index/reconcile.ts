import { dirname, join } from "node:path";
import { toRecorderError } from "../../base/errors.ts";
import { type FolderRow, placeOf, type StoredSegment, type WalkKey } from "../catalog.ts";
import { type Root, type StoreContext, sizeOf } from "../context.ts";
import { boundedDetail } from "../journal.ts";
import { isDay, OPEN_SUFFIX, parseOpenName, parseSegmentFile, parseStreamName, stampAsUtcMs } from "../paths.ts";
import { list } from "../removal.ts";
import { saveOpenFile } from "../salvage.ts";
import { SEGMENT_CLOSED, SEGMENT_DELETING } from "../schema.ts";
import type { SegmentId } from "../types.ts";
import type { LiveState } from "./fill.ts";
import { settleFacts } from "./index-facts.ts";
import { correctRuns, countAgain, coverAgain, dropRows, enterSegments, type IndexEntry } from "./index-rows.ts";
import { BATCH, type DayFolder, Indexer, type IndexerOptions } from "./indexer.ts";
import { damageOf } from "./verify.ts";

/** What one pass put right. */
export interface ReconcileReport {
  segments: number;
  /** Rows entered, or made to say what their file says. */
  entered: number;
  /** Rows without a file. */
  dropped: number;
  /** Files of another size than they were sealed with; they stay, and their rows. */
  wrongSize: number;
  /** Files that were left open. */
  finished: number;
  gaps: number;
  deletions: number;
}

export interface ReconcileOptions extends IndexerOptions {
  readonly live: LiveState;
  /** True for a segment that is being written, closed or deleted. */
  readonly isBusy: (id: SegmentId) => boolean;
  /** Whether what is counted of rows is not what there is. */
  readonly countsWrong: () => Promise<boolean>;
  /** Runs a step of a segment that must not overlap with its others. */
  readonly alone: <T>(id: SegmentId, work: () => Promise<T>) => Promise<T>;
}

const DAY_MS = 86_400_000;
/** Rows of a walk through the catalog at once. */
const PAGE = 2000;
/** Runs in one statement. */
const RUNS = 256;

/** Makes the catalog say what files and journals say, folder by folder: Reconcile of README.md. */
export class Reconcile {
  readonly report: ReconcileReport = { segments: 0, entered: 0, dropped: 0, wrongSize: 0, finished: 0, gaps: 0, deletions: 0 };
  readonly #options: ReconcileOptions;
  readonly #context: StoreContext;
  readonly #indexer: Indexer;

  constructor(options: ReconcileOptions) {
    this.#options = options;
    this.#context = options.context;
    this.#indexer = new Indexer(options);
  }

  /** Reconcile 1 to 6 on whole roots; those without any recordings are left alone. */
  async roots(roots: readonly Root[]): Promise<ReconcileReport> {
    const { catalog, live } = this.#options;
    const present: Root[] = [];
    for (const root of roots) if ((await list(root.path)).some((name) => parseStreamName(name) !== null)) present.push(root);
    await this.#learn();
    const { folders, suspects } = await this.#walk(present);
    for (const folder of folders) await this.#attempt(join(folder.root.path, folder.name, folder.day), () => this.#folder(folder));
    for (const { root, segment } of suspects) await this.#dropVanished(root, [segment]);
    const settled = await settleFacts({
      ...this.#options,
      facts: this.#indexer.facts,
      isLive: (run) => live.isRunLive(run),
      isGapOpen: (place, fromUtcMs) => live.isGapOpen(place, fromUtcMs),
      offline: false,
    });
    if (await this.#options.countsWrong()) await catalog.write(countAgain);
    return Object.assign(this.report, settled);
  }

  /** The same for single folders. */
  async folders(folders: readonly DayFolder[]): Promise<ReconcileReport> {
    await this.#learn();
    for (const folder of folders) await this.#attempt(join(folder.root.path, folder.name, folder.day), () => this.#folder(folder));
    return this.report;
  }

  /** Reconcile 1: what journals tell, of all roots, and the runs that are known otherwise. */
  async #learn(): Promise<void> {
    const { catalog, live } = this.#options;
    const indexer = this.#indexer;
    await indexer.readJournals(await indexer.folders(this.#context.roots));
    const runs = indexer.journalledRuns().filter(({ run }) => !live.isRunLive(run));
    for (let at = 0; at < runs.length; at += RUNS) {
      await catalog.write((transaction) => correctRuns(transaction, runs.slice(at, at + RUNS)));
      await this.#rest();
    }
  }

  /** Reconcile 2: every day folder that there is or that the catalog speaks of, newest first; and rows that no folder would be asked for. */
  async #walk(roots: readonly Root[]) {
    const folders = new Map<string, DayFolder>();
    const note = (folder: DayFolder) => folders.set(`${folder.root.id}/${folder.name}/${folder.day}`, folder);
    for (const folder of await this.#indexer.folders(roots)) note(folder);
    const suspects: { readonly root: Root; readonly segment: StoredSegment }[] = [];
    let after: WalkKey = { runId: 0, sequence: -1 };
    for (;;) {
      const page = await this.#options.catalog.walk(after, PAGE);
      for (const segment of page) {
        const root = roots.find(({ id }) => id === segment.root);
        if (root === undefined) continue;
        const day = dirname(segment.file);
        const offMs = segment.startUtcMs - stampAsUtcMs(`${day}000000`);
        const fits = isDay(day) && offMs >= -DAY_MS && offMs < 2 * DAY_MS && parseStreamName(segment.name) !== null;
        if (fits) note({ root, name: segment.name, day });
        else suspects.push({ root, segment });
      }
      await this.#rest();
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE) break;
      after = { runId: last.runId, sequence: last.sequence };
    }
    return { folders: [...folders.values()].sort((a, b) => b.day.localeCompare(a.day) || a.name.localeCompare(b.name)), suspects };
  }

  async #folder(folder: DayFolder): Promise<void> {
    const { catalog, context } = this.#options;
    const { root, name, day } = folder;
    const listed = new Map(
      (await context.files.listFolder(join(root.path, name, day))).map(([entry, bytes]) => [`${day}/${entry}`, bytes]),
    );
    const rows = (await catalog.folderRows(name, root.id, day)).filter(({ state }) => state === SEGMENT_CLOSED);
    const known = new Map(rows.map((row) => [row.file, row]));
    for (const file of listed.keys()) if (file.endsWith(OPEN_SUFFIX)) await this.#finish(root, name, file);
    const names = [...listed.keys()].filter((file) => parseSegmentFile(file) !== null).map((file) => file.slice(day.length + 1));
    for (let at = 0; at < names.length; at += BATCH) {
      await this.#batch(folder, names.slice(at, at + BATCH), known, listed);
      await this.#rest();
    }
    await this.#dropVanished(
      root,
      rows.filter((row) => !listed.has(row.file)),
    );
    await catalog.write((transaction) =>
      coverAgain(
        transaction,
        rows.map((row) => ({ ...row, place: placeOf(row) })),
      ),
    );
    await this.#rest();
  }

  /** Reconcile 3: rows say what header and seal of their files say. */
  async #batch(folder: DayFolder, names: readonly string[], known: ReadonlyMap<string, FolderRow>, listed: ReadonlyMap<string, number>) {
    const { catalog, isBusy, meanwhile } = this.#options;
    const entries = await this.#indexer.entries(folder, names);
    const told = new Set(entries.map(({ file }) => file));
    for (const name of names) {
      const file = `${folder.day}/${name}`;
      const row = known.get(file);
      if (row !== undefined && !told.has(file)) await this.#measure(folder.root, row, listed.get(file) ?? 0);
    }
    this.report.segments += entries.length;
    const changed: IndexEntry[] = [];
    const wrong: StoredSegment[] = [];
    for (const entry of entries) {
      const row = known.get(entry.file);
      // Without hashes: a damaged file, of which the row knows as much as its mark.
      if (isBusy(entry) || (row !== undefined && (isSame(row, entry) || entry.crc64 === null))) continue;
      const damage = row === undefined ? null : await this.#damageOf(folder, row, entry);
      if (row !== undefined && damage !== null) {
        // In other words than the scrub's, which journals what it finds.
        if (row.damage === null) await catalog.markDamage(row, boundedDetail(`contradicts the catalog: ${damage}`));
        continue;
      }
      if (row !== undefined) {
        this.#context.log.error("reconcile.row-contradicts-file", {
          file: join(folder.root.path, folder.name, entry.file),
          run: entry.run,
        });
        wrong.push(row);
      } else if (await this.#isDuplicate(folder, entry)) {
        continue;
      }
      changed.push(entry);
    }
    if (changed.length === 0) return;
    const runs = this.#indexer.runsOf(changed);
    await catalog.write(async (transaction) => {
      const others = wrong.filter((row) => changed.every((entry) => entry.run !== row.run || entry.sequence !== row.sequence));
      this.report.entered += await enterSegments(transaction, changed, runs, meanwhile.gone);
      await dropRows(transaction, others);
      await coverAgain(transaction, [...changed, ...wrong.map((row) => ({ ...row, place: placeOf(row) }))]);
    });
  }

  /** Before a file is believed more than its row: why it must not be, null if it is whole and nobody else's. */
  async #damageOf(folder: DayFolder, row: FolderRow, entry: IndexEntry): Promise<string | null> {
    const other = row.run !== entry.run || row.sequence !== entry.sequence;
    if (other && (await this.#isDuplicate(folder, entry))) return `holds sequence ${entry.sequence} of run ${entry.run}`;
    if (row.blake3.toLowerCase() === entry.blake3) return null;
    const path = join(folder.root.path, folder.name, entry.file);
    return boundedDetail(damageOf(await this.#context.files.scanSegment(path, () => this.#rest()), entry));
  }

  /** Whether the segment is known under another file that is there too, or is being deleted. */
  async #isDuplicate({ root, name }: DayFolder, entry: IndexEntry): Promise<boolean> {
    const row = await this.#options.catalog.segment(entry);
    if (row === undefined || (row.file === entry.file && row.state === SEGMENT_CLOSED && row.root === root.id)) return false;
    if (row.state !== SEGMENT_CLOSED) return row.state === SEGMENT_DELETING;
    const other = this.#context.roots.find(({ id }) => id === row.root);
    const found = other === undefined ? null : await this.#readRow(other, row);
    if (found?.run !== entry.run || found.sequence !== entry.sequence) return false;
    this.#context.log.error("reconcile.duplicate", { path: join(root.path, name, entry.file), known: row.file });
    return true;
  }

  async #readRow(root: Root, row: StoredSegment): Promise<SegmentId | null> {
    return this.#context.files.readSegment(join(root.path, row.name, row.file)).catch(() => null);
  }

  /** A file that cannot be read, or has no seal any more: by its size one can tell that it was cut or grew. */
  async #measure(root: Root, row: StoredSegment, bytes: number): Promise<void> {
    if (bytes === row.bytes) return;
    this.report.wrongSize += 1;
    this.#context.log.error("reconcile.wrong-size", { path: join(root.path, row.name, row.file), bytes, expected: row.bytes });
    if (row.damage === null) await this.#options.catalog.markDamage(row, `the file has ${bytes} bytes, it was sealed with ${row.bytes}`);
  }

  /** Reconcile 4: a closed row whose file is nowhere goes, if the disk that answers so is the root. */
  async #dropVanished(root: Root, rows: readonly StoredSegment[]): Promise<void> {
    const { catalog, isBusy, alone } = this.#options;
    for (const row of rows) {
      if (isBusy(row)) continue;
      const path = join(root.path, row.name, row.file);
      await alone(row, async () => {
        const now = await catalog.segment(row);
        if (now?.state !== SEGMENT_CLOSED || now.file !== row.file || now.root !== row.root || (await sizeOf(path)) !== null) return;
        if (!this.#context.roots.includes(root)) return;
        await this.#context.files.checkRoot(root.handle);
        this.#context.log.error("reconcile.file-missing", { path });
        await catalog.write((transaction) => dropRows(transaction, [now]));
        this.report.dropped += 1;
      });
    }
  }

  /** Reconcile 5: Start 4 for a file that nobody has open. */
  async #finish(root: Root, name: string, file: string): Promise<void> {
    const { isBusy, alone } = this.#options;
    const id = parseOpenName(file.slice(file.indexOf("/") + 1));
    if (id === null || isBusy(id)) return;
    await this.#attempt(join(root.path, name, file), () =>
      alone(id, async () => {
        if (isBusy(id) || (await sizeOf(join(root.path, name, file))) === null) return;
        await saveOpenFile(this.#context, root, name, file, (head) => this.#indexer.placeOf(name, head));
        this.report.finished += 1;
      }),
    );
  }

  async #rest(): Promise<void> {
    await this.#options.pace.rest(this.#options.signal);
  }

  /** One folder or file that fails must not keep the others from being looked at. */
  async #attempt(path: string, work: () => Promise<void>): Promise<void> {
    const { signal } = this.#options;
    signal.throwIfAborted();
    try {
      await work();
    } catch (error) {
      signal.throwIfAborted();
      this.#context.log.error("reconcile.failed", { path, error: toRecorderError(error) });
    }
  }
}

function isSame(row: FolderRow, entry: IndexEntry): boolean {
  return (
    row.run === entry.run &&
    row.sequence === entry.sequence &&
    row.camera === entry.place.camera &&
    row.stream === entry.place.stream &&
    row.startUtcMs === entry.startUtcMs &&
    row.endUtcMs === entry.endUtcMs &&
    row.bytes === entry.bytes &&
    row.crc64.toLowerCase() === entry.crc64 &&
    row.blake3.toLowerCase() === entry.blake3
  );
}
