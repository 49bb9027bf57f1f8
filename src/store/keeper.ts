import type { Alarms } from "../base/alarms.ts";
import { RecorderError, toRecorderError } from "../base/errors.ts";
import { Catalog } from "./catalog.ts";
import { installFresh, openCatalog, openFresh, removeFresh } from "./catalog-file.ts";
import type { StoreContext } from "./context.ts";
import type { Database } from "./database.ts";
import { fillCatalog, type LiveState } from "./fill.ts";
import type { Gaps } from "./gaps.ts";
import type { LiveDatabase } from "./live-database.ts";
import type { OpenSegments } from "./open-segments.ts";
import { Pace } from "./pace.ts";
import type { ReindexOptions, ReindexReport } from "./types.ts";
import type { Wanted } from "./wanted.ts";

/** `catalog.db` as it was opened. */
export interface CatalogFile {
  readonly database: LiveDatabase;
  /** Why what was there had to be set aside; null if it had not. */
  readonly damage: string | null;
  readonly stateDir: string;
  readonly alarms: Pick<Alarms, "raise" | "clear">;
}

export interface KeeperOptions extends CatalogFile {
  readonly context: StoreContext;
  /** What the desired document says now. */
  readonly wanted: () => Promise<Wanted>;
  readonly open: OpenSegments;
  readonly gaps: Gaps;
}

/** Keeps the catalog what files and journals say: Reindex of README.md. */
export class Keeper implements LiveState {
  readonly #options: KeeperOptions;
  #busy = false;

  constructor(options: KeeperOptions) {
    this.#options = options;
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
  async reindex({ signal, onProgress }: ReindexOptions, recording: boolean): Promise<ReindexReport> {
    const { context, database, stateDir } = this.#options;
    if (this.#busy) throw new RecorderError("CONFLICT", "the catalog is being rebuilt already");
    this.#busy = true;
    const beganMonoMs = context.clock.monoMs();
    const fresh = await openFresh(stateDir);
    const catalog = new Catalog(fresh);
    const meanwhile = context.catalog.watch();
    try {
      await catalog.takeRoots(await context.catalog.roots());
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
      this.#busy = false;
    }
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
