import { beforeEach, describe, expect, test } from "vitest";
import type { Clock } from "../../src/base/clock.ts";
import { silentLogger } from "../../src/base/log.ts";
import type { SegmentEnd } from "../../src/engine/types.ts";
import { RunBook } from "../../src/recording/run-book.ts";
import type { SegmentStore, StreamPlace } from "../../src/store/types.ts";

const PLACE: StreamPlace = { camera: "door", stream: "main", channel: 1, name: "SN_1" };
const NOW = Date.UTC(2026, 10, 23, 12);

let calls: unknown[][] = [];
let now = NOW;
let book: RunBook;

const clock: Clock = { utcMs: () => now, monoMs: () => now, after: () => () => {} };

/** Writes down every call in order; closing can be made to hang. */
function recordingStore(closing: Promise<void> = Promise.resolve()): SegmentStore {
  const note =
    (name: string) =>
    async (...args: unknown[]) => {
      calls.push([name, ...args.filter((arg) => arg !== PLACE)]);
    };
  return {
    planSegment: () => ({ root: 0, path: "", midnightsUtcMs: [] }),
    beginRun: async (run) => void calls.push(["beginRun", run.run, run.startUtcMs]),
    endRun: note("endRun"),
    segmentOpened: async (_place, id, opened) => void calls.push(["segmentOpened", id.run, id.sequence, opened.startUtcMs]),
    closeSegment: async (_place, id, ended) => {
      calls.push(["closeSegment", id.sequence, ended.endUtcMs]);
      await closing;
    },
    segmentFailed: async (_place, id) => void calls.push(["segmentFailed", id.sequence]),
    openGap: note("openGap"),
    closeGap: note("closeGap"),
    lastRecordedUtcMs: async () => null,
    openSegmentProgress: () => {},
  };
}

const opened = (run: string, sequence: number, startUtcMs: number) =>
  book.opened({ kind: "segmentOpened", stream: 1, run, sequence, root: 0, path: "", startUtcMs, startMonoMs: 0, tracks: [] });
const ended = (run: string, sequence: number, startUtcMs: number, endUtcMs: number, reason: SegmentEnd) =>
  book.ended({
    kind: "segmentEnded",
    stream: 1,
    run,
    sequence,
    root: 0,
    path: "",
    startUtcMs,
    endUtcMs,
    durationMs: endUtcMs - startUtcMs,
    fragments: 1,
    bytes: 1,
    reason,
  });
const failed = (run: string, sequence: number, errno: number) =>
  book.failed({ kind: "segmentFailed", stream: 1, run, sequence, root: 0, path: "", step: "append", errno, message: "no space" });

beforeEach(() => {
  calls = [];
  now = NOW;
  book = new RunBook(PLACE, recordingStore(), clock, silentLogger);
});

describe("RunBook", () => {
  test("a run begins with its first segment and numbers on", async () => {
    book.beginSession();
    const first = book.nextSegment();
    expect(first.sequence).toBe(0);
    opened(first.run, 0, 1000);
    expect(book.nextSegment()).toEqual({ run: first.run, sequence: 1 });
    ended(first.run, 0, 1000, 2000, "cut");
    opened(first.run, 1, 2000);
    await book.settled();
    expect(calls).toEqual([
      ["beginRun", first.run, 1000],
      ["segmentOpened", first.run, 0, 1000],
      ["closeGap", 1000],
      ["closeSegment", 0, 2000],
      ["segmentOpened", first.run, 1, 2000],
      ["closeGap", 2000],
    ]);
  });

  test("a gap starts where media ended, not where the disconnect was noticed", async () => {
    const { run } = book.nextSegment();
    opened(run, 0, 1000);
    book.interrupt({ cause: "camera-unreachable", detail: "refused" });
    expect(calls.map((call) => call[0])).not.toContain("openGap");
    ended(run, 0, 1000, 5000, "disconnected");
    await book.settled();
    expect(calls).toContainEqual(["openGap", 5000, "camera-unreachable", "refused"]);
    expect(calls).toContainEqual(["endRun", run, 5000, "camera-unreachable"]);
    book.beginSession();
    expect(book.nextSegment().run).not.toBe(run);
  });

  test("a session without media leaves no run, and the same cause opens one gap", async () => {
    const { run } = book.nextSegment();
    book.interrupt({ cause: "auth-refused", detail: "401" });
    book.beginSession();
    expect(book.nextSegment().run).toBe(run);
    now = NOW + 5000;
    book.interrupt({ cause: "auth-refused", detail: "401" });
    book.interrupt({ cause: "no-media", detail: null });
    await book.settled();
    expect(calls).toEqual([
      ["openGap", NOW + 5000, "auth-refused", "401"],
      ["openGap", NOW + 5000, "no-media", null],
    ]);
  });

  test("a failed file opens a gap at its durable end and the run goes on in a new file", async () => {
    const { run } = book.nextSegment();
    opened(run, 0, 1000);
    book.durable({ kind: "durable", stream: 1, run, sequence: 0, fragments: 2, bytes: 10, endUtcMs: 3000 });
    failed(run, 0, 28);
    expect(book.interruption?.cause).toBe("disk-full");
    expect(book.nextSegment()).toEqual({ run, sequence: 1 });
    opened(run, 1, 6000);
    expect(book.interruption).toBeNull();
    await book.settled();
    expect(calls.slice(3)).toEqual([
      ["segmentFailed", 0],
      ["openGap", 3000, "disk-full", "append: no space"],
      ["segmentOpened", run, 1, 6000],
      ["closeGap", 6000],
    ]);
  });

  test("a slow close does not keep the next segment's row waiting", async () => {
    let release = () => {};
    book = new RunBook(PLACE, recordingStore(new Promise((resolve) => (release = resolve))), clock, silentLogger);
    const { run } = book.nextSegment();
    opened(run, 0, 1000);
    ended(run, 0, 1000, 2000, "cut");
    opened(run, 1, 2000);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(calls).toContainEqual(["segmentOpened", run, 1, 2000]);
    let settled = false;
    const waiting = book.settled().then(() => {
      settled = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(settled).toBe(false);
    release();
    await waiting;
  });

  test("dropped fragments become a closed gap of their own", async () => {
    const { run } = book.nextSegment();
    opened(run, 0, 1000);
    book.dropped({ kind: "dropped", stream: 1, cause: "queue", fragments: 4, bytes: 9, fromUtcMs: 2000, toUtcMs: 4000 });
    await book.settled();
    expect(calls.slice(-2)).toEqual([
      ["openGap", 2000, "disk-fault", "4 fragments dropped: the disk did not keep up"],
      ["closeGap", 4000],
    ]);
  });
});
