import { join } from "node:path";
import { toRecorderError } from "../base/errors.ts";
import { SEGMENT_COLUMNS, SEGMENT_JOINS, type StoredSegment } from "./catalog.ts";
import { type Root, type StoreContext, sizeOf } from "./context.ts";
import { Pace } from "./pace.ts";
import { isDay, JOURNAL_FILE, OPEN_SUFFIX, parseOpenName, parseSegmentFile, parseStreamName, SiteZone, stampAsUtcMs } from "./paths.ts";
import { list } from "./removal.ts";
import { SEGMENT_CLOSED } from "./schema.ts";
import type { CheckFinding, CheckReport, SegmentId } from "./types.ts";

export interface CheckOptions {
  /** Reads every box and verifies every checksum, instead of names, sizes and seals only. */
  readonly deep: boolean;
  readonly signal: AbortSignal;
  onProgress(progress: { readonly segments: number; readonly totalSegments: number; readonly bytes: number }): void;
}

const PAGE = 256;
/** Findings reported; a disk with more is beyond reading one by one. */
const MAX_FINDINGS = 10_000;
/** A final name may be this much later than the segment: the next free second, found while daylight saving repeats an hour. */
const MAX_LATER_S = 4000;
const DAY_MS = 86_400_000;

/**
 * Compares catalog with files, then files with catalog, for at most this share of time. Segments that open, close or go meanwhile are looked at again, not
 * reported.
 */
export async function checkStore(
  context: StoreContext,
  isOpen: (id: SegmentId) => boolean,
  share: number,
  options: CheckOptions,
): Promise<CheckReport> {
  const check = new Check(context, isOpen, new Pace(context.clock, share), options);
  await check.rows();
  for (const root of context.roots) await check.files(root);
  return check.report();
}

class Check {
  readonly #context: StoreContext;
  readonly #isOpen: (id: SegmentId) => boolean;
  readonly #pace: Pace;
  readonly #options: CheckOptions;
  readonly #findings: CheckFinding[] = [];
  readonly #zones = new Map<string, SiteZone>();
  #segments = 0;
  #bytes = 0;

  constructor(context: StoreContext, isOpen: (id: SegmentId) => boolean, pace: Pace, options: CheckOptions) {
    this.#context = context;
    this.#pace = pace;
    this.#isOpen = isOpen;
    this.#options = options;
  }

  report(): CheckReport {
    return { deep: this.#options.deep, segments: this.#segments, bytes: this.#bytes, findings: this.#findings };
  }

  /** Every closed row has its file, with the name, size, identity and seal it should have. */
  async rows(): Promise<void> {
    const { catalog, roots } = this.#context;
    const totalSegments = (await catalog.totals()).reduce((sum, total) => sum + total.segments, 0);
    const sql = `SELECT ${SEGMENT_COLUMNS}, s.run_id AS runId FROM segment AS s ${SEGMENT_JOINS}
      WHERE (s.run_id, s.sequence) > (?, ?) ORDER BY s.run_id, s.sequence LIMIT ${PAGE}`;
    let last = { runId: 0, sequence: 0 };
    for (;;) {
      const page = await catalog.reader.all<StoredSegment & { runId: number }>(sql, [last.runId, last.sequence]);
      for (const segment of page) {
        this.#options.signal.throwIfAborted();
        const root = roots.find((candidate) => candidate.id === segment.root);
        if (segment.state === SEGMENT_CLOSED && root !== undefined) await this.#row(root, segment);
        if (this.#options.deep) await this.#pace.rest(this.#options.signal);
        last = segment;
        this.#options.onProgress({ segments: this.#segments, totalSegments, bytes: this.#bytes });
      }
      await this.#pace.rest(this.#options.signal);
      if (page.length < PAGE) return;
    }
  }

  async #row(root: Root, segment: StoredSegment): Promise<void> {
    const path = join(root.path, segment.name, segment.file);
    this.#segments += 1;
    try {
      const bytes = await sizeOf(path);
      if (bytes === null) {
        if (await this.#isStillClosed(segment)) this.#find("missing-file", path, "the catalog has this segment, the disk has no such file");
        return;
      }
      this.#bytes += bytes;
      if (bytes !== segment.bytes) this.#find("wrong-size", path, `${bytes} bytes, sealed with ${segment.bytes}`);
      await this.#content(path, segment);
    } catch (error) {
      this.#options.signal.throwIfAborted();
      if (await this.#isStillClosed(segment)) this.#find("damaged", path, toRecorderError(error).message);
    }
  }

  async #content(path: string, segment: StoredSegment): Promise<void> {
    const { files } = this.#context;
    const { deep, signal } = this.#options;
    const scan = deep ? await files.scanSegment(path, () => this.#pace.rest(signal)) : null;
    if (scan === null && segment.damage !== null) this.#find("damaged", path, segment.damage);
    const head = scan === null ? await files.readSegment(path) : scan.head;
    if (head === null) {
      this.#find("damaged", path, "no whole header");
      return;
    }
    for (const problem of scan?.problems ?? []) this.#find("damaged", path, problem);
    if (!head.sealed) this.#find("unsealed", path, "closed, but without a seal");
    const place = parseStreamName(segment.name);
    const same =
      head.run === segment.run &&
      head.sequence === segment.sequence &&
      head.channel === place?.channel &&
      head.stream === place.stream &&
      head.serial === place.serial;
    if (!same) {
      const observed = `${head.serial}_${head.channel} ${head.stream}, run ${head.run}, sequence ${head.sequence}`;
      this.#find("identity-mismatch", path, `holds ${observed}; expected run ${segment.run}, sequence ${segment.sequence}`);
      return;
    }
    // Named by its own clock, which was wrong, as long as the shift has not come to it.
    const pending =
      segment.startUtcMs !== head.startUtcMs && parseSegmentFile(segment.file)?.stamp === this.#zone(head.zone).stamp(head.startUtcMs);
    if (!pending) this.#name(path, segment.file, { ...head, startUtcMs: segment.startUtcMs });
  }

  #name(path: string, file: string, head: { startUtcMs: number; durationMs: number | null; zone: string }): void {
    const name = parseSegmentFile(file);
    const stamp = this.#zone(head.zone).stamp(head.startUtcMs);
    const laterMs = name === null ? Number.NaN : stampAsUtcMs(name.stamp) - stampAsUtcMs(stamp);
    if (name === null || !(laterMs >= 0 && laterMs <= MAX_LATER_S * 1000)) {
      this.#find("wrong-name", path, `the segment starts at ${stamp}`);
    } else if (name.day !== name.stamp.slice(0, 8)) {
      this.#find("wrong-name", path, `in the folder of ${name.day}, but of ${name.stamp.slice(0, 8)}`);
    } else if (head.durationMs !== null && Math.abs(name.durationMs - head.durationMs) > 1) {
      this.#find("wrong-name", path, `the seal says ${head.durationMs} ms`);
    }
  }

  /** Every file is known: a closed segment of the catalog, one that grows, a journal. */
  async files(root: Root): Promise<void> {
    for (const name of await list(root.path)) {
      // A root may be a mount point that others use too (lost+found); inside a stream's folder everything is ours.
      if (parseStreamName(name) === null) continue;
      const folder = join(root.path, name);
      for (const day of await list(folder)) {
        this.#options.signal.throwIfAborted();
        if (isDay(day)) await this.#day(root, name, day);
        else this.#find("unknown-file", join(folder, day), "not a day folder");
      }
    }
  }

  async #day(root: Root, name: string, day: string): Promise<void> {
    const entries = await list(join(root.path, name, day));
    // A day lasts from at most 14 h before to 14 h after its UTC namesake; names may be later than the segments they belong to.
    const begin = stampAsUtcMs(`${day}000000`);
    const range = { fromUtcMs: begin - DAY_MS, toUtcMs: begin + 2 * DAY_MS };
    const known = new Set((await this.#context.catalog.filesBetween(name, root.id, range)).map(({ file }) => file));
    for (const entry of entries) {
      const file = `${day}/${entry}`;
      if (entry === JOURNAL_FILE) continue;
      const path = join(root.path, name, file);
      const open = parseOpenName(entry);
      if (open !== null) {
        if (!(await this.#isGrowing(open, path)))
          this.#find("left-over", path, "a segment that was never finished; the next start does it");
      } else if (!known.has(file) && !(await this.#isKnown(path))) {
        this.#find("unknown-file", path, entry.endsWith(OPEN_SUFFIX) ? "not a name of ours" : "the catalog has no such segment");
      }
    }
  }

  async #isGrowing(id: SegmentId, path: string): Promise<boolean> {
    return this.#isOpen(id) || (await sizeOf(path)) === null;
  }

  /** Asked again, with the file's own identity: it may have been closed since the catalog was read, or long before under another clock. */
  async #isKnown(path: string): Promise<boolean> {
    if ((await sizeOf(path)) === null) return true;
    try {
      const head = await this.#context.files.readSegment(path);
      // Between its rename and its row.
      if (this.#isOpen(head)) return true;
      const row = await this.#context.catalog.segment(head);
      return row !== undefined && path.endsWith(join(row.name, row.file));
    } catch {
      return false;
    }
  }

  async #isStillClosed(segment: StoredSegment): Promise<boolean> {
    const row = await this.#context.catalog.segment(segment);
    return row?.state === SEGMENT_CLOSED && row.file === segment.file;
  }

  #zone(name: string): SiteZone {
    const known = this.#zones.get(name);
    if (known !== undefined) return known;
    let zone: SiteZone;
    try {
      zone = new SiteZone(name);
    } catch {
      zone = this.#context.zone;
    }
    this.#zones.set(name, zone);
    return zone;
  }

  #find(code: CheckFinding["code"], path: string, message: string): void {
    if (this.#findings.length < MAX_FINDINGS) this.#findings.push({ code, path, message });
  }
}
