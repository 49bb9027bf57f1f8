import type { Alarms } from "../../base/alarms.ts";
import { sleep } from "../../base/clock.ts";
import { RecorderError, toRecorderError } from "../../base/errors.ts";
import { Catalog, type Meanwhile } from "../catalog.ts";
import { readShifts, writeShift } from "../clock/shift-rows.ts";
import type { Root, StoreContext } from "../context.ts";
import type { Database } from "../database.ts";
import type { Gaps } from "../gaps.ts";
import type { OpenSegments } from "../open-segments.ts";
import { Pace } from "../pace.ts";
import { parseStreamName } from "../paths.ts";
import { list } from "../removal.ts";
import type { Roots } from "../roots/roots.ts";
import type { ReindexOptions, ReindexReport, SegmentId } from "../types.ts";
import type { Wanted } from "../wanted.ts";
import {
  askAside,
  CATALOG_TABLES,
  installFresh,
  markComplete,
  openCatalog,
  openFresh,
  openReplacement,
  removeFresh,
  setAside,
  tableProblem,
} from "./catalog-file.ts";
import { fillCatalog, type LiveState } from "./fill.ts";
import { COUNTS_WRONG } from "./index-rows.ts";
import type { DayFolder } from "./indexer.ts";
import type { LiveDatabase } from "./live-database.ts";
import { Reconcile } from "./reconcile.ts";

/** `catalog.db` as it was opened. */
export interface CatalogFile {
  readonly database: LiveDatabase;
  /** Why it does not have everything; null if it has. */
  readonly incomplete: string | null;
  readonly stateDir: string;
  readonly alarms: Pick<Alarms, "raise" | "clear">;
}

export interface KeeperOptions extends CatalogFile {
  readonly context: StoreContext;
  /** What the desired document says now. */
  readonly wanted: () => Promise<Wanted>;
  readonly open: OpenSegments;
  readonly gaps: Gaps;
  readonly roots: Pick<Roots, "known">;
  /** True for a segment that is being written, closed or deleted. */
  readonly isBusy: (id: SegmentId) => boolean;
  readonly alone: <T>(id: SegmentId, work: () => Promise<T>) => Promise<T>;
}

/** Share of time in which a catalog that was lost is filled again behind the recording. */
const REFILL_SHARE = 0.5;
/** Share of time in which files and catalog are compared. */
const RECONCILE_SHARE = 0.05;
/** Folders that wait to be looked at; more are found by the next pass. */
const MAX_SUSPECTS = 1000;
/** What failed is begun again so much later. */
const RETRY_MS = 60_000;

/** Keeps the catalog what files and journals say: Reindex of README.md. */
export class Keeper implements LiveState {
  readonly #options: KeeperOptions;
  readonly #stopping = new AbortController();
  /** What is under way, one at a time; null if nothing is. */
  #work: Promise<unknown> | null = null;
  /** Why the catalog does not have everything; null while it has. */
  #damage: string | null;
  #giveWay = new AbortController();
  #held: PromiseWithResolvers<void> | null = null;
  #holders = 0;
  #reindexing = false;
  readonly #suspects = new Map<string, DayFolder>();
  #settled = false;
  #replacements = 0;
  #knowsOldest = false;
  #refilling: Promise<void> | null = null;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#damage = options.incomplete;
  }

  /** Start 1: from here on a catalog that turns out damaged is replaced. Raises the alarm for one that was found so. */
  async begin(): Promise<void> {
    this.#options.database.repair = (error) => this.#replace(error);
    if (this.#damage === null) return;
    if (await this.#hasRecordings()) this.#alarm(this.#damage);
    else await this.#complete();
  }

  /** Counts the catalogs that had to be replaced. */
  get replacements(): number {
    return this.#replacements;
  }

  /** False while the catalog cannot tell which segments are the oldest. */
  get knowsOldest(): boolean {
    return this.#damage === null || this.#knowsOldest;
  }

  /**
   * Behind READY: fills a catalog that had to be set aside, else compares it with all files. Resolves when that is done, or the service
   * stops; never rejects.
   */
  async settle(): Promise<void> {
    this.#settled = true;
    if (this.#damage === null) await this.#background((_, signal) => this.#verify(signal));
    if (this.#damage === null) await this.reconcile(this.#options.context.roots);
    await this.#refill();
  }

  /**
   * Compares the catalog with all files of these roots behind the recording: also for one that has come back. Before `settle`, which looks at
   * all of them, it does nothing. Never rejects.
   */
  async reconcile(roots: readonly Root[]): Promise<void> {
    if (!this.#settled) return;
    const { clock, log } = this.#options.context;
    await this.#background(async (meanwhile, signal) => {
      const beganMonoMs = clock.monoMs();
      const report = await (await this.#reconciler(meanwhile, signal)).roots(roots);
      log.info("catalog.reconciled", { ...report, tookMs: Math.round(clock.monoMs() - beganMonoMs) });
    });
  }

  /** A file that was not what its row says: its folder is compared as soon as nothing else is. */
  suspect(folder: DayFolder): void {
    if (!this.#settled || this.#suspects.size >= MAX_SUSPECTS) return;
    const idle = this.#suspects.size === 0;
    this.#suspects.set(`${folder.root.id}/${folder.name}/${folder.day}`, folder);
    if (idle) void this.#background((meanwhile, signal) => this.#lookAtSuspects(meanwhile, signal));
  }

  async #lookAtSuspects(meanwhile: Meanwhile, signal: AbortSignal): Promise<void> {
    const folders = [...this.#suspects.values()];
    const report = await (await this.#reconciler(meanwhile, signal)).folders(folders);
    for (const [key, folder] of this.#suspects) if (folders.includes(folder)) this.#suspects.delete(key);
    this.#options.context.log.info("catalog.folders-reconciled", { folders: folders.length, ...report });
  }

  async #reconciler(meanwhile: Meanwhile, signal: AbortSignal): Promise<Reconcile> {
    const { context, isBusy, alone } = this.#options;
    const pace = new Pace(context.clock, RECONCILE_SHARE);
    const wanted = await this.#options.wanted();
    const countsWrong = async () => (await askAside<{ wrong: number }>(this.#options.stateDir, COUNTS_WRONG))?.wrong !== 0;
    return new Reconcile({ context, catalog: context.catalog, wanted, meanwhile, live: this, isBusy, alone, countsWrong, pace, signal });
  }

  /** Damage that no call has met yet, table by table on a connection of its own. */
  async #verify(signal: AbortSignal): Promise<void> {
    const { context, database, stateDir } = this.#options;
    const pace = new Pace(context.clock, RECONCILE_SHARE);
    for (const table of CATALOG_TABLES) {
      const problem = await tableProblem(stateDir, table);
      if (problem !== null) {
        await database.replace(new RecorderError("DATABASE_FAILED", `table ${table}: ${problem}`));
        return;
      }
      await pace.rest(signal);
    }
  }

  async #watching<T>(work: (meanwhile: Meanwhile) => Promise<T>): Promise<T> {
    const { catalog } = this.#options.context;
    const meanwhile = catalog.watch();
    try {
      return await work(meanwhile);
    } finally {
      catalog.unwatch(meanwhile);
    }
  }

  /**
   * Work that gives way: to a reindex, which makes it superfluous, and to `hold`, after which it begins again. What fails is logged: the next
   * start, or the next who asks, begins again.
   */
  async #background(work: (meanwhile: Meanwhile, signal: AbortSignal) => Promise<void>): Promise<void> {
    const { log } = this.#options.context;
    for (;;) {
      await this.#held?.promise;
      const giveWay = new AbortController();
      try {
        await this.#alone(() => {
          this.#giveWay = giveWay;
          if (this.#held !== null) giveWay.abort(new RecorderError("CONFLICT", "what was recorded is being moved"));
          return this.#watching((meanwhile) => work(meanwhile, AbortSignal.any([this.#stopping.signal, giveWay.signal])));
        });
        return;
      } catch (error) {
        if (this.#stopping.signal.aborted || this.#reindexing) return;
        if (!giveWay.signal.aborted) {
          log.error("catalog.not-reconciled", { error: toRecorderError(error) });
          return;
        }
      }
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new RecorderError("NOT_RUNNING", "the service stops"));
    this.#holders = 0;
    this.release();
    await Promise.allSettled([this.#work, this.#refilling]);
  }

  /** True while the catalog is being rebuilt: files keep their names, and times stay as they are. */
  get busy(): boolean {
    return this.#reindexing || this.#damage !== null;
  }

  /**
   * From here to `release`, of each who asked, nothing compares rows with files: both are about to be moved together. What that breaks off
   * begins again.
   */
  hold(): void {
    this.#holders += 1;
    this.#held ??= Promise.withResolvers<void>();
    this.#giveWay.abort(new RecorderError("CONFLICT", "what was recorded is being moved"));
  }

  release(): void {
    this.#holders = Math.max(0, this.#holders - 1);
    if (this.#holders > 0) return;
    this.#held?.resolve();
    this.#held = null;
  }

  isRunLive(run: string): boolean {
    return this.#options.open.hasRun(run);
  }

  isGapOpen(place: { readonly camera: string; readonly name: string }, fromUtcMs: number): boolean {
    return this.#options.gaps.list().some((gap) => gap.camera === place.camera && gap.name === place.name && gap.fromUtcMs === fromUtcMs);
  }

  /**
   * Reindex: fills a fresh catalog from files and journals alone and puts it in the place of the one that serves. `recording` false: nobody
   * records, and the next start tells why the last process ended. After a rejection the old one serves on.
   * @throws RecorderError CONFLICT while another one is under way.
   */
  async reindex(options: ReindexOptions, recording: boolean): Promise<ReindexReport> {
    if (this.#reindexing) throw new RecorderError("CONFLICT", "the catalog is being rebuilt already");
    this.#reindexing = true;
    this.#giveWay.abort(new RecorderError("CONFLICT", "the catalog is being rebuilt"));
    try {
      return await this.#alone(async () => {
        const signal = AbortSignal.any([options.signal, this.#stopping.signal]);
        const report = await this.#reindex({ ...options, signal }, recording);
        await this.#complete();
        return report;
      });
    } finally {
      this.#reindexing = false;
    }
  }

  async #reindex({ signal, onProgress }: ReindexOptions, recording: boolean): Promise<ReindexReport> {
    const { context, database, stateDir } = this.#options;
    const beganMonoMs = context.clock.monoMs();
    const fresh = await openFresh(stateDir);
    const catalog = new Catalog(fresh, context.catalog.shift);
    const meanwhile = context.catalog.watch();
    try {
      await catalog.takeRoots(await context.catalog.roots());
      const shifts = await readShifts(context.catalog.reader);
      await catalog.write(async (transaction) => {
        for (const state of shifts) await writeShift(transaction, state);
      });
      database.mirror(fresh);
      const { deleting } = meanwhile;
      await Promise.all([...this.#restate(catalog), ...deleting.map(({ segment, rule }) => catalog.noteDeletion(segment, rule))]);
      const report = await fillCatalog({
        context,
        catalog,
        roots: context.roots,
        wanted: await this.#options.wanted(),
        meanwhile,
        live: recording ? this : null,
        pace: new Pace(context.clock, 1),
        signal,
        onProgress,
      });
      const runs = (await catalog.reader.get<{ n: number }>("SELECT count(*) AS n FROM run"))?.n ?? 0;
      signal.throwIfAborted();
      await this.#swap(fresh);
      const tookMs = context.clock.monoMs() - beganMonoMs;
      const segmentsPerSecond = Math.round((report.segments * 1000) / Math.max(1, tookMs));
      const result = { ...report, runs, tookMs: Math.round(tookMs), segmentsPerSecond };
      context.log.info("catalog.rebuilt", { ...result });
      return result;
    } catch (error) {
      database.unmirror();
      await fresh.close();
      await removeFresh(stateDir);
      throw error;
    } finally {
      context.catalog.unwatch(meanwhile);
    }
  }

  async #alone<T>(work: () => Promise<T>): Promise<T> {
    while (this.#work !== null) await this.#work.catch(() => undefined);
    this.#stopping.signal.throwIfAborted();
    const mine = work();
    this.#work = mine;
    try {
      return await mine;
    } finally {
      this.#work = null;
    }
  }

  /** Damage 1 to 3: the damaged catalog is set aside; an empty one takes its place and is told what goes on. */
  async #replace(error: unknown): Promise<void> {
    const { context, database, stateDir } = this.#options;
    const { message } = toRecorderError(error);
    this.#alarm(message);
    const roots = this.#options.roots.known();
    this.#knowsOldest = false;
    await database.change(async (served) => {
      await served.close().catch(() => undefined); // what it answers does not matter any more
      await setAside(stateDir, context.clock.utcMs());
      const { database: empty } = await openReplacement(stateDir, message);
      const catalog = new Catalog(empty, context.catalog.shift);
      await Promise.all([catalog.takeRoots(roots), ...this.#restate(catalog)]);
      return empty;
    });
    this.#damage = message;
    this.#replacements += 1;
    if (this.#settled) void this.#refill();
  }

  /** Damage 4: behind the recording the catalog is filled from files and journals. */
  #refill(): Promise<void> {
    this.#refilling ??= this.#untilFilled().finally(() => {
      this.#refilling = null;
    });
    return this.#refilling;
  }

  async #untilFilled(): Promise<void> {
    const { context } = this.#options;
    const { signal } = this.#stopping;
    while (this.#damage !== null && !signal.aborted) {
      try {
        await this.#alone(async () => {
          this.#giveWay = new AbortController();
          if (this.#damage !== null) await this.#fill(AbortSignal.any([signal, this.#giveWay.signal]));
        });
      } catch (error) {
        if (signal.aborted) return;
        if (this.#reindexing) continue;
        context.log.error("catalog.not-filled", { error: toRecorderError(error) });
        await sleep(context.clock, RETRY_MS, signal).catch(() => undefined);
      }
    }
  }

  async #fill(signal: AbortSignal): Promise<void> {
    const { context } = this.#options;
    const damage = this.#damage;
    const beganMonoMs = context.clock.monoMs();
    const { catalog } = context;
    const report = await this.#watching(async (meanwhile) =>
      fillCatalog({
        context,
        catalog,
        roots: context.roots,
        wanted: await this.#options.wanted(),
        meanwhile,
        live: this,
        pace: new Pace(context.clock, REFILL_SHARE),
        signal,
        onProgress: () => {},
        onOldest: () => {
          this.#knowsOldest = true;
        },
      }),
    );
    context.log.info("catalog.filled", { ...report, tookMs: Math.round(context.clock.monoMs() - beganMonoMs) });
    if (damage === this.#damage) await this.#complete();
  }

  async #hasRecordings(): Promise<boolean> {
    for (const { path } of this.#options.context.roots) {
      if ((await list(path)).some((name) => parseStreamName(name) !== null)) return true;
    }
    return false;
  }

  #alarm(detail: string): void {
    this.#options.alarms.raise("catalog-damaged", "", `the catalog was damaged and is being rebuilt from files: ${detail}`);
  }

  async #complete(): Promise<void> {
    await markComplete(this.#options.database);
    this.#damage = null;
    this.#options.alarms.clear("catalog-damaged", "");
  }

  /** Reindex 6: all calls wait while the fresh catalog takes the place of the one that served. */
  async #swap(fresh: Database): Promise<void> {
    const { database, stateDir, context } = this.#options;
    let failure: unknown = null;
    await database.change(async (served) => {
      await served.close();
      await fresh.close(); // what was mirrored is committed
      failure = database.unmirror();
      if (failure === null) {
        try {
          return await installFresh(stateDir);
        } catch (error) {
          failure = error;
        }
      }
      return (await openCatalog(stateDir, context.clock.utcMs())).database;
    });
    if (failure !== null) throw toRecorderError(failure, "DATABASE_FAILED");
  }

  /** What goes on is in memory and in files that are not finished: the catalog learns it anew. Asked for in one turn, in order. */
  #restate(catalog: Catalog): Promise<unknown>[] {
    const { open, gaps } = this.#options;
    return [
      ...open.runs().map((run) => catalog.beginRun(run)),
      ...open.list().map(({ run, sequence, root, file, startUtcMs }) => catalog.openSegment(run, sequence, root.id, file, startUtcMs)),
      ...gaps.list().map((gap) => catalog.openGap(gap, gap.fromUtcMs, gap.cause, gap.detail)),
    ];
  }
}
