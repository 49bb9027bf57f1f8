import { join } from "node:path";
import { toRecorderError } from "../../base/errors.ts";
import type { SegmentBrief } from "../../engine/types.ts";
import type { Catalog, Meanwhile } from "../catalog.ts";
import type { Root, StoreContext } from "../context.ts";
import type { Pace } from "../pace.ts";
import { isDay, parseStreamName } from "../paths.ts";
import { list } from "../removal.ts";
import type { IndexReport, StreamPlace } from "../types.ts";
import type { Wanted } from "../wanted.ts";
import { type DamageFacts, Facts, type RunFacts } from "./facts.ts";
import type { IndexEntry, RunEntry } from "./index-rows.ts";

/** Files asked for at once: some 5 ms of reading, and as little of the event loop. */
export const BATCH = 256;

export interface IndexerOptions {
  readonly context: StoreContext;
  /** What is filled; may be another than the one that serves. */
  readonly catalog: Catalog;
  readonly wanted: Wanted;
  readonly meanwhile: Meanwhile;
  readonly pace: Pace;
  readonly signal: AbortSignal;
}

/** A day folder of a stream on a root. */
export interface DayFolder {
  readonly root: Root;
  readonly name: string;
  readonly day: string;
}

/** Makes rows of what files and journals say. Reads only; what it enters is of the caller's choice. */
export class Indexer {
  readonly facts = new Facts();
  readonly report: IndexReport = { segments: 0, gaps: 0, deletions: 0, unreadable: 0, foreign: 0, unreadableLines: 0 };
  readonly #options: IndexerOptions;
  /** By folder name. */
  readonly #names = new Map<string, { readonly ours: boolean; readonly camera: string | null }>();

  constructor(options: IndexerOptions) {
    this.#options = options;
  }

  /** Every day folder of the roots, newest day first. */
  async folders(roots: readonly Root[]): Promise<DayFolder[]> {
    const folders: DayFolder[] = [];
    for (const root of roots) {
      for (const name of await list(root.path)) {
        if (parseStreamName(name) === null) continue;
        for (const day of await list(join(root.path, name))) if (isDay(day)) folders.push({ root, name, day });
      }
    }
    return folders.sort((a, b) => b.day.localeCompare(a.day) || a.name.localeCompare(b.name));
  }

  /** Reads the journals of folders, oldest day first. */
  async readJournals(folders: readonly DayFolder[]): Promise<void> {
    for (const { root, name, day } of folders.toReversed()) {
      await this.#options.pace.rest(this.#options.signal);
      try {
        await this.facts.read(root, name, day);
      } catch (error) {
        this.#unreadable(join(root.path, name, day), toRecorderError(error).message);
      }
    }
    this.facts.settle();
    this.report.unreadableLines = this.facts.unreadable;
  }

  /** The closed segments of a day folder among `names`; those that cannot be entered are reported and left out. */
  async entries({ root, name, day }: DayFolder, names: readonly string[]): Promise<IndexEntry[]> {
    const directory = join(root.path, name, day);
    const entries: IndexEntry[] = [];
    for (const found of await this.#options.context.files.readSegments(directory, names)) {
      const path = join(directory, found.file);
      const mark = this.facts.damageAt(name, `${day}/${found.file}`);
      const tells = !("problem" in found) && found.crc64 !== null && found.run === mark?.run && found.sequence === mark.sequence;
      if (mark !== undefined && !tells && !("problem" in found && found.code === "NOT_FOUND")) {
        entries.push(this.#marked(mark, root, `${day}/${found.file}`));
        continue;
      }
      if ("problem" in found) {
        if (found.code !== "NOT_FOUND") this.#unreadable(path, found.problem);
        continue;
      }
      if (found.crc64 === null) {
        this.#unreadable(path, "closed, but without a seal");
        continue;
      }
      const place = await this.placeOf(name, found);
      if (place === null) this.report.foreign += 1;
      else entries.push(this.#entry(place, root, `${day}/${found.file}`, found));
    }
    return entries;
  }

  /** The runs of some entries, as journals tell them; else as the oldest of the entries does. */
  runsOf(entries: readonly IndexEntry[]): readonly RunEntry[] {
    const oldest = new Map<string, IndexEntry>();
    for (const entry of entries) {
      const known = oldest.get(entry.run);
      if (known === undefined || entry.startUtcMs < known.startUtcMs) oldest.set(entry.run, entry);
    }
    return [...oldest.values()].map((entry) => this.#runOf(entry));
  }

  /** The runs whose beginning a journal tells. */
  journalledRuns(): readonly RunEntry[] {
    const runs: RunEntry[] = [];
    for (const [run, { place, begin, end }] of this.facts.runs) {
      if (begin === null) continue;
      const shiftMs = this.facts.shiftMs(run, begin.clockTrusted);
      const trusted = this.facts.isTrusted(run, begin.clockTrusted);
      runs.push({ run, place, ...begin, clockTrusted: trusted, shiftMs, ...this.#end(run, end, shiftMs), journalled: true });
    }
    return runs;
  }

  #runOf({ run, place, startUtcMs, startMonoMs, clockTrusted, shiftMs }: IndexEntry): RunEntry {
    const facts = this.facts.runs.get(run);
    const end = { ...this.#end(run, facts?.end ?? null, shiftMs), shiftMs };
    if (facts?.begin == null) return { run, place, startUtcMs, startMonoMs, clockTrusted, boot: null, ...end, journalled: false };
    const trusted = this.facts.isTrusted(run, facts.begin.clockTrusted);
    return { run, place, ...facts.begin, clockTrusted: trusted, ...end, journalled: true };
  }

  /** What the catalog was told meanwhile is as the run's files say. */
  #end(run: string, told: RunFacts["end"], shiftMs: number) {
    const ended = this.#options.meanwhile.ended.get(run);
    if (ended !== undefined) return { endUtcMs: ended.atUtcMs + shiftMs, endCause: ended.cause };
    return { endUtcMs: told?.atUtcMs ?? null, endCause: told?.cause ?? null };
  }

  #entry(place: StreamPlace, root: Root, file: string, found: SegmentBrief): IndexEntry {
    const { run, sequence, startMonoMs, clockTrusted, bytes, crc64, blake3 } = found;
    const shiftMs = this.facts.shiftMs(run, clockTrusted);
    const startUtcMs = found.startUtcMs + shiftMs;
    const endUtcMs = (found.endUtcMs ?? found.startUtcMs) + shiftMs;
    return { place, run, sequence, root: root.id, file, startUtcMs, endUtcMs, startMonoMs, clockTrusted, shiftMs, bytes, crc64, blake3 };
  }

  /** A damaged file that does not tell what it is: its mark does. */
  #marked({ place, run, sequence, fromUtcMs, toUtcMs, bytes }: DamageFacts, root: Root, file: string): IndexEntry {
    const { startMonoMs = 0, clockTrusted = true } = this.facts.runs.get(run)?.begin ?? {};
    const shiftMs = this.facts.shiftMs(run, clockTrusted);
    const [startUtcMs, endUtcMs] = [fromUtcMs, toUtcMs];
    const hashes = { crc64: null, blake3: null };
    return { place, run, sequence, root: root.id, file, startUtcMs, endUtcMs, startMonoMs, clockTrusted, shiftMs, bytes, ...hashes };
  }

  /** Whose it is: as its run's journal says, else who records under that name. A file that is not of its folder is nobody's. */
  async placeOf(name: string, head: Pick<SegmentBrief, "run" | "serial" | "channel" | "stream">): Promise<StreamPlace | null> {
    const { run, serial, channel, stream } = head;
    const parsed = parseStreamName(name);
    if (parsed?.serial !== serial || parsed.channel !== channel || parsed.stream !== stream) return null;
    const { context, wanted } = this.#options;
    let names = this.#names.get(name);
    if (names === undefined) {
      const known = await context.catalog.streamByName(name);
      const ours = serial === context.serial || known !== undefined;
      names = { ours, camera: this.facts.cameraOf(name) ?? known?.camera ?? wanted.cameraOf(channel) };
      this.#names.set(name, names);
    }
    const told = this.facts.runs.get(run)?.place;
    const camera = told?.name === name ? told.camera : names.camera;
    return names.ours && camera !== null ? { camera, stream, channel, name } : null;
  }

  #unreadable(path: string, problem: string): void {
    this.report.unreadable += 1;
    this.#options.context.log.error("index.unreadable", { path, problem });
  }
}
