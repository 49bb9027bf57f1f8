import { RecorderError } from "../../src/base/errors.ts";
import type { SegmentStore } from "../../src/store/types.ts";

/** Writes down every call in order, with what tests ask about. */
export class FakeSegmentStore implements SegmentStore {
  readonly calls: unknown[][] = [];
  /** Names of calls that reject. */
  readonly failing = new Set<string>();

  /** The root that is present; null for none. */
  root: number | null = 7;

  planSegment: SegmentStore["planSegment"] = (place, id) => {
    if (this.root === null) throw new RecorderError("ROOT_UNAVAILABLE", "no root can be written: /media: gone");
    return {
      root: this.root,
      rootIndex: 0,
      path: `/media/${place.name}/20260601/${id.run}-${id.sequence}.mp4.open`,
      midnightsUtcMs: [1, 2],
    };
  };
  beginRun: SegmentStore["beginRun"] = (run) => this.#note("beginRun", run.run);
  endRun: SegmentStore["endRun"] = (run, endUtcMs, cause) => this.#note("endRun", run, endUtcMs, cause);
  segmentOpened: SegmentStore["segmentOpened"] = (_, id, { root }) => this.#note("segmentOpened", id.sequence, root);
  closeSegment: SegmentStore["closeSegment"] = (_, id) => this.#note("closeSegment", id.sequence);
  segmentFailed: SegmentStore["segmentFailed"] = (_, id) => this.#note("segmentFailed", id.sequence);
  openGap: SegmentStore["openGap"] = (place, fromUtcMs, cause) => this.#note("openGap", place.name, fromUtcMs, cause);
  closeGap: SegmentStore["closeGap"] = (place, toUtcMs) => this.#note("closeGap", place.name, toUtcMs);
  splitGap: SegmentStore["splitGap"] = (place) => this.#note("splitGap", place.name);
  splitGaps: SegmentStore["splitGaps"] = (_, except) =>
    this.#note(
      "splitGaps",
      except.map(({ name }) => name),
    );
  openSegmentProgress: SegmentStore["openSegmentProgress"] = () => {};

  /** Calls of these names. */
  only(...names: string[]): unknown[][] {
    return this.calls.filter(([name]) => names.includes(String(name)));
  }

  async #note(name: string, ...args: unknown[]): Promise<void> {
    this.calls.push([name, ...args]);
    if (this.failing.has(name)) throw new Error(`${name} fails`);
  }
}
