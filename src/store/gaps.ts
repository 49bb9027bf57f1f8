import type { GapCause } from "../media/types.ts";
import type { OpenGap } from "./catalog.ts";
import type { Stamp } from "./clock/boot-shift.ts";
import { type StoreContext, writeJournal } from "./context.ts";
import { boundedDetail } from "./journal.ts";
import type { Roots } from "./roots/roots.ts";
import type { Instant, StreamPlace } from "./types.ts";
import type { Wanted } from "./wanted.ts";

/** The gaps that go on, one per stream at most. Journal first, row second: files plus journal must be able to rebuild the catalog. */
export class Gaps {
  readonly #context: StoreContext;
  readonly #roots: Roots;
  readonly #open = new Map<string, OpenGap & StreamPlace>();

  constructor(context: StoreContext, roots: Roots) {
    this.#context = context;
    this.#roots = roots;
  }

  /**
   * Takes over the gaps that earlier processes left open. Streams that nobody wants any more are not planned from now on; those that go on
   * under another name are accounted for there.
   */
  async load(wanted: Wanted): Promise<void> {
    const now = this.#stamp(this.#context.clock.utcMs());
    for (const gap of await this.#context.catalog.openGaps()) {
      this.#open.set(keyOf(gap), gap);
      if (wanted.has(gap)) continue;
      if (wanted.hasKey(gap)) await this.close(gap, now);
      else await this.open(gap, now, "not-planned", null);
    }
  }

  /** Those that go on. */
  list(): readonly (OpenGap & StreamPlace)[] {
    return [...this.#open.values()];
  }

  async open(place: StreamPlace, from: Stamp, cause: GapCause, detail: string | null): Promise<void> {
    const key = keyOf(place);
    if (this.#open.get(key)?.cause === cause) return;
    await this.#closeOthers(place, from);
    await this.#journalEnd(place, from);
    const sentence = boundedDetail(detail);
    const root = this.#roots.find(place);
    await writeJournal(this.#context, root, place, { fact: "gap-opened", atUtcMs: from.told(), cause, detail: sentence });
    await this.#context.catalog.openGap(place, from, cause, sentence);
    this.#open.set(key, { ...placeOf(place), fromUtcMs: from.told(), cause, detail: sentence });
  }

  async close(place: StreamPlace, to: Stamp): Promise<void> {
    const key = keyOf(place);
    await this.#closeOthers(place, to);
    if (!this.#open.has(key)) return;
    await this.#journalEnd(place, to);
    await this.#context.catalog.closeGap(place, to);
    this.#open.delete(key);
  }

  /** Streams with a gap that goes on. */
  places(): readonly StreamPlace[] {
    return [...this.#open.values()].map(placeOf);
  }

  async split(place: StreamPlace, { fromUtcMs, toUtcMs }: Instant): Promise<void> {
    const gap = this.#open.get(keyOf(place));
    if (gap === undefined) return;
    const { cause, detail } = gap;
    // Where nothing was wanted, time that no clock showed was not either.
    if (cause === "not-planned" && toUtcMs >= fromUtcMs) return;
    const endUtcMs = Math.max(gap.fromUtcMs, fromUtcMs);
    const [end, begin] = [this.#stamp(endUtcMs), this.#stamp(toUtcMs)];
    await this.close(place, end);
    if (toUtcMs > endUtcMs && cause !== "clock-step") {
      await this.open(place, end, "clock-step", null);
      await this.close(place, begin);
    }
    await this.open(place, begin, cause, detail);
  }

  /** What began at or after an instant of this boot is told to have begun later: the rows are moved in the same turn. */
  shift(sinceUtcMs: number, byMs: number): void {
    for (const [key, gap] of this.#open) {
      if (gap.fromUtcMs >= sinceUtcMs) this.#open.set(key, { ...gap, fromUtcMs: gap.fromUtcMs + byMs });
    }
  }

  /** A stream that was away and comes back on another channel is not missing under its old name. */
  async #closeOthers(place: StreamPlace, to: Stamp): Promise<void> {
    for (const gap of this.#open.values()) {
      if (gap.camera !== place.camera || gap.stream !== place.stream || gap.name === place.name) continue;
      await this.#journalEnd(gap, to);
      await this.#context.catalog.closeGap(gap, to);
      this.#open.delete(keyOf(gap));
    }
  }

  async #journalEnd(place: StreamPlace, at: Stamp): Promise<void> {
    const gap = this.#open.get(keyOf(place));
    if (gap === undefined) return;
    const { fromUtcMs, cause } = gap;
    await writeJournal(this.#context, this.#roots.find(place), place, { fact: "gap-closed", atUtcMs: at.told(), fromUtcMs, cause });
  }

  #stamp(utcMs: number): Stamp {
    return this.#context.catalog.shift.stamp(utcMs);
  }
}

const placeOf = ({ camera, stream, channel, name }: StreamPlace): StreamPlace => ({ camera, stream, channel, name });

/** A stream as the catalog tells streams apart: a camera that changes its channel is another one. */
const keyOf = (stream: { readonly camera: string; readonly name: string }): string => `${stream.camera}/${stream.name}`;
