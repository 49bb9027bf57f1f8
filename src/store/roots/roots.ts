import { randomUUID } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join, relative, resolve, sep } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { RecorderError, toRecorderError } from "../../base/errors.ts";
import { streamKeyText } from "../../media/types.ts";
import type { Catalog } from "../catalog.ts";
import type { Root } from "../context.ts";
import { type FolderLock, lockFolder } from "../lock.ts";
import { parseStreamName } from "../paths.ts";
import { list } from "../removal.ts";
import type { StateStore } from "../state.ts";
import type { FileSteps, StreamPlace } from "../types.ts";
import { recognise } from "./root-identity.ts";

/**
 * present: open, locked, recorded to. failing: it is there and cannot be written; it may still be read.
 * absent: its disk is not there, or what is in its place is not ours. Neither of the last two is ever written.
 */
export type RootState = "present" | "failing" | "absent";

export interface RootStatus {
  /** Index in the configuration. */
  readonly index: number;
  readonly path: string;
  readonly state: RootState;
  /** Why it is not present; null while it is. */
  readonly detail: string | null;
}

export interface RootOptions {
  readonly path: string;
  readonly limitBytes: number | null;
  readonly reserveBytes: number;
}

export interface RootsOptions {
  readonly roots: readonly RootOptions[];
  readonly serial: string;
  readonly files: FileSteps;
  readonly state: StateStore;
  readonly catalog: Catalog;
  readonly clock: Clock;
}

/** A root that was just opened, before anybody uses it. */
export interface OpenedRoot {
  readonly root: Root;
  readonly lock: FolderLock;
}

/** A root that failed is passed over for so long where another one is there. */
const SUSPECT_MS = 60_000;
/** Handles that facts may still name after their root was closed. */
const MAX_CLOSED = 64;

interface Slot extends RootOptions {
  readonly index: number;
  state: RootState;
  detail: string | null;
  opened: OpenedRoot | null;
  /** One at a time: a disk that hangs must not take one thread after the other. What it opened stays here until it is published or released. */
  opening: Promise<OpenedRoot> | null;
  /** The catalog's key of the root that was here last; null if none is known. */
  id: number | null;
  /** Room for recordings as last told, bytes; null if it was not. */
  roomBytes: number | null;
  /** Identity of the root that is open or being opened here. */
  uuid: string | null;
  failedMonoMs: number | null;
}

/** The configured roots as they come and go, and which stream records on which. */
export class Roots {
  readonly #options: RootsOptions;
  readonly #slots: readonly Slot[];
  /** Roots by handle, the closed ones too: their facts come later. */
  readonly #handles = new Map<number, Root>();
  /** The root each stream has while that is present, by configured index. */
  readonly #homes = new Map<string, number>();
  #present: readonly Root[] = [];

  constructor(options: RootsOptions) {
    this.#options = options;
    this.#slots = options.roots.map((root, index) => ({
      ...root,
      index,
      state: "absent",
      detail: `${root.path} was not looked at yet`,
      opened: null,
      opening: null,
      id: null,
      roomBytes: null,
      uuid: null,
      failedMonoMs: null,
    }));
  }

  /** Learns what was at each path last, so that its recordings are listed although it is absent. */
  async load(): Promise<void> {
    const remembered = await this.#options.state.roots();
    for (const slot of this.#slots) {
      slot.id = await this.#options.catalog.rootId(remembered.get(slot.path)?.uuid ?? null, slot.path);
    }
  }

  /** Those that are open now. A list that was handed out does not change. */
  present(): readonly Root[] {
    return this.#present;
  }

  /** Whether a root that was handed out before is open still. */
  isPresent(root: Root): boolean {
    return this.#present.includes(root);
  }

  /** The same disk as it is open now; null if it is not. */
  again(root: Root): Root | null {
    return this.#present.find((candidate) => candidate.id === root.id) ?? null;
  }

  /** Every configured root that the catalog knows, present or not. */
  known(): readonly { readonly id: number; readonly index: number; readonly path: string; readonly uuid: string | null }[] {
    return this.#slots.flatMap(({ id, index, path, uuid }) => (id === null ? [] : [{ id, index, path, uuid }]));
  }

  /** Whether files of this root (the catalog's key) may be read where its path leads. */
  isReadable(id: number): boolean {
    return this.#slots.some((slot) => slot.id === id && slot.state !== "absent");
  }

  status(): readonly RootStatus[] {
    return this.#slots.map(({ index, path, state, detail }) => ({ index, path, state, detail }));
  }

  /** A stream keeps its root while that is present, and comes back to it; new ones go to the present root with the most room for each. */
  of(place: StreamPlace): Root {
    const root = this.find(place);
    if (root !== null) return root;
    const why = this.#slots.map(({ detail }) => detail).join("; ");
    throw new RecorderError("ROOT_UNAVAILABLE", `no root can be written: ${why}`, { roots: this.#slots.length });
  }

  /** As `of`; null where no root is present. */
  find(place: StreamPlace): Root | null {
    const candidates = this.#candidates();
    const key = streamKeyText(place);
    const home = candidates.find(({ index }) => index === this.#homes.get(key));
    if (home !== undefined) return home;
    const load = new Map<number, number>();
    for (const index of this.#homes.values()) load.set(index, (load.get(index) ?? 0) + 1);
    let best: Root | null = null;
    let bestShare = 0;
    for (const root of candidates) {
      const share = this.#roomBytes(root) / (1 + (load.get(root.index) ?? 0));
      if (best !== null && share <= bestShare) continue;
      best = root;
      bestShare = share;
    }
    if (best !== null && !this.#homes.has(key)) this.#homes.set(key, best.index);
    return best;
  }

  /** How much a root can hold: what is recorded, and what may be beside it. */
  noteRoom(root: Root, bytes: number): void {
    this.#slot(root.index).roomBytes = bytes;
  }

  /** One that has not told is taken for one like the others. */
  #roomBytes({ index }: Root): number {
    const told = this.#slots.map(({ roomBytes }) => roomBytes).filter((bytes) => bytes !== null);
    return Math.max(1, this.#slots[index]?.roomBytes ?? (told.length > 0 ? Math.min(...told) : 1));
  }

  /** Present roots that did not fail lately; if there are none, those that did. */
  #candidates(): readonly Root[] {
    const now = this.#options.clock.monoMs();
    const sound = this.#present.filter(({ index }) => {
      const failed = this.#slots[index]?.failedMonoMs ?? null;
      return failed === null || now - failed >= SUSPECT_MS;
    });
    return sound.length > 0 ? sound : this.#present;
  }

  /** A present root by its index in the configuration; null for one that is not. */
  at(index: number): Root | null {
    if (this.#slots[index] === undefined) {
      throw new RecorderError("INPUT_INVALID", `root ${index} is not configured, there are ${this.#slots.length}`, { root: index });
    }
    return this.#slots[index].opened?.root ?? null;
  }

  /** Takes the path of a stream's file on a root apart, by its handle; refuses one that is not in a day folder of this stream. */
  locate(place: StreamPlace, handle: number, path: string): { readonly root: Root; readonly file: string } {
    assertName(place);
    const root = this.#handles.get(handle);
    if (root === undefined) throw new RecorderError("INPUT_INVALID", `root ${handle} was never opened`, { root: handle });
    const folder = join(root.path, place.name);
    const file = relative(folder, resolve(path));
    if (file.startsWith("..") || file.split(sep).length !== 2) {
      throw new RecorderError("INPUT_INVALID", `${path} is not in a day folder of ${folder}`, { path });
    }
    return { root, file };
  }

  /**
   * Opens what is at a configured path if it is a root of ours, takes writes and is used by nobody else; a new disk becomes one. The root is
   * not present before `publish`. On a rejection `status` says why it is not: ROOT_LOCKED for another process, else what the disk answers.
   */
  open(index: number): Promise<OpenedRoot> {
    const slot = this.#slot(index);
    slot.opening ??= this.#open(slot).catch((error: unknown) => {
      slot.opening = null;
      const { code, message } = toRecorderError(error);
      slot.state = code === "ROOT_UNAVAILABLE" || code === "ROOT_LOCKED" || code === "NOT_FOUND" ? "absent" : "failing";
      slot.detail = message;
      slot.uuid = null;
      throw error;
    });
    return slot.opening;
  }

  /** What was opened is present from now on. */
  publish(opened: OpenedRoot): void {
    const { root } = opened;
    const slot = this.#slot(root.index);
    for (const other of this.#slots) if (other.id === root.id) other.id = null;
    Object.assign(slot, { id: root.id, state: "present", detail: null, opened, opening: null });
    this.#handles.set(root.handle, root);
    this.#count();
  }

  /** A root is not to be written any more, from now on. False if it was left before. Its handle is open until `release`. */
  leave(root: Root, state: "failing" | "absent", detail: string): OpenedRoot | null {
    const slot = this.#slot(root.index);
    const { opened } = slot;
    if (opened?.root !== root) return null;
    Object.assign(slot, { state, detail, opened: null, uuid: null });
    if (state === "failing") slot.failedMonoMs = this.#options.clock.monoMs();
    this.#count();
    return opened;
  }

  /** Rejects with ROOT_UNAVAILABLE if the root's path leads to something else by now. */
  check(root: Root): Promise<void> {
    return this.#options.files.checkRoot(root.handle);
  }

  /** Lets go of a root that is not present (any more). */
  async release({ root, lock }: OpenedRoot): Promise<void> {
    const slot = this.#slot(root.index);
    if (slot.opened === null) Object.assign(slot, { opening: null, uuid: null });
    await lock.release();
    await this.#options.files.closeRoot(root.handle);
  }

  /** Lets go of all. A disk that hangs is not waited for. */
  async close(): Promise<void> {
    for (const slot of this.#slots) {
      const { opened, opening } = slot;
      slot.opened = null;
      if (opened !== null) await this.release(opened);
      opening?.then((late) => this.release(late)).catch(() => undefined);
    }
    this.#count();
  }

  async #open(slot: Slot): Promise<OpenedRoot> {
    const { files } = this.#options;
    const { uuid, mountPoint } = await this.#identify(slot);
    const handle = await files.openRoot(slot.path, uuid);
    let lock: FolderLock | null = null;
    try {
      await files.testRoot(handle);
      lock = await lockFolder(slot.path, { create: false });
      // The lock went by the path; the handle says whether that is still the root.
      await files.checkRoot(handle);
      const recordings = (await list(slot.path)).some((name) => parseStreamName(name) !== null);
      const id = await this.#options.catalog.claimRoot(uuid, slot.path, recordings);
      await this.#options.state.rememberRoot(slot.path, { uuid, mountPoint });
      const { index, path, limitBytes, reserveBytes } = slot;
      return { root: { index, id, uuid, path, limitBytes, reserveBytes, handle }, lock };
    } catch (error) {
      await lock?.release();
      await files.closeRoot(handle);
      throw error;
    }
  }

  /** The identity of what is at the path. A directory that is missing on the right file system is made, one without a marker gets it. */
  async #identify(slot: Slot): Promise<{ uuid: string; mountPoint: string }> {
    const { files, serial, state, catalog } = this.#options;
    const { path } = slot;
    const remembered = await state.roots();
    const uuids = new Set([...(await catalog.rootUuids()), ...[...remembered.values()].map(({ uuid }) => uuid)]);
    const known = { serial, remembered: remembered.get(path) ?? null, uuids };
    const look = async () => {
      const found = await files.inspectRoot(path);
      const verdict = recognise(path, found, found.directory === null ? [] : await list(path), known);
      if (verdict.kind === "refused") throw new RecorderError("ROOT_UNAVAILABLE", verdict.reason, { path });
      return { found, verdict };
    };
    let { found, verdict } = await look();
    if (found.directory === null) {
      await makeRoot(path);
      ({ found, verdict } = await look());
    }
    let { uuid } = verdict;
    if (verdict.kind === "unmarked" || uuid === null) {
      uuid ??= randomUUID();
      await files.adoptRoot(path, found, uuid, serial);
    }
    const other = this.#slots.find((candidate) => candidate !== slot && candidate.uuid === uuid);
    if (other !== undefined) {
      throw new RecorderError("ROOT_UNAVAILABLE", `${path} is the same root as ${other.path}`, { path });
    }
    slot.uuid = uuid;
    return { uuid, mountPoint: found.mountPoint };
  }

  #slot(index: number): Slot {
    const slot = this.#slots[index];
    if (slot === undefined) throw new RecorderError("INPUT_INVALID", `root ${index} is not configured`, { root: index });
    return slot;
  }

  #count(): void {
    this.#present = this.#slots.flatMap(({ opened }) => (opened === null ? [] : [opened.root]));
    for (const [handle, root] of this.#handles) {
      if (this.#handles.size <= MAX_CLOSED) break;
      if (!this.#present.includes(root)) this.#handles.delete(handle);
    }
  }
}

async function makeRoot(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    const { message } = toRecorderError(error);
    throw new RecorderError("ROOT_UNAVAILABLE", `the directory ${path} cannot be made: ${message}`, { path }, { cause: error });
  }
}

/** Folder names come from outside this folder: nothing but the form of paths.ts may become a path. */
export function assertName(place: StreamPlace): void {
  const parsed = parseStreamName(place.name);
  if (parsed?.channel === place.channel && parsed.stream === place.stream) return;
  const message = `"${place.name}" is not the folder name of channel ${place.channel}, ${place.stream}: <Serial>_<Channel>[_sub]`;
  throw new RecorderError("INPUT_INVALID", message, { name: place.name });
}
