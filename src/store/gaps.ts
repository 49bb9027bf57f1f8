import type { GapCause } from "../media/types.ts";
import type { OpenGap } from "./catalog.ts";
import { type StoreContext, writeJournal } from "./context.ts";
import { boundedDetail } from "./journal.ts";
import type { Roots } from "./roots.ts";
import type { StreamPlace } from "./types.ts";
import type { Wanted } from "./wanted.ts";

/** The gaps that go on, one per stream at most. Journal first, row second: files plus journal must be able to rebuild the catalog. */
export class Gaps {
  readonly #context: StoreContext;
  readonly #roots: Roots;
  readonly #open = new Map<string, OpenGap>();

  constructor(context: StoreContext, roots: Roots) {
    this.#context = context;
    this.#roots = roots;
  }

  /** Takes over the gaps that earlier processes left open; ends those of streams that nobody wants any more. */
  async load(wanted: Wanted): Promise<void> {
    for (const gap of await this.#context.catalog.openGaps()) {
      this.#open.set(keyOf(gap), gap);
      if (!wanted.has(gap)) await this.close(gap, this.#context.clock.utcMs());
    }
  }

  async open(place: StreamPlace, fromUtcMs: number, cause: GapCause, detail: string | null): Promise<void> {
    const key = keyOf(place);
    if (this.#open.get(key)?.cause === cause) return;
    await this.#journalEnd(place, fromUtcMs);
    const sentence = boundedDetail(detail);
    const root = this.#roots.of(place);
    await writeJournal(this.#context, root, place, { fact: "gap-opened", atUtcMs: fromUtcMs, cause, detail: sentence });
    await this.#context.catalog.openGap(place, fromUtcMs, cause, sentence);
    this.#open.set(key, { fromUtcMs, cause });
  }

  async close(place: StreamPlace, toUtcMs: number): Promise<void> {
    const key = keyOf(place);
    if (!this.#open.has(key)) return;
    await this.#journalEnd(place, toUtcMs);
    await this.#context.catalog.closeGap(place, toUtcMs);
    this.#open.delete(key);
  }

  async #journalEnd(place: StreamPlace, atUtcMs: number): Promise<void> {
    const gap = this.#open.get(keyOf(place));
    if (gap === undefined) return;
    const { fromUtcMs, cause } = gap;
    await writeJournal(this.#context, this.#roots.of(place), place, { fact: "gap-closed", atUtcMs, fromUtcMs, cause });
  }
}

/** A stream as the catalog tells streams apart: a camera that changes its channel is another one. */
const keyOf = (stream: { readonly camera: string; readonly name: string }): string => `${stream.camera}/${stream.name}`;
