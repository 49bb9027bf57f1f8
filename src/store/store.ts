import { dirname, join } from "node:path";
import type { ClockMove, Heartbeat } from "../base/clock-watch.ts";
import { RecorderError, toRecorderError } from "../base/errors.ts";
import type { Part } from "../base/lifecycle.ts";
import type { DesiredCamera, DesiredState, DesiredStore } from "../config/types.ts";
import { type GapCause, type StreamKey, type StreamKind, streamKeyText, type TimeRange } from "../media/types.ts";
import type { StoredSegment } from "./catalog.ts";
import { type CheckOptions, checkStore } from "./check.ts";
import type { HeartbeatFile } from "./clock/heartbeat.ts";
import { Shifts } from "./clock/shift.ts";
import { type Root, type StoreContext, writeJournal } from "./context.ts";
import { Gaps } from "./gaps.ts";
import { type CatalogFile, Keeper } from "./index/keeper.ts";
import { fileProblem } from "./index/verify.ts";
import type { DeletionRule } from "./journal.ts";
import { Lanes } from "./lanes.ts";
import { Leases, segmentKey } from "./leases.ts";
import { coverageHours, coverageSpans, tracedStreams } from "./ledger-rows.ts";
import { OpenSegments } from "./open-segments.ts";
import { openFile } from "./paths.ts";
import { endOfLastProcess, type RecoveryOptions, recover, recoverRoot } from "./recovery.ts";
import { deleteSegment } from "./removal.ts";
import { assertName, type RootOptions, type Roots } from "./roots/roots.ts";
import { saveFailed } from "./salvage.ts";
import { SEGMENT_CLOSED, SEGMENT_OPEN } from "./schema.ts";
import { Scrub } from "./scrub/scrub.ts";
import type { StateStore } from "./state.ts";
import { queryTimeline, segmentRow } from "./timeline.ts";
import type {
  CheckReport,
  CoverageSpan,
  Instant,
  LedgerReader,
  ReindexOptions,
  ReindexReport,
  RootUsage,
  RunBegin,
  ScrubStatus,
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
import { Unfinished } from "./unfinished.ts";
import { Usage } from "./usage.ts";
import { Wanted } from "./wanted.ts";

/** Share of time that `check` works while something may be recorded. */
const CHECK_SHARE = 0.5;
/** Bytes that readers may keep from retention, where no limit of a root says what is reasonable. */
const MAX_LEASED_BYTES = 1024 * 1024 * 1024;

export interface StoreParts {
  readonly context: StoreContext;
  readonly roots: Roots;
  readonly configured: readonly RootOptions[];
  readonly state: StateStore;
  readonly heartbeat: HeartbeatFile;
  readonly last: Heartbeat | null;
  readonly file: CatalogFile;
  /** Closes everything, in reverse of how it was opened. */
  readonly release: () => Promise<void>;
}

/** Files, catalog, journal and state behind the interfaces of types.ts. Procedures and their steps are numbered in README.md. */
export class Store implements Part, SegmentStore, TimelineReader, LedgerReader, SegmentRemoval, DesiredStore {
  readonly name = "store";
  readonly heartbeat: HeartbeatFile;
  /** What the process before left of its clock. */
  readonly last: Heartbeat | null;
  readonly roots: Roots;
  readonly #context: StoreContext;
  readonly #state: StateStore;
  readonly #release: () => Promise<void>;
  readonly #stopping = new AbortController();
  readonly #open: OpenSegments;
  readonly #leases: Leases;
  readonly #usage: Usage;
  readonly #gaps: Gaps;
  readonly #keeper: Keeper;
  readonly #deleting = new Set<string>();
  /** Steps of one stream, or of one segment, that must not overtake each other. */
  readonly #lanes = new Lanes();
  readonly #shifts: Shifts;
  readonly #scrub: Scrub;
  readonly #recoveries = new Set<Promise<unknown>>();
  readonly #unfinished: Unfinished;
  #started = false;
  #stopped = false;

  constructor(parts: StoreParts) {
    const { context, roots, configured, state, heartbeat, last, file, release } = parts;
    this.#context = context;
    this.#state = state;
    this.heartbeat = heartbeat;
    this.last = last;
    this.#release = release;
    this.roots = roots;
    this.#gaps = new Gaps(context, roots);
    this.#open = new OpenSegments(roots, context.clock, context.catalog.shift);
    this.#usage = new Usage(context, this.#open, roots);
    this.#keeper = new Keeper({
      context,
      ...file,
      open: this.#open,
      gaps: this.#gaps,
      roots,
      wanted: () => this.#wanted(),
      isBusy: (id) => this.#isBusy(id),
      alone: (id, work) => this.#lanes.run(segmentKey(id), work),
    });
    const { clock, log } = context;
    this.#unfinished = new Unfinished({ roots, finish: (root) => this.#finish(root), clock, log });
    const limits = configured.map(({ limitBytes }) => (limitBytes ?? Number.POSITIVE_INFINITY) / 4);
    this.#leases = new Leases(context.clock, Math.min(MAX_LEASED_BYTES, ...limits));
    this.#scrub = new Scrub({ context, alarms: file.alarms, lanes: this.#lanes });
    this.#shifts = new Shifts({
      context,
      gaps: this.#gaps,
      leases: this.#leases,
      lanes: this.#lanes,
      isRebuilding: () => this.#keeper.busy,
    });
  }

  /** Start 3 to 8. */
  async start(signal: AbortSignal): Promise<void> {
    const { boot, clock, log } = this.#context;
    const beganMonoMs = clock.monoMs();
    const cause = endOfLastProcess(await this.#state.lastBootId(), boot);
    const wanted = await this.#wanted();
    await this.#keeper.begin();
    await this.#shifts.recover(this.#context.roots);
    const last = { cause, aliveUtcMs: this.last?.utcMs ?? null };
    let report = await recover({ ...this.#recovering(signal, wanted), last });
    // What recovery learnt from a catalog that turned out damaged is worth nothing.
    for (let replaced = 0; replaced < this.#keeper.replacements; replaced += 1) {
      report = await recover({ ...this.#recovering(signal, wanted), last });
    }
    await this.#gaps.load(wanted);
    await this.#resumeShifts();
    await this.#state.setBootId(boot);
    this.#started = true;
    log.info("store.recovered", { ...report, cause, tookMs: clock.monoMs() - beganMonoMs });
  }

  /** Behind READY: goes on with what start did not wait for, then begins to read recordings again. Resolves when it does; never rejects. */
  async settle(): Promise<void> {
    await this.#keeper.settle();
    this.#scrub.begin();
  }

  scrubStatus(): ScrubStatus {
    return this.#scrub.status();
  }

  /** End of the newest that is recorded or accounted for, 0 if nothing is: no time of a later boot is before it. */
  newestUtcMs(): Promise<number> {
    return this.#context.catalog.newestUtcMs();
  }

  /** Start 3 to 6 for a root that has come back, while recording goes on. Rejects only if it cannot even begin; what fails is logged. */
  async recoverRoot(root: Root): Promise<void> {
    await this.#shifts.recover([root]);
    if (await this.#finish(root)) this.#unfinished.later(root);
    await this.#resumeShifts();
    void this.#keeper.reconcile([root]);
  }

  /** Shift 4 to 7 of what is not done, behind whatever goes on. */
  async #resumeShifts(): Promise<void> {
    this.#keeper.hold();
    await this.#shifts.resume().finally(() => void this.#releaseLater());
  }

  /** True if files are left that cannot be finished now. */
  async #finish(root: Root): Promise<boolean> {
    const { clock, log, catalog } = this.#context;
    const beganMonoMs = clock.monoMs();
    const wanted = await this.#wanted();
    const { signal } = this.#stopping;
    const work = recoverRoot(this.#recovering(signal, wanted), root);
    this.#recoveries.add(work);
    try {
      log.info("root.recovered", { root: root.path, ...(await work), tookMs: clock.monoMs() - beganMonoMs });
    } finally {
      this.#recoveries.delete(work);
    }
    const unsettled = await catalog.unsettled();
    return unsettled.some((segment) => segment.root === root.id && segment.state === SEGMENT_OPEN && !this.#isBusy(segment));
  }

  #recovering(signal: AbortSignal, wanted: Wanted): RecoveryOptions {
    return {
      context: this.#context,
      signal,
      wanted,
      isBusy: (id) => this.#isBusy(id),
      alone: (id, work) => this.#lanes.run(segmentKey(id), work),
    };
  }

  #isBusy(id: SegmentId): boolean {
    return this.#open.mayGrow(id) || this.#deleting.has(segmentKey(id)) || this.#shifts.isRenaming(id);
  }

  /** Waits for what is under way, closes the databases, lets go of the folders. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#stopping.abort();
    this.#leases.clear();
    await this.#scrub.stop();
    await this.#keeper.stop();
    await this.#shifts.stop();
    await this.#unfinished.stop();
    await Promise.allSettled(this.#recoveries);
    await this.#lanes.idle();
    await this.#release();
  }

  /** Shift 1 and 2; see `ClockFollower`. */
  async prepareShift(move: ClockMove): Promise<number> {
    this.#keeper.hold();
    try {
      return await this.#shifts.prepare(move);
    } catch (error) {
      this.#keeper.release();
      throw error;
    }
  }

  /** Shift 3 to 7. */
  async shift(move: ClockMove): Promise<void> {
    await this.#shifts.moved(move);
    void this.#releaseLater();
  }

  /** A file that is being renamed must not be taken for one that its row has lost. */
  async #releaseLater(): Promise<void> {
    await this.#shifts.settled();
    this.#keeper.release();
  }

  /** Resolves when what a shift leaves to be done behind recording is done, or cannot be done now. */
  shiftSettled(): Promise<void> {
    return this.#shifts.settled();
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
    const root = this.roots.of(place);
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
      const shiftMs = this.#context.catalog.shift.ofRun(begun);
      await writeJournal(this.#context, this.roots.find(run), run, {
        fact: "run-started",
        atUtcMs: startUtcMs + shiftMs,
        run: run.run,
        startMonoMs,
        clockTrusted,
      });
      await this.#context.catalog.beginRun(begun);
    });
  }

  async endRun(run: string, endUtcMs: number, cause: string): Promise<void> {
    const begun = this.#open.endRun(run);
    if (begun !== undefined) {
      const atUtcMs = endUtcMs + this.#context.catalog.shift.ofRun(begun);
      await writeJournal(this.#context, this.roots.find(begun), begun, { fact: "run-ended", atUtcMs, run, cause });
    }
    await this.#context.catalog.endRun(run, endUtcMs, cause);
  }

  /** Open 3. */
  async segmentOpened(
    place: StreamPlace,
    id: SegmentId,
    opened: { root: number; path: string; startUtcMs: number; startMonoMs: number },
  ): Promise<void> {
    const { root, file } = this.roots.locate(place, opened.root, opened.path);
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
      const startsUtcMs = ended.startUtcMs + catalog.shift.ofRun(open.run);
      const final = await names.hold(open.root, place.name, startsUtcMs, ended.durationMs);
      open.finalFile = final.file;
      try {
        const sealed = await files.finishSegment(open.root.handle, id, join(open.root.path, place.name, final.file));
        const { startUtcMs, endUtcMs } = ended;
        await catalog.closeSegment(open.run, id.sequence, { root: open.root.id, file: final.file, startUtcMs, endUtcMs, ...sealed });
        this.#open.delete(place, id);
      } finally {
        final.release();
      }
    });
  }

  /** Start 4 on a file whose writer gave it up. If the disk refuses that too, it is left to its return or the next start. */
  segmentFailed(place: StreamPlace, id: SegmentId): Promise<void> {
    return this.#lanes.run(segmentKey(id), async () => {
      const open = this.#open.get(id);
      this.#open.delete(place, id);
      if (open === null) return;
      try {
        await saveFailed(this.#context, this.roots.again(open.root) ?? open.root, place, open.file, open.finalFile);
      } catch (error) {
        this.#context.log.error("segment.not-saved", { ...id, file: open.file, error: toRecorderError(error) });
        this.#unfinished.later(open.root);
        await this.#context.catalog.noteProgress(id, open.bytes, open.endUtcMs);
      }
    });
  }

  openSegmentProgress(id: SegmentId, bytes: number, endUtcMs: number): void {
    this.#open.progress(id, bytes, endUtcMs);
  }

  openGap(place: StreamPlace, fromUtcMs: number, cause: GapCause, detail: string | null): Promise<void> {
    assertName(place);
    const from = this.#context.catalog.shift.stamp(fromUtcMs);
    return this.#lanes.run(streamKeyText(place), () => this.#gaps.open(place, from, cause, detail));
  }

  closeGap(place: StreamPlace, toUtcMs: number): Promise<void> {
    const to = this.#context.catalog.shift.stamp(toUtcMs);
    return this.#lanes.run(streamKeyText(place), () => this.#gaps.close(place, to));
  }

  splitGap(place: StreamPlace, move: Instant): Promise<void> {
    return this.#lanes.run(streamKeyText(place), () => this.#gaps.split(place, move));
  }

  async splitGaps(move: Instant, except: readonly StreamPlace[]): Promise<void> {
    const others = this.#gaps
      .places()
      .filter((place) => !except.some(({ camera, name }) => place.camera === camera && place.name === name));
    await Promise.all(others.map((place) => this.splitGap(place, move)));
  }

  // TimelineReader

  timeline(query: TimelineQuery): Promise<readonly TimelineRow[]> {
    return queryTimeline(this.#context.catalog, this.#open, query);
  }

  async lease(id: SegmentId): Promise<SegmentLease | null> {
    if (this.#shifts.isRenaming(id)) await this.#lanes.run(segmentKey(id), async () => {});
    const stored = await this.#context.catalog.segment(id);
    if (stored?.state !== SEGMENT_CLOSED || this.#deleting.has(segmentKey(id))) return null;
    if (stored.damage !== null) {
      throw new RecorderError("SEGMENT_DAMAGED", `segment ${segmentKey(id)} is damaged: ${stored.damage}`, { ...id });
    }
    const row = this.roots.isReadable(stored.root) ? segmentRow(stored, this.#open) : null;
    const root = this.roots.known().find((known) => known.id === stored.root);
    if (row === null || root === undefined) return null;
    // Held while it is looked at, so that it is not deleted meanwhile.
    const lease = this.#leases.grant(row);
    try {
      const problem = await fileProblem(this.#context.files, root.path, stored);
      if (problem === null) return lease;
      this.#suspect(stored);
      throw new RecorderError("SEGMENT_MISMATCH", `${row.path} is not the segment asked for: ${problem}`, { ...id });
    } catch (error) {
      lease.release();
      throw error;
    }
  }

  #suspect({ root: id, name, file }: StoredSegment): void {
    const root = this.#context.roots.find((candidate) => candidate.id === id);
    if (root !== undefined) this.#keeper.suspect({ root, name, day: dirname(file) });
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
    const present = this.roots.at(root);
    if (present === null || !this.#keeper.knowsOldest) return [];
    const stored = await this.#context.catalog.oldest(
      present.id,
      limit + this.#leases.size + this.#deleting.size,
      this.#context.clock.utcMs(),
    );
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
      const deleted = await this.#lanes.run(key, async () => {
        const stored = await this.#context.catalog.segment(id);
        const root = this.#context.roots.find((candidate) => candidate.id === stored?.root);
        if (stored === undefined || root === undefined) return false;
        return deleteSegment(this.#context, root, stored, rule);
      });
      if (deleted) await this.#scrub.deleted(id);
      return deleted;
    } finally {
      this.#deleting.delete(key);
    }
  }

  /** Compares files and catalog; changes nothing. While recording, open segments are left alone. */
  async check(options: CheckOptions): Promise<CheckReport> {
    const unseen = this.roots.status().filter(({ state }) => state !== "present");
    const share = this.#started ? CHECK_SHARE : 1;
    const report = await checkStore(this.#context, (id) => this.#open.mayGrow(id), share, options);
    const findings = unseen.map(({ path, detail }) => ({ code: "root-unavailable" as const, path, message: `not checked: ${detail}` }));
    return { ...report, findings: [...findings, ...report.findings] };
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
