import type { Alarms } from "../../base/alarms.ts";
import { type Clock, sleep, untilNext } from "../../base/clock.ts";
import { type RecorderError, toRecorderError } from "../../base/errors.ts";
import type { Part } from "../../base/lifecycle.ts";
import type { Logger } from "../../base/log.ts";
import type { Root } from "../context.ts";
import type { Roots } from "./roots.ts";

/** What the engine offers for roots. */
export interface Writers {
  openWriter(root: number, options: { readonly syncMs: number }): void;
  closeWriter(root: number): Promise<void>;
  writerNumbers(root: number): Readonly<Record<string, number>> | null;
}

export interface RootWatchOptions {
  readonly roots: Roots;
  readonly writers: Writers;
  /** A group sync starts at most this long after a fragment was closed. */
  readonly syncMs: number;
  /** Start 3 to 6 on a root that has come back. */
  readonly recover: (root: Root) => Promise<void>;
  /** Streams choose their roots anew. */
  readonly onChanged: () => void;
  readonly alarms: Alarms;
  readonly clock: Clock;
  readonly log: Logger;
}

const PRESENT_MS = 1000;
const GONE_MS = 500;
/** With `SLOW_MS` before it a disk that hangs is told of within a second. */
const MEASURE_MS = 500;
/** Syncs longer than this lose more at a power cut than is promised (DESIGN.md 5). */
const SLOW_MS = 500;
/** What a power cut costs beside the sync: a fragment, the wait for the group sync, a tick. */
const LOSS_MS = 1350;
/** A disk that failed or was slow is well when it has been for so long. */
const CALM_MS = 10_000;
/** How long the end waits for disks that answer. */
const STOP_MS = 2000;

/** EIO, ENXIO, ENODEV, EROFS, ENOTCONN, ESHUTDOWN, ETIMEDOUT, ESTALE, EUCLEAN, EREMOTEIO, ENOMEDIUM: the disk itself, not one file on it. */
const DISK_ERRNOS: ReadonlySet<unknown> = new Set([5, 6, 19, 30, 107, 108, 110, 116, 117, 121, 123]);

/** Sees roots go, fail and come back, and keeps a writer on each that is present. */
export class RootWatch implements Part {
  readonly name = "root-watch";
  readonly #options: RootWatchOptions;
  readonly #stopping = new AbortController();
  /** Ends the pause of a root's loop, by configured index. */
  readonly #wakes = new Map<number, () => void>();
  /** Roots whose next pause is left out. */
  readonly #hurried = new Set<number>();
  /** Roots whose writers and locks are being given up. */
  readonly #leaving = new Map<number, Promise<void>>();
  readonly #faultMonoMs = new Map<number, number>();
  readonly #slowMonoMs = new Map<number, number>();
  #loops: readonly Promise<void>[] = [];

  constructor(options: RootWatchOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { roots } = this.#options;
    for (const root of roots.present()) this.#openWriter(root);
    for (const { index } of roots.status()) this.#tell(index);
    this.#loops = [...roots.status().map(({ index }) => this.#watch(index)), this.#measure()];
  }

  /** Roots stay as they are: the writers end with the engine. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const wake of this.#wakes.values()) wake();
    this.#wakes.clear();
    const given = new AbortController();
    const late = sleep(this.#options.clock, STOP_MS, given.signal).catch(() => undefined);
    await Promise.race([Promise.all(this.#loops), late]);
    given.abort();
  }

  /** A step of a root's writer failed. If the disk is at fault, the root is left at once. */
  failed(handle: number, error: RecorderError): void {
    if (!DISK_ERRNOS.has(error.context["errno"])) return;
    const root = this.#options.roots.present().find((candidate) => candidate.handle === handle);
    if (root !== undefined) this.#leave(root, "failing", error.message);
  }

  async #watch(index: number): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await this.#leaving.get(index);
        if (signal.aborted) return;
        const root = this.#options.roots.at(index);
        if (root === null) await this.#enter(index);
        else await this.#check(root);
      } catch (error) {
        this.#options.log.error("root.watch-failed", { root: index, error: toRecorderError(error) });
      }
      if (this.#hurried.delete(index)) continue;
      await this.#pause(index);
    }
  }

  async #check(root: Root): Promise<void> {
    try {
      await this.#options.roots.check(root);
    } catch (error) {
      const { code, message } = toRecorderError(error);
      this.#leave(root, code === "ROOT_UNAVAILABLE" ? "absent" : "failing", message);
    }
  }

  /** Streams go elsewhere at once; writer, handle and lock follow as the disk lets go. */
  #leave(root: Root, state: "failing" | "absent", detail: string): void {
    const { roots, writers, clock, log, onChanged } = this.#options;
    const opened = roots.leave(root, state, detail);
    if (opened === null) return;
    log.error("root.left", { root: root.path, state, detail });
    if (state === "failing") this.#faultMonoMs.set(root.index, clock.monoMs());
    this.#tell(root.index);
    const leaving = writers
      .closeWriter(root.handle)
      .then(() => roots.release(opened))
      .catch((error: unknown) => log.error("root.not-released", { root: root.path, error: toRecorderError(error) }))
      .finally(() => this.#leaving.delete(root.index));
    this.#leaving.set(root.index, leaving);
    this.#hurry(root.index);
    onChanged();
  }

  async #enter(index: number): Promise<void> {
    const { roots, log, recover, onChanged } = this.#options;
    let opened: Awaited<ReturnType<Roots["open"]>>;
    try {
      opened = await roots.open(index);
    } catch {
      this.#tell(index);
      return;
    }
    if (this.#stopping.signal.aborted) return roots.release(opened);
    const { root } = opened;
    // A ticket for a root without a writer would be refused.
    this.#openWriter(root);
    roots.publish(opened);
    log.info("root.entered", { root: root.path });
    this.#tell(index);
    onChanged();
    recover(root).catch((error: unknown) => log.error("root.not-recovered", { root: root.path, error: toRecorderError(error) }));
  }

  #openWriter(root: Root): void {
    this.#options.writers.openWriter(root.handle, { syncMs: this.#options.syncMs });
  }

  /** Raises and clears what a root's state means. */
  #tell(index: number): void {
    const { roots, alarms, clock } = this.#options;
    const status = roots.status()[index];
    if (status === undefined) return;
    const { path, state, detail } = status;
    if (state === "absent") alarms.raise("root-missing", path, `${detail}`);
    else alarms.clear("root-missing", path);
    const calm = clock.monoMs() - (this.#faultMonoMs.get(index) ?? Number.NEGATIVE_INFINITY) >= CALM_MS;
    if (state === "failing") alarms.raise("disk-fault", path, `${detail}`);
    else if (calm || state === "absent") alarms.clear("disk-fault", path);
    if (state !== "present") alarms.clear("disk-slow", path);
  }

  /** Never waits for a disk: it tells of those that hang. */
  async #measure(): Promise<void> {
    const { clock, roots } = this.#options;
    for (;;) {
      try {
        await sleep(clock, untilNext(clock, MEASURE_MS), this.#stopping.signal);
      } catch {
        return;
      }
      for (const root of roots.present()) {
        this.#lookForSlowness(root);
        this.#tell(root.index);
      }
    }
  }

  #lookForSlowness({ index, path, handle }: Root): void {
    const { writers, alarms, clock } = this.#options;
    const numbers = writers.writerNumbers(handle);
    if (numbers === null) return;
    const at = (name: string) => (numbers[name] ?? 0) / 1000;
    const hangsMs = Math.max(at("sync_us"), at("step_us"));
    const worstMs = Math.max(hangsMs, at("sync_peak_us"));
    if (worstMs > SLOW_MS) {
      this.#slowMonoMs.set(index, clock.monoMs());
      const seconds = (ms: number) => (ms / 1000).toFixed(1);
      const what = hangsMs > SLOW_MS ? `a sync has lasted for ${seconds(hangsMs)} s` : `a sync took ${seconds(worstMs)} s`;
      alarms.raise("disk-slow", path, `${what}: a power cut would lose the last ${seconds(LOSS_MS + worstMs)} s`);
    } else if (clock.monoMs() - (this.#slowMonoMs.get(index) ?? 0) >= CALM_MS) {
      alarms.clear("disk-slow", path);
    }
  }

  #hurry(index: number): void {
    const wake = this.#wakes.get(index);
    if (wake === undefined) this.#hurried.add(index);
    else wake();
  }

  async #pause(index: number): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    const { clock, roots } = this.#options;
    const delayMs = roots.at(index) === null ? GONE_MS : untilNext(clock, PRESENT_MS);
    await new Promise<void>((resolve) => {
      const cancel = clock.after(delayMs, resolve);
      this.#wakes.set(index, () => {
        cancel();
        resolve();
      });
    });
    this.#wakes.delete(index);
  }
}
