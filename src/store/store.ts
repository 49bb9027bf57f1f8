import { randomUUID } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Alarms } from "../base/alarms.ts";
import type { Clock } from "../base/clock.ts";
import { RecorderError, toRecorderError } from "../base/errors.ts";
import type { Part } from "../base/lifecycle.ts";
import type { Logger } from "../base/log.ts";
import type { DesiredCamera, DesiredState, DesiredStore } from "../config/types.ts";
import { type GapCause, type StreamKey, type StreamKind, streamKeyText, type TimeRange } from "../media/types.ts";
import { Catalog } from "./catalog.ts";
import { openCatalog, openDatabase } from "./catalog-file.ts";
import { type CheckOptions, checkStore } from "./check.ts";
import { FinalNames, type StoreContext, writeJournal } from "./context.ts";
import { Gaps } from "./gaps.ts";
import { HeartbeatFile } from "./heartbeat.ts";
import type { DeletionRule } from "./journal.ts";
import { type CatalogFile, Keeper } from "./keeper.ts";
import { Lanes } from "./lanes.ts";
import { Leases, segmentKey } from "./leases.ts";
import { coverageHours, coverageSpans, tracedStreams } from "./ledger-rows.ts";
import { LiveDatabase } from "./live-database.ts";
import { type FolderLock, lockFolder } from "./lock.ts";
import { OpenSegments } from "./open-segments.ts";
import { openFile, SiteZone } from "./paths.ts";
import { endOfLastProcess, recover } from "./recovery.ts";
import { deleteSegment } from "./removal.ts";
import { assertName, Roots } from "./roots.ts";
import { saveFailed } from "./salvage.ts";
import { SEGMENT_CLOSED } from "./schema.ts";
import { StateStore } from "./state.ts";
import { queryTimeline, segmentRow } from "./timeline.ts";
import type {
  CheckReport,
  CoverageSpan,
  FileSteps,
  LedgerReader,
  ReindexOptions,
  ReindexReport,
  RootUsage,
  RunBegin,
  SegmentId,
  SegmentLease,
  SegmentPlan,
  SegmentRemoval,
  SegmentRow,
  SegmentStore,
  StreamPlace,
  TimelineQuery,
  TimelineReader,
  TimelineRow,
  TracedStream,
} from "./types.ts";
import { Usage } from "./usage.ts";
import { Wanted } from "./wanted.ts";

export interface StoreOptions {
  /** Where both databases live. Created, closed to others. */
  readonly stateDir: string;
  /** Recording roots, absolute. Created if absent. */
  readonly roots: readonly { readonly path: string; readonly limitBytes: number | null; readonly reserveBytes: number }[];
  readonly serial: string;
  /** The boot this process runs in: `readBootId()` of base. */
  readonly boot: string;
  /** IANA zone of the site. */
  readonly zone: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly files: FileSteps;
  readonly alarms: Pick<Alarms, "raise" | "clear">;
}

/** Bytes that readers may keep from retention, where no limit of a root says what is reasonable. */
const MAX_LEASED_BYTES = 1024 * 1024 * 1024;

/**
 * Locks the folders and opens the databases (Start 1 and 2); `start` recovers. Without `start` only `check` and reading make sense.
 * @throws RecorderError ROOT_LOCKED while another process works on the state directory or a root, ROOT_UNAVAILABLE for one that cannot be made or written.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const locks: FolderLock[] = [];
  const databases: { close(): Promise<void> }[] = [];
  try {
    await makeFolder(options.stateDir, 0o700);
    locks.push(await lockFolder(options.stateDir));
    const handles: number[] = [];
    for (const { path } of options.roots) {
      handles.push(await openRoot(options, path));
      locks.push(await lockFolder(path));
    }
    const state = await openDatabase(join(options.stateDir, "state.db"), "FULL");
    databases.push(state);
    const found = await openCatalog(options.stateDir, options.clock.utcMs());
    const database = new LiveDatabase(found.database);
    databases.push(database);
    const catalog = new Catalog(database);
    const ids = await catalog.rootIds(options.roots.map(({ path }) => path));
    const roots = options.roots.map((root, index) => ({ ...root, index, id: ids[index] ?? 0, handle: handles[index] ?? 0 }));
    const zone = new SiteZone(options.zone);
    const context: StoreContext = { ...options, roots, catalog, zone, names: new FinalNames(zone, catalog) };
    const heartbeat = await HeartbeatFile.open(options.stateDir, options.log);
    const { stateDir, alarms } = options;
    const file = { database, damage: found.damage, stateDir, alarms };
    return new Store(context, new StateStore(state, options.clock), heartbeat, file, async () => {
      await heartbeat.close();
      for (const handle of handles) await options.files.closeRoot(handle);
      for (const database of databases) await database.close();
      for (const lock of locks) await lock.release();
    });
  } catch (error) {
    for (const database of databases) await database.close();
    for (const lock of locks) await lock.release();
    throw error;
  }
}

/** Files, catalog, journal and state behind the interfaces of types.ts. Procedures and their steps are numbered in README.md. */
export class Store implements Part, SegmentStore, TimelineReader, LedgerReader, SegmentRemoval, DesiredStore {
  readonly name = "store";
  readonly heartbeat: HeartbeatFile;
  readonly #context: StoreContext;
  readonly #state: StateStore;
  readonly #release: () => Promise<void>;
  readonly #roots: Roots;
  readonly #open: OpenSegments;
  readonly #leases: Leases;
  readonly #usage: Usage;
  readonly #gaps: Gaps;
  readonly #keeper: Keeper;
  readonly #deleting = new Set<string>();
  /** Steps of one stream, or of one segment, that must not overtake each other. */
  readonly #lanes = new Lanes();
  #started = false;
  #stopped = false;

  constructor(context: StoreContext, state: StateStore, heartbeat: HeartbeatFile, file: CatalogFile, release: () => Promise<void>) {
    this.#context = context;
    this.#state = state;
    this.heartbeat = heartbeat;
    this.#release = release;
    this.#roots = new Roots(context.roots);
    this.#gaps = new Gaps(context, this.#roots);
    this.#open = new OpenSegments(context.roots, context.clock);
    this.#usage = new Usage(context, this.#open);
    this.#keeper = new Keeper({ context, ...file, open: this.#open, gaps: this.#gaps, wanted: () => this.#wanted() });
    const limits = context.roots.map(({ limitBytes }) => (limitBytes ?? Number.POSITIVE_INFINITY) / 4);
    this.#leases = new Leases(context.clock, Math.min(MAX_LEASED_BYTES, ...limits));
  }

  /** Start 3 to 8. */
  async start(signal: AbortSignal): Promise<void> {
    const { boot, clock, log } = this.#context;
    const beganMonoMs = clock.monoMs();
    const cause = endOfLastProcess(await this.#state.lastBootId(), boot);
    const wanted = await this.#wanted();
    const report = await recover({ context: this.#context, signal, cause, wanted });
    await this.#gaps.load(wanted);
    await this.#state.setBootId(boot);
    this.#started = true;
    log.info("store.recovered", { ...report, cause, tookMs: clock.monoMs() - beganMonoMs });
  }

  /** End of the newest that is recorded or accounted for, 0 if nothing is: no time of a later boot is before it. */
  newestUtcMs(): Promise<number> {
    return this.#context.catalog.newestUtcMs();
  }

  /** Handles of the roots that are open. */
  openRoots(): readonly number[] {
    return this.#context.roots.map(({ handle }) => handle);
  }

  /** Waits for what is under way, closes the databases, lets go of the folders. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#leases.clear();
    await this.#lanes.idle();
    await this.#release();
  }

  // DesiredStore

  read(): Promise<{ readonly document: DesiredState; readonly passwords: ReadonlyMap<string, string> }> {
    return this.#state.read();
  }

  write(cameras: readonly DesiredCamera[], passwords: ReadonlyMap<string, string | null>, expectedRevision: number): Promise<number> {
    return this.#state.write(cameras, passwords, expectedRevision);
  }

  // SegmentStore

  /** Open 1. */
  planSegment(place: StreamPlace, id: SegmentId): SegmentPlan {
    assertName(place);
    const { clock, zone } = this.#context;
    const root = this.#roots.of(place);
    const now = clock.utcMs();
    this.#open.plan(place, id);
    const path = join(root.path, place.name, openFile(zone.day(now), id.run, id.sequence));
    return { root: root.handle, rootIndex: root.index, path, midnightsUtcMs: zone.midnightsAfter(now) };
  }

  beginRun(run: RunBegin): Promise<void> {
    assertName(run);
    const begun = { ...run, boot: this.#context.boot };
    this.#open.beginRun(begun);
    return this.#lanes.run(streamKeyText(run), async () => {
      const { startUtcMs, startMonoMs, clockTrusted } = run;
      await writeJournal(this.#context, this.#roots.of(run), run, {
        fact: "run-started",
        atUtcMs: startUtcMs,
        run: run.run,
        startMonoMs,
        clockTrusted,
      });
      await this.#context.catalog.beginRun(begun);
    });
  }

  async endRun(run: string, endUtcMs: number, cause: string): Promise<void> {
    const begun = this.#open.endRun(run);
    if (begun !== undefined)
      await writeJournal(this.#context, this.#roots.of(begun), begun, { fact: "run-ended", atUtcMs: endUtcMs, run, cause });
    await this.#context.catalog.endRun(run, endUtcMs, cause);
  }

  /** Open 3. */
  async segmentOpened(
    place: StreamPlace,
    id: SegmentId,
    opened: { root: number; path: string; startUtcMs: number; startMonoMs: number },
  ): Promise<void> {
    const { root, file } = this.#roots.locate(place, opened.root, opened.path);
    const { startUtcMs, startMonoMs } = opened;
    const { run } = this.#open.add(place, id, { root, file, startUtcMs, startMonoMs });
    await this.#context.catalog.openSegment(run, id.sequence, root.id, file, startUtcMs);
  }

  /** Close 1 to 6. After a rejection the segment is still open to `segmentFailed`. */
  closeSegment(place: StreamPlace, id: SegmentId, ended: { startUtcMs: number; endUtcMs: number; durationMs: number }): Promise<void> {
    return this.#lanes.run(segmentKey(id), async () => {
      const { catalog, files, names } = this.#context;
      const open = this.#open.get(id);
      if (open === null) throw new RecorderError("NOT_FOUND", `segment ${segmentKey(id)} is not open`, { ...id });
      const final = await names.hold(open.root, place.name, ended.startUtcMs, ended.durationMs);
      open.finalFile = final.file;
      try {
        const sealed = await files.finishSegment(open.root.handle, id, join(open.root.path, place.name, final.file));
        const { startUtcMs, endUtcMs } = ended;
        await catalog.closeSegment(open.run, id.sequence, { root: open.root.id, file: final.file, startUtcMs, endUtcMs, ...sealed });
        this.#open.delete(id);
      } finally {
        final.release();
      }
    });
  }

  /** Start 4 on a file whose writer gave it up. If the disk refuses that too, it is left to the next start. */
  segmentFailed(place: StreamPlace, id: SegmentId): Promise<void> {
    return this.#lanes.run(segmentKey(id), async () => {
      const open = this.#open.get(id);
      if (open === null) return;
      this.#open.delete(id);
      try {
        await saveFailed(this.#context, open.root, place, open.file, open.finalFile);
      } catch (error) {
        this.#context.log.error("segment.not-saved", { ...id, file: open.file, error: toRecorderError(error) });
      }
    });
  }

  openSegmentProgress(id: SegmentId, bytes: number, endUtcMs: number): void {
    this.#open.progress(id, bytes, endUtcMs);
  }

  openGap(place: StreamPlace, fromUtcMs: number, cause: GapCause, detail: string | null): Promise<void> {
    assertName(place);
    return this.#lanes.run(streamKeyText(place), () => this.#gaps.open(place, fromUtcMs, cause, detail));
  }

  closeGap(place: StreamPlace, toUtcMs: number): Promise<void> {
    return this.#lanes.run(streamKeyText(place), () => this.#gaps.close(place, toUtcMs));
  }

  // TimelineReader

  timeline(query: TimelineQuery): Promise<readonly TimelineRow[]> {
    return queryTimeline(this.#context.catalog, this.#open, query);
  }

  async lease(id: SegmentId): Promise<SegmentLease | null> {
    const stored = await this.#context.catalog.segment(id);
    if (stored?.state !== SEGMENT_CLOSED || this.#deleting.has(segmentKey(id))) return null;
    const row = segmentRow(stored, this.#open);
    return row === null ? null : this.#leases.grant(row);
  }

  usage(): Promise<readonly RootUsage[]> {
    return this.#usage.read();
  }

  // LedgerReader

  tracedStreams(camera: string | null, stream: StreamKind | null): Promise<readonly TracedStream[]> {
    return tracedStreams(this.#context.catalog, this.#open, camera, stream);
  }

  coverageSpans(stream: StreamKey, range: TimeRange): Promise<readonly CoverageSpan[]> {
    return coverageSpans(this.#context.catalog, this.#open, stream, range);
  }

  coverageHours(stream: StreamKey, range: TimeRange): ReturnType<LedgerReader["coverageHours"]> {
    return coverageHours(this.#context.catalog, this.#open, stream, range);
  }

  // SegmentRemoval

  async oldestSegments(root: number, limit: number): Promise<readonly SegmentRow[]> {
    const stored = await this.#context.catalog.oldest(this.#roots.at(root).id, limit + this.#leases.size + this.#deleting.size);
    const free = stored.filter((segment) => !this.#leases.holds(segment) && !this.#deleting.has(segmentKey(segment)));
    return free
      .map((segment) => segmentRow(segment, this.#open))
      .filter((row) => row !== null)
      .slice(0, limit);
  }

  async deleteSegment(id: SegmentId, rule: DeletionRule): Promise<boolean> {
    const key = segmentKey(id);
    if (this.#leases.holds(id) || this.#deleting.has(key)) return false;
    this.#deleting.add(key);
    try {
      return await this.#lanes.run(key, async () => {
        const stored = await this.#context.catalog.segment(id);
        const root = this.#context.roots.find((candidate) => candidate.id === stored?.root);
        if (stored === undefined || root === undefined) return false;
        return deleteSegment(this.#context, root, stored, rule);
      });
    } finally {
      this.#deleting.delete(key);
    }
  }

  /** Compares files and catalog; changes nothing. While recording, open segments are left alone. */
  check(options: CheckOptions): Promise<CheckReport> {
    return checkStore(this.#context, (id) => this.#open.mayGrow(id), options);
  }

  /** Reindex: builds the catalog anew from files and journals alone; while recording goes on, if `start` was called. */
  reindex(options: ReindexOptions): Promise<ReindexReport> {
    return this.#keeper.reindex(options, this.#started);
  }

  async #wanted(): Promise<Wanted> {
    const { document } = await this.#state.read();
    return new Wanted(this.#context.serial, document.cameras);
  }
}

/** Opens a root by its marker; one that has none gets one. */
async function openRoot({ files, serial }: StoreOptions, path: string): Promise<number> {
  await makeFolder(path, 0o777);
  const found = await files.inspectRoot(path);
  const id = found.marker?.id ?? randomUUID();
  if (found.marker === null) await files.adoptRoot(path, found, id, serial);
  return files.openRoot(path, id);
}

/** `mode` is what the umask leaves of it. */
async function makeFolder(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode });
  } catch (error) {
    throw new RecorderError(
      "ROOT_UNAVAILABLE",
      `the directory ${path} cannot be made: ${toRecorderError(error).message}`,
      { path },
      { cause: error },
    );
  }
}
