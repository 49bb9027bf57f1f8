import { sleep } from "../base/clock.ts";
import { RecorderError, toRecorderError } from "../base/errors.ts";
import type { Root, StoreContext } from "./context.ts";
import type { OpenSegments } from "./open-segments.ts";
import type { Roots } from "./roots/roots.ts";
import type { RootUsage } from "./types.ts";

/** How long a file system may take to say how full it is. */
const PATIENCE_MS = 1000;
/** A root that cannot be asked is reported this often. */
const COMPLAIN_MS = 60_000;

/** Room that a root has for segments: its limit, or what would be free of strangers' files and the reserve. */
export function capacityBytes(usage: RootUsage): number {
  const free = usage.segmentBytes + usage.availableBytes - usage.reserveBytes;
  return Math.max(0, Math.min(usage.limitBytes ?? Number.POSITIVE_INFINITY, free));
}

/** How full the roots are. */
export class Usage {
  readonly #context: StoreContext;
  readonly #open: OpenSegments;
  readonly #roots: Pick<Roots, "noteRoom">;
  /** One question at a time: a disk that hangs must not take one thread after the other. */
  readonly #asking = new Map<number, Promise<{ availableBytes: number; totalBytes: number }>>();
  readonly #complainedMonoMs = new Map<number, number>();

  /** `roots` is told what each has room for. */
  constructor(context: StoreContext, open: OpenSegments, roots: Pick<Roots, "noteRoom">) {
    this.#roots = roots;
    this.#context = context;
    this.#open = open;
  }

  /** A root whose file system does not answer is left out: nothing may be concluded about it, and the others must not wait for it. */
  async read(): Promise<readonly RootUsage[]> {
    const { catalog, roots } = this.#context;
    const totals = new Map((await catalog.totals()).map((total) => [total.root, total]));
    const rows = await Promise.all(roots.map((root) => this.#of(root, totals.get(root.id))));
    return rows.filter((row) => row !== null);
  }

  async #of(root: Root, total: { segments: number; bytes: number } | undefined): Promise<RootUsage | null> {
    const { index, path, limitBytes, reserveBytes } = root;
    try {
      const space = await this.#space(root);
      const segmentBytes = (total?.bytes ?? 0) + this.#open.bytes(index);
      const usage = { root: index, path, segmentBytes, segments: total?.segments ?? 0, limitBytes, reserveBytes, ...space };
      this.#roots.noteRoom(root, capacityBytes(usage));
      return usage;
    } catch (error) {
      this.#complain(root, error);
      return null;
    }
  }

  async #space({ handle, path }: Root): Promise<{ availableBytes: number; totalBytes: number }> {
    const { files, clock } = this.#context;
    let asking = this.#asking.get(handle);
    if (asking === undefined) {
      asking = files.freeSpace(handle).finally(() => this.#asking.delete(handle));
      this.#asking.set(handle, asking);
    }
    const answered = new AbortController();
    const late = sleep(clock, PATIENCE_MS, answered.signal).then(
      () => null,
      () => null,
    );
    try {
      const space = await Promise.race([asking, late]);
      if (space !== null) return space;
      throw new RecorderError("DISK_FAULT", `${path} has not said for ${PATIENCE_MS} ms how full it is`, { path });
    } finally {
      answered.abort();
    }
  }

  #complain({ index, path }: Root, error: unknown): void {
    const { clock, log } = this.#context;
    const now = clock.monoMs();
    const last = this.#complainedMonoMs.get(index);
    if (last !== undefined && now - last < COMPLAIN_MS) return;
    this.#complainedMonoMs.set(index, now);
    log.error("root.unavailable", { root: path, error: toRecorderError(error) });
  }
}
