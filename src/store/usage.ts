import { toRecorderError } from "../base/errors.ts";
import type { Root, StoreContext } from "./context.ts";
import type { OpenSegments } from "./open-segments.ts";
import type { RootUsage } from "./types.ts";

/** A root that cannot be asked is reported this often. */
const COMPLAIN_MS = 60_000;

/** How full the roots are. */
export class Usage {
  readonly #context: StoreContext;
  readonly #open: OpenSegments;
  readonly #complainedMonoMs = new Map<number, number>();

  constructor(context: StoreContext, open: OpenSegments) {
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
    const { index, handle, path, limitBytes, reserveBytes } = root;
    try {
      const space = await this.#context.files.freeSpace(handle);
      const segmentBytes = (total?.bytes ?? 0) + this.#open.bytes(index);
      return { root: index, path, segmentBytes, segments: total?.segments ?? 0, limitBytes, reserveBytes, ...space };
    } catch (error) {
      this.#complain(root, error);
      return null;
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
