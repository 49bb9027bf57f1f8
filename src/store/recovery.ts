import { dirname, join } from "node:path";
import { toRecorderError } from "../base/errors.ts";
import type { SegmentHead } from "../engine/types.ts";
import type { GapCause } from "../media/types.ts";
import type { StoredSegment, StoredStream } from "./catalog.ts";
import { exists, type Root, type StoreContext, sizeOf, writeJournal } from "./context.ts";
import { Facts } from "./index/facts.ts";
import { settleFacts } from "./index/index-facts.ts";
import type { DayFolder } from "./index/indexer.ts";
import type { JournalFact } from "./journal.ts";
import { eachOf } from "./lanes.ts";
import { isDay, OPEN_SUFFIX, parseOpenName, parseSegmentFile, parseStreamName, stampAsUtcMs } from "./paths.ts";
import { finishDelete, list } from "./removal.ts";
import { enterFile, saveOpenFile } from "./salvage.ts";
import { SEGMENT_DELETING } from "./schema.ts";
import type { SegmentId, StreamPlace } from "./types.ts";
import type { Wanted } from "./wanted.ts";

/** Files worked on at a time. */
const WIDTH = 4;
/** Closed files per folder name whose rows may be missing; more means a lost catalog, which `reindex` rebuilds. */
const MAX_ADOPTED = 256;
const DAY_MS = 86_400_000;
/** Newest segments of each stream that are compared with their files. */
const VERIFIED = 8;

/** Ends of a run that are the service's own, not the camera's: they hold for the time after it too. */
const STOPPED = ["process-down", "power-lost", "unknown"] as const satisfies readonly GapCause[];

/** Gaps that go on while no process runs. */
const SERVICE: readonly GapCause[] = [...STOPPED, "not-planned"];

/** What start did, for the log. */
export interface RecoveryReport {
  deleted: number;
  recovered: number;
  emptied: number;
  adopted: number;
  missing: number;
  runsEnded: number;
}

export interface LastProcess {
  readonly cause: GapCause;
  /** Its last heartbeat; null if it left none. */
  readonly aliveUtcMs: number | null;
}

export interface RecoveryOptions {
  readonly context: StoreContext;
  readonly signal: AbortSignal;
  readonly wanted: Wanted;
  /** Whether this process works on the segment's file now: it grows, closes or is being deleted. */
  readonly isBusy: (id: SegmentId) => boolean;
  /** Runs work on a segment's file while nothing else does. */
  readonly alone: (id: SegmentId, work: () => Promise<void>) => Promise<void>;
}

/** Start 3 to 7 of README.md. Reads the newest day folders only. A file that cannot be saved is logged and stays where it is. `last`: why the previous process ended, and when it was alive last. */
export async function recover({ last, ...options }: RecoveryOptions & { readonly last: LastProcess }): Promise<RecoveryReport> {
  const recovery = new Recovery(options, options.context.roots);
  await recovery.files();
  if (recovery.report.adopted > 0) await recovery.learn();
  await recovery.accountForDowntime(last);
  return recovery.report;
}

/** Start 3 to 6 for one root that has come back while recording goes on: what it holds may have been left by any process. */
export async function recoverRoot(options: RecoveryOptions, root: Root): Promise<RecoveryReport> {
  const recovery = new Recovery(options, [root]);
  await recovery.files();
  return recovery.report;
}

class Recovery {
  readonly #options: RecoveryOptions;
  readonly #context: StoreContext;
  readonly report: RecoveryReport = { deleted: 0, recovered: 0, emptied: 0, adopted: 0, missing: 0, runsEnded: 0 };
  readonly #roots: readonly Root[];
  /** Catalog keys of the roots whose files can be gone by. */
  readonly #present = new Set<number>();
  /** Streams of the catalog by folder name: several where a channel changed hands. */
  readonly #streams = new Map<string, StoredStream[]>();
  /** By root and folder name, the day from which on files may lack their rows. Learnt before anything is entered. */
  readonly #firstDays = new Map<string, string>();

  /** Day folders that were looked into. */
  readonly #scanned: DayFolder[] = [];

  constructor(options: RecoveryOptions, roots: readonly Root[]) {
    this.#options = options;
    this.#context = options.context;
    this.#roots = roots;
  }

  /** Start 3 to 6. */
  async files(): Promise<void> {
    await this.look();
    await this.finishUnsettled();
    for (const root of this.#roots) await this.finishRoot(root);
    await this.dropVanished();
    await this.verifyNewest();
  }

  /**
   * What the later steps go by. A root without any stream's folder although the catalog has segments there is a disk that is missing or was
   * swapped: nothing is concluded from files that are not on it.
   */
  async look(): Promise<void> {
    const totals = await this.#context.catalog.totals();
    for (const root of this.#roots) {
      const known = totals.find((total) => total.root === root.id)?.segments ?? 0;
      const empty = !(await list(root.path)).some((name) => parseStreamName(name) !== null);
      if (known > 0 && empty) this.#context.log.error("root.without-recordings", { root: root.path, segments: known });
      else this.#present.add(root.id);
    }
    for (const stream of await this.#context.catalog.streams(null, null)) {
      this.#streams.set(stream.name, [...(this.#streams.get(stream.name) ?? []), stream]);
    }
    for (const root of this.#roots) {
      for (const name of this.#streams.keys()) {
        const newest = await this.#newestSegment(root, name);
        if (newest !== null) this.#noteDay(root.id, name, this.#dayOf(newest));
      }
    }
    for (const segment of await this.#context.catalog.unsettled()) {
      if (segment.state !== SEGMENT_DELETING) this.#noteDay(segment.root, segment.name, this.#dayOf(segment));
    }
  }

  /** Start 3 (deletions) and, for files the catalog knows as open, start 4. */
  async finishUnsettled(): Promise<void> {
    const unsettled = await this.#context.catalog.unsettled();
    await eachOf(unsettled, WIDTH, async (segment) => {
      const root = this.#root(segment);
      if (root === null || this.#options.isBusy(segment)) return;
      const path = join(root.path, segment.name, segment.file);
      await this.#attempt(path, async () => {
        if (segment.state === SEGMENT_DELETING) {
          await finishDelete(this.#context, root, segment);
          this.report.deleted += 1;
        } else if (await exists(path)) {
          await this.#save(root, segment.name, segment.file, segment);
        }
      });
    });
  }

  /** Start 4 and 5 on one root: what the newest day folders hold and the catalog does not. */
  async finishRoot(root: Root): Promise<void> {
    for (const name of await list(root.path)) {
      if (parseStreamName(name) === null) continue;
      await this.#attempt(join(root.path, name), () => this.#finishName(root, name));
    }
  }

  async #finishName(root: Root, name: string): Promise<void> {
    const days = (await list(join(root.path, name))).filter(isDay).sort();
    // Without a row to go by, the newest day: a first one lost, or a whole catalog, which is reindex's work.
    const from = this.#firstDays.get(`${root.id}/${name}`) ?? days.at(-1) ?? "";
    const known = await this.#filesFrom(root, name, from);
    const lost: string[] = [];
    for (const day of days.filter((candidate) => candidate >= from)) {
      this.#scanned.push({ root, name, day });
      for (const entry of (await list(join(root.path, name, day))).sort()) {
        const file = `${day}/${entry}`;
        if (entry.endsWith(OPEN_SUFFIX)) {
          const id = parseOpenName(entry);
          if (id !== null) await this.#attempt(join(root.path, name, file), () => this.#save(root, name, file, id));
        } else if (parseSegmentFile(file) !== null && !known.has(file)) {
          lost.push(file);
        }
      }
    }
    if (lost.length > MAX_ADOPTED) {
      this.#context.log.error("recovery.not-indexed", { root: root.path, name, files: lost.length - MAX_ADOPTED });
    }
    await eachOf(lost.slice(-MAX_ADOPTED), WIDTH, (file) =>
      this.#attempt(join(root.path, name, file), () => this.#adopt(root, name, file)),
    );
  }

  /** Start 4: an open file is trimmed and sealed, named and entered; without a whole fragment it is removed. */
  async #save(root: Root, name: string, file: string, id: SegmentId): Promise<void> {
    await this.#options.alone(id, async () => {
      if (this.#options.isBusy(id) || !(await exists(join(root.path, name, file)))) return;
      const saved = await saveOpenFile(this.#context, root, name, file, (head) => this.#placeOf(name, head));
      if (saved === "saved") this.report.recovered += 1;
      else if (saved === "removed") this.report.emptied += 1;
    });
  }

  /** Start 5: a sealed file whose row was lost with the last commits. */
  async #adopt(root: Root, name: string, file: string): Promise<void> {
    const { catalog, files, log } = this.#context;
    const path = join(root.path, name, file);
    const head = await files.readSegment(path);
    const known = await catalog.segment(head);
    if (known !== undefined && known.file === file) return;
    if (known !== undefined && (await exists(join(root.path, known.name, known.file)))) {
      log.error("recovery.duplicate", { path, run: head.run, sequence: head.sequence, known: known.file });
      return;
    }
    if (!head.sealed) {
      log.error("recovery.unsealed", { path });
      return;
    }
    const place = await this.#placeOf(name, head);
    if (place === null) return;
    await enterFile(this.#context, root, place, head, file);
    this.report.adopted += 1;
  }

  /** Start 5: where rows were lost, those of runs and gaps may be as well, and their journals tell how they ended. */
  async learn(): Promise<void> {
    const { catalog } = this.#context;
    const facts = new Facts();
    for (const { root, name, day } of this.#scanned.toSorted((a, b) => a.day.localeCompare(b.day))) {
      await this.#attempt(join(root.path, name, day), () => facts.read(root, name, day));
    }
    facts.settle();
    const meanwhile = catalog.watch();
    await settleFacts({ catalog, facts, meanwhile, isLive: () => false, isGapOpen: () => false, offline: true });
    catalog.unwatch(meanwhile);
  }

  /** Start 5, the other way: open rows whose file is nowhere. What they held was never reported durable. */
  async dropVanished(): Promise<void> {
    for (const segment of await this.#context.catalog.unsettled()) {
      const root = this.#root(segment);
      if (root === null || segment.state === SEGMENT_DELETING || this.#options.isBusy(segment)) continue;
      const path = join(root.path, segment.name, segment.file);
      await this.#attempt(path, async () => {
        if (await exists(path)) return;
        await this.#context.catalog.dropSegment(segment);
        this.report.missing += 1;
      });
    }
  }

  /** Start 6: the newest closed segments of each stream have their files, with the size they were sealed with. */
  async verifyNewest(): Promise<void> {
    const { catalog, log } = this.#context;
    await eachOf(await catalog.streams(null, null), WIDTH, async (stream) => {
      const newest = await catalog.newest(stream.id, VERIFIED);
      const run = newest[0]?.run;
      for (const segment of newest.filter((candidate) => candidate.run === run)) {
        const root = this.#root(segment);
        if (root === null || this.#options.isBusy(segment)) continue;
        const path = join(root.path, segment.name, segment.file);
        await this.#attempt(path, async () => {
          const bytes = await sizeOf(path);
          if (bytes === segment.bytes) return;
          log.error(bytes === null ? "recovery.file-missing" : "recovery.wrong-size", { path, bytes, expected: segment.bytes });
          if (bytes !== null) return;
          await catalog.dropSegment(segment);
          this.report.missing += 1;
        });
      }
    });
  }

  /** Start 7: runs the last process left open have ended, gaps too where media began, and the time since has a cause. */
  async accountForDowntime({ cause, aliveUtcMs }: LastProcess): Promise<void> {
    const { catalog } = this.#context;
    const { wanted } = this.#options;
    await eachOf(await catalog.runsGoingOn(), WIDTH, async (run) => {
      await this.#journal(run, { fact: "run-ended", atUtcMs: run.lastUtcMs, run: run.run, cause });
      await catalog.endRun(run.run, run.lastUtcMs - run.shiftMs, cause);
      this.report.runsEnded += 1;
    });
    await eachOf(await catalog.openGaps(), WIDTH, async (gap) => {
      // What the process saw of an outage ends with it: nobody knows how it went on.
      const seen = wanted.has(gap) && !SERVICE.includes(gap.cause) && (aliveUtcMs ?? 0) > gap.fromUtcMs ? aliveUtcMs : null;
      const atUtcMs = gap.mediaUtcMs ?? seen;
      if (atUtcMs === null) return;
      await this.#journal(gap, { fact: "gap-closed", atUtcMs, fromUtcMs: gap.fromUtcMs, cause: gap.cause });
      await catalog.closeGap(gap, atUtcMs);
    });
    await eachOf(await catalog.streams(null, null), WIDTH, async (stream) => {
      const last = await catalog.lastAccounted(stream.id);
      // What goes on under another name is accounted for there.
      if (last === undefined || last.gapGoesOn !== 0 || (wanted.hasKey(stream) && !wanted.has(stream))) return;
      // A run that ended for a reason of the camera's has left its gap to a process that did not live to open it.
      const known = last.endUtcMs === last.runEndUtcMs ? STOPPED.find((candidate) => candidate === last.runCause) : undefined;
      // Nobody waits for a stream that is not in the document any more.
      const since = wanted.has(stream) ? (known ?? cause) : "not-planned";
      const fact = { fact: "gap-opened", atUtcMs: last.endUtcMs, cause: since, detail: null } as const;
      await this.#journal(stream, fact);
      await catalog.openGap(stream, last.endUtcMs, fact.cause, null);
    });
  }

  async #journal(place: StreamPlace, fact: JournalFact): Promise<void> {
    const root = this.#roots.find((candidate) => this.#present.has(candidate.id));
    if (root !== undefined) await writeJournal(this.#context, root, place, fact);
  }

  #noteDay(root: number, name: string, day: string): void {
    const key = `${root}/${name}`;
    const known = this.#firstDays.get(key);
    if (known === undefined || day < known) this.#firstDays.set(key, day);
  }

  /** Files of a folder name that have rows, from a day on. A day begins up to 14 h before its UTC namesake. */
  async #filesFrom(root: Root, name: string, day: string): Promise<Set<string>> {
    const range = { fromUtcMs: stampAsUtcMs(`${day}000000`) - DAY_MS, toUtcMs: Number.MAX_SAFE_INTEGER };
    return new Set((await this.#context.catalog.filesBetween(name, root.id, range)).map(({ file }) => file));
  }

  /** The newest closed segment of a folder name by the catalog, null if it knows none. */
  async #newestSegment(root: Root, name: string): Promise<StoredSegment | null> {
    const { catalog } = this.#context;
    let newest: StoredSegment | null = null;
    for (const stream of this.#streams.get(name) ?? []) {
      const candidate = (await catalog.newest(stream.id, VERIFIED)).find((segment) => segment.root === root.id);
      if (candidate !== undefined && (newest === null || candidate.startUtcMs > newest.startUtcMs)) newest = candidate;
    }
    return newest;
  }

  /** The folder that a segment's file is in, or its own day where a clock that was wrong put it into one that is long past. */
  #dayOf(segment: StoredSegment): string {
    const earliest = this.#context.zone.day(segment.startUtcMs - DAY_MS);
    const folder = dirname(segment.file);
    if (folder < earliest) return earliest;
    return [folder, this.#context.zone.day(segment.startUtcMs)].sort()[0] ?? folder;
  }

  async #placeOf(name: string, head: SegmentHead): Promise<StreamPlace | null> {
    const parsed = parseStreamName(name);
    const known = await this.#context.catalog.streamByName(name);
    if (known !== undefined) return known;
    const camera = parsed?.serial === this.#context.serial ? this.#options.wanted.cameraOf(head.channel) : null;
    if (camera !== null && parsed !== null) return { camera, stream: parsed.stream, channel: parsed.channel, name };
    this.#context.log.warn("recovery.foreign", { name, channel: head.channel, serial: head.serial });
    return null;
  }

  #root(segment: StoredSegment): Root | null {
    return this.#roots.find((root) => root.id === segment.root && this.#present.has(root.id)) ?? null;
  }

  /** One damaged file or folder must not keep the others from being recovered. */
  async #attempt(path: string, work: () => Promise<void>): Promise<void> {
    this.#options.signal.throwIfAborted();
    try {
      await work();
    } catch (error) {
      this.#options.signal.throwIfAborted();
      this.#context.log.error("recovery.failed", { path, error: toRecorderError(error) });
    }
  }
}

/** Why the last process is not running any more, from the boot it ran in. */
export function endOfLastProcess(lastBootId: string | null, bootId: string): GapCause {
  if (lastBootId === null) return "unknown";
  return lastBootId === bootId ? "process-down" : "power-lost";
}
