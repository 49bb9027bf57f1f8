import { beforeEach, describe, expect, test } from "vitest";
import type { Clock } from "../../src/base/clock.ts";
import type { ClockMove } from "../../src/base/clock-watch.ts";
import { silentLogger } from "../../src/base/log.ts";
import type { SegmentEnd } from "../../src/engine/types.ts";
import { RunBook, type RunBookOptions } from "../../src/recording/run-book.ts";
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
    planSegment: () => ({ root: 7, rootIndex: 0, path: "", midnightsUtcMs: [] }),
    beginRun: async (run) => void calls.push(["beginRun", run.run, run.startUtcMs]),
    endRun: note("endRun"),
    segmentOpened: async (_place, id, opened) => void calls.push(["segmentOpened", id.run, id.sequence, opened.startUtcMs]),
    closeSegment: async (_place, id, ended) => {
      calls.push(["closeSegment", id.sequence, ended.endUtcMs]);
      return closing;
    },
    segmentFailed: async (_place, id) => void calls.push(["segmentFailed", id.sequence]),
    openGap: note("openGap"),
    closeGap: note("closeGap"),
    splitGap: note("splitGap"),
    splitGaps: note("splitGaps"),
    openSegmentProgress: () => {},
  };
}

function newBook(changes: Partial<RunBookOptions> = {}): RunBook {
  return new RunBook({ place: PLACE, store: recordingStore(), clock, clockTrusted: () => true, log: silentLogger, ...changes });
}

const opened = (run: string, sequence: number, startUtcMs: number, startMonoMs = 0) =>
  book.opened({ kind: "segmentOpened", stream: 1, run, sequence, root: 0, path: "", startUtcMs, startMonoMs, tracks: [] });
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
  book = newBook();
});

describe("RunBook", () => {
  test("a run begins with its first segment and numbers on", async () => {
    book.beginSession();
    const first = book.nextSegment();
    expect(first.sequence).toBe(0);
    opened(first.run, 0, 1000);
    expect(book.nextSegment()).toMatchObject({ run: first.run, sequence: 1 });
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
    book.beginSession();
    now = NOW + 2000;
    book.interrupt({ cause: "auth-refused", detail: "401" });
    book.beginSession();
    now = NOW + 5000;
    book.interrupt({ cause: "auth-refused", detail: "401" });
    book.interrupt({ cause: "no-media", detail: null });
    await book.settled();
    expect(calls).toEqual([
      // From when it was asked to record: those two seconds are missing as well.
      ["openGap", NOW, "auth-refused", "401"],
      ["openGap", NOW + 5000, "no-media", null],
    ]);
  });

  test("a run ends also when its last segment outlives the pause before the next session", async () => {
    book.beginSession();
    const { run } = book.nextSegment();
    opened(run, 0, 1000);
    book.interrupt({ cause: "camera-unreachable", detail: "reset" });
    book.beginSession();
    ended(run, 0, 1000, 5000, "disconnected");
    opened(book.nextSegment().run, 0, 9000);
    await book.settled();
    expect(calls).toContainEqual(["endRun", run, 5000, "camera-unreachable"]);
    expect(calls).toContainEqual(["openGap", 5000, "camera-unreachable", "reset"]);
    expect(calls.at(-1)).toEqual(["closeGap", 9000]);
  });

  test("media that reaches the disk after its session keeps its own run, and the outage behind it is a gap", async () => {
    book.beginSession();
    const { run } = book.nextSegment();
    book.interrupt({ cause: "camera-unreachable", detail: "reset" });
    book.beginSession();
    const next = book.nextSegment();
    expect(next.run).not.toBe(run);
    opened(run, 0, NOW + 100);
    expect(book.nextSegment()).toMatchObject(next);
    ended(run, 0, NOW + 100, NOW + 2000, "disconnected");
    opened(next.run, 0, NOW + 4000);
    await book.settled();
    expect(calls.filter(([name]) => name !== "segmentOpened" && name !== "closeSegment")).toEqual([
      ["openGap", NOW, "camera-unreachable", "reset"],
      ["beginRun", run, NOW + 100],
      ["closeGap", NOW + 100],
      ["openGap", NOW + 2000, "camera-unreachable", "reset"],
      ["endRun", run, NOW + 2000, "camera-unreachable"],
      ["beginRun", next.run, NOW + 4000],
      ["closeGap", NOW + 4000],
    ]);
  });

  test("a run whose first file could not be made begins with its second", async () => {
    const { run } = book.nextSegment();
    failed(run, 0, 28);
    opened(run, 1, 6000);
    await book.settled();
    expect(calls).toContainEqual(["beginRun", run, 6000]);
  });

  test("a failed file opens a gap at its durable end and the run goes on in a new file", async () => {
    const { run } = book.nextSegment();
    opened(run, 0, 1000);
    book.durable({ kind: "durable", stream: 1, run, sequence: 0, fragments: 2, bytes: 10, endUtcMs: 3000 });
    failed(run, 0, 28);
    expect(book.interruption?.cause).toBe("disk-full");
    expect(book.nextSegment()).toMatchObject({ run, sequence: 1 });
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
    book = newBook({ store: recordingStore(new Promise((resolve) => (release = resolve))) });
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

  test("a file that could not be closed is handed to recovery at once", async () => {
    book = newBook({ store: recordingStore(Promise.reject(new Error("seal failed"))) });
    const { run } = book.nextSegment();
    opened(run, 0, 1000);
    ended(run, 0, 1000, 2000, "cut");
    await book.settled();
    expect(calls.at(-1)).toEqual(["segmentFailed", 0]);
  });

  test("a cut is no pause in recording, the end of a session is", () => {
    const { run } = book.nextSegment();
    expect(book.recording).toBe(false);
    opened(run, 0, 1000);
    ended(run, 0, 1000, 2000, "cut");
    expect(book.recording).toBe(true);
    opened(run, 1, 2000);
    ended(run, 1, 2000, 3000, "disconnected");
    expect(book.recording).toBe(false);
  });

  test("dropped media is one gap until the next segment, and nothing is said to be recorded meanwhile", async () => {
    const dropped = (fromUtcMs: number, toUtcMs: number) =>
      book.dropped({ kind: "dropped", stream: 1, cause: "queue", fragments: 4, bytes: 9, fromUtcMs, toUtcMs });
    const { run } = book.nextSegment();
    opened(run, 0, 1000);
    dropped(2000, 4000);
    dropped(4000, 6000);
    expect(book.recording).toBe(false);
    expect(book.interruption?.cause).toBe("disk-fault");
    ended(run, 0, 1000, 2000, "dropped");
    opened(run, 1, 6000);
    expect(book.recording).toBe(true);
    await book.settled();
    expect(calls.filter(([name]) => name === "openGap" || name === "closeGap").slice(1)).toEqual([
      ["openGap", 2000, "disk-fault", "media is dropped: the disk does not keep up"],
      ["closeGap", 6000],
      ["closeGap", 6000],
    ]);
  });

  test("a session that ends while media is dropped has its gap behind the dropped media", async () => {
    const { run } = book.nextSegment();
    opened(run, 0, 1000);
    book.dropped({ kind: "dropped", stream: 1, cause: "queue", fragments: 4, bytes: 9, fromUtcMs: 2000, toUtcMs: 4000 });
    book.interrupt({ cause: "no-media", detail: null });
    ended(run, 0, 1000, 2000, "dropped");
    await book.settled();
    expect(calls.slice(-2)).toEqual([
      ["openGap", 4000, "no-media", null],
      ["endRun", run, 2000, "no-media"],
    ]);
  });

  test("a disk that stays full is logged once", () => {
    const errors: string[] = [];
    book = newBook({ log: { ...silentLogger, error: (event) => void errors.push(event) } });
    const { run } = book.nextSegment();
    for (let sequence = 0; sequence < 5; sequence++) failed(run, sequence, 28);
    expect(errors).toEqual(["segment.failed"]);
  });

  describe("finish", () => {
    test("waits for the segment behind a cut, ends the run and accounts for the time since", async () => {
      const { run } = book.nextSegment();
      opened(run, 0, 1000);
      const finished = book.finish("not-planned");
      ended(run, 0, 1000, 2000, "cut");
      opened(run, 1, 2000);
      ended(run, 1, 2000, 3000, "requested");
      await finished;
      expect(calls.filter(([name]) => name === "endRun" || name === "openGap" || name === "closeSegment")).toEqual([
        ["closeSegment", 0, 2000],
        ["closeSegment", 1, 3000],
        ["endRun", run, 3000, "not-planned"],
        ["openGap", 3000, "not-planned", null],
      ]);
    });

    test("changes the cause of a gap that goes on from now on", async () => {
      book.interrupt({ cause: "camera-unreachable", detail: "refused" });
      now = NOW + 60_000;
      await book.finish("process-down");
      expect(calls.at(-1)).toEqual(["openGap", NOW + 60_000, "process-down", null]);
    });

    test("gives up on a disk that does not come back, and keeps what is durable", async () => {
      let giveUp = () => {};
      const impatient: Clock = {
        ...clock,
        after: (_ms, work) => {
          giveUp = work;
          return () => {};
        },
      };
      book = newBook({ clock: impatient });
      const { run } = book.nextSegment();
      opened(run, 0, 1000);
      book.durable({ kind: "durable", stream: 1, run, sequence: 0, fragments: 2, bytes: 10, endUtcMs: 3000 });
      const finished = book.finish("not-planned");
      giveUp();
      await finished;
      expect(calls.slice(-2)).toEqual([
        ["endRun", run, 3000, "not-planned"],
        ["openGap", 3000, "not-planned", null],
      ]);
    });
  });
});

describe.each(["the segment ends first", "the step is told first"])("a clock that is moved: %s", (order) => {
  test("ends the run at the last picture by the old clock, and recording goes on in another", async () => {
    book.beginSession();
    const { run } = book.nextSegment();
    opened(run, 0, NOW);
    if (order === "the step is told first") book.clockStepped();
    ended(run, 0, NOW, NOW + 4000, "clock-step");
    expect(book.recording).toBe(true);
    if (order !== "the step is told first") book.clockStepped();
    const next = book.nextSegment();
    expect(next).toMatchObject({ run: expect.not.stringMatching(run), sequence: 0 });
    await book.settled();
    expect(calls).toContainEqual(["endRun", run, NOW + 4000, "clock-step"]);
    opened(next.run, 0, NOW + 3_604_000);
    await book.settled();
    expect(calls.filter(([name]) => name === "beginRun")).toEqual([
      ["beginRun", run, NOW],
      ["beginRun", next.run, NOW + 3_604_000],
    ]);
    expect(calls.filter(([name]) => name === "endRun")).toHaveLength(1);
    expect(book.recording).toBe(true);
  });
});

describe("a wall clock that is moved", () => {
  const HOUR = 3_600_000;
  /** At 10 s of monotonic time; the clock before began at NOW. */
  const moveBy = (byMs: number, recorded: ClockMove["recorded"] = null): ClockMove => ({
    fromUtcMs: NOW + 10_000,
    toUtcMs: NOW + 10_000 + byMs,
    fromOffsetMs: NOW,
    toOffsetMs: NOW + byMs,
    recorded,
  });
  const gaps = () => calls.filter(([name]) => String(name).endsWith("Gap"));

  /** Records from NOW on; the clock is moved at 10 s, the next random access point is at 11 s. */
  async function recordingOver(move: ClockMove): Promise<string> {
    book.beginSession();
    const { run } = book.nextSegment();
    opened(run, 0, NOW);
    await book.settled();
    calls = [];
    now = move.toUtcMs;
    book.clockMoved(move);
    ended(run, 0, NOW, NOW + 11_000, "clock-step");
    book.clockStepped();
    return run;
  }

  test.each([HOUR, -HOUR])("by %i ms leaves a gap where time is missing", async (byMs) => {
    const run = await recordingOver(moveBy(byMs));
    const start = NOW + 11_000 + byMs;
    opened(book.nextSegment().run, 0, start, 11_000);
    await book.settled();
    const missing = byMs > 0 ? [["openGap", NOW + 11_000, "clock-step", null]] : [];
    expect(gaps()).toEqual([["splitGap", moveBy(byMs)], ...missing, ["closeGap", start]]);
    expect(calls).toContainEqual(["endRun", run, NOW + 11_000, "clock-step"]);
    calls = [];
    book.interrupt({ cause: "no-media", detail: null });
    ended(book.nextSegment().run, 0, start, start + 5000, "disconnected");
    await book.settled();
    expect(gaps()).toEqual([["openGap", start + 5000, "no-media", null]]);
  });

  test("media of the clock before may still come in the next segment", async () => {
    book.beginSession();
    const { run } = book.nextSegment();
    opened(run, 0, NOW);
    book.clockMoved(moveBy(HOUR));
    ended(run, 0, NOW, NOW + 10_500, "cut");
    opened(run, 1, NOW + 10_500, 10_500);
    await book.settled();
    expect(gaps().map(([name]) => name)).toEqual(["closeGap", "splitGap", "closeGap"]);
    ended(run, 1, NOW + 10_500, NOW + 12_000, "clock-step");
    book.clockStepped();
    opened(book.nextSegment().run, 0, NOW + 12_000 + HOUR, 12_000);
    await book.settled();
    expect(gaps().at(-2)).toEqual(["openGap", NOW + 12_000, "clock-step", null]);
  });

  test("a session that ends before the next random access point leaves a gap by both clocks", async () => {
    const move = moveBy(-HOUR);
    book.beginSession();
    const { run } = book.nextSegment();
    opened(run, 0, NOW);
    now = move.toUtcMs;
    book.clockMoved(move);
    await book.settled();
    calls = [];
    book.interrupt({ cause: "camera-unreachable", detail: "gone" });
    ended(run, 0, NOW, NOW + 9000, "disconnected");
    await book.settled();
    expect(gaps()).toEqual([
      ["openGap", NOW + 9000, "camera-unreachable", "gone"],
      ["splitGap", move],
    ]);
  });

  test("while nothing is recorded the gap is split, and later gaps begin by the new clock", async () => {
    book.beginSession();
    book.interrupt({ cause: "camera-unreachable", detail: null });
    const move = moveBy(-HOUR);
    now = move.toUtcMs;
    book.clockMoved(move);
    now += 5000;
    book.interrupt({ cause: "auth-refused", detail: null });
    await book.settled();
    expect(gaps()).toEqual([
      ["openGap", NOW, "camera-unreachable", null],
      ["splitGap", move],
      ["openGap", now, "auth-refused", null],
    ]);
  });

  test("that was never trusted takes along all that it stamped; facts of its runs keep coming by it", async () => {
    const BY = 20 * 365 * 24 * HOUR;
    const move = moveBy(BY, { sinceUtcMs: NOW - 1000, byMs: BY });
    const run = await recordingOver(move);
    expect(book.segment).toBeNull();
    opened(book.nextSegment().run, 0, NOW + 11_000 + BY, 11_000);
    await book.settled();
    expect(gaps()).toEqual([["closeGap", NOW + 11_000 + BY]]);
    expect(calls).toContainEqual(["closeSegment", 0, NOW + 11_000]);
    expect(calls).toContainEqual(["endRun", run, NOW + 11_000, "clock-step"]);
  });

  test("shows the segment in progress where it belongs", () => {
    book.beginSession();
    const { run } = book.nextSegment();
    opened(run, 0, NOW);
    book.clockMoved(moveBy(HOUR, { sinceUtcMs: NOW, byMs: HOUR }));
    expect(book.segment).toMatchObject({ startUtcMs: NOW + HOUR, durableUtcMs: NOW + HOUR });
    book.durable({ kind: "durable", stream: 1, run, sequence: 0, fragments: 1, bytes: 1, endUtcMs: NOW + 1000 });
    expect(book.segment).toMatchObject({ durableUtcMs: NOW + 1000 + HOUR });
    failed(run, 0, 5);
    expect(book.interruption).toMatchObject({ cause: "disk-fault" });
  });

  test("a late run of the clock before is moved too", async () => {
    book.beginSession();
    const { run } = book.nextSegment();
    book.clockMoved(moveBy(HOUR, { sinceUtcMs: NOW, byMs: HOUR }));
    opened(run, 0, NOW + 9000, 9000);
    ended(run, 0, NOW + 9000, NOW + 11_000, "clock-step");
    await book.settled();
    expect(calls).toContainEqual(["beginRun", run, NOW + 9000]);
    expect(gaps()).toEqual([["closeGap", NOW + 9000 + HOUR]]);
  });
});
