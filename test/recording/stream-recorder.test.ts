import { beforeEach, describe, expect, test } from "vitest";
import { Alarms } from "../../src/base/alarms.ts";
import { silentLogger } from "../../src/base/log.ts";
import { StreamRecorder } from "../../src/recording/stream-recorder.ts";
import { Accounts } from "../../src/rtsp/accounts.ts";
import type { StreamPlace } from "../../src/store/types.ts";
import { SimulatedClock } from "../fakes/clock.ts";
import { FakeEngine, type FakeEngineStream } from "../fakes/engine.ts";
import { FakeSegmentStore } from "../fakes/segment-store.ts";
import { camera } from "../rtsp/scripted-camera.ts";

const PLACE: StreamPlace = { camera: "gate", stream: "main", channel: 1, name: "SN_1" };

let clock: SimulatedClock;
let engine: FakeEngine;
let store: FakeSegmentStore;
let recorder: StreamRecorder;
let alarms: Alarms;

beforeEach(() => {
  clock = new SimulatedClock();
  engine = new FakeEngine(clock, camera().script);
  store = new FakeSegmentStore();
  alarms = new Alarms(clock, silentLogger);
  recorder = new StreamRecorder({
    place: PLACE,
    endpoint: { url: "rtsp://10.0.0.5/live", username: null, password: null },
    serial: "SN",
    zone: "UTC",
    stream: { fragmentMs: 1000, ringMs: 1000, ringBytes: 1, queueBytes: 1 },
    openStream: engine.openStream,
    store,
    sizing: () => ({ maxDurationMs: 60_000, preallocateBytes: 1024 }),
    resolve: async () => [],
    accounts: new Accounts(clock),
    alarms,
    clock,
    clockTrusted: () => true,
    log: silentLogger,
  });
});

/** Plays, with the first segment growing. */
async function recording(): Promise<FakeEngineStream> {
  recorder.start();
  await clock.advance(500);
  engine.stream.opened();
  return engine.stream;
}

describe("tickets", () => {
  test("one before each session, the next as soon as one is used", async () => {
    const stream = await recording();
    const [first, second] = stream.tickets;
    expect(stream.tickets).toHaveLength(2);
    expect(first).toMatchObject({ root: 7, sequence: 0, serial: "SN", channel: 1, stream: "main", cutAtUtcMs: [1, 2] });
    expect(second).toMatchObject({ run: first?.run, sequence: 1 });
    await clock.advance(0);
    expect(store.only("segmentOpened")).toEqual([["segmentOpened", 0, 7]]);
    await recorder.stop("not-planned");
  });

  test("a disk that refuses gets a new one twice a second, until it takes it", async () => {
    recorder.start();
    await clock.advance(500);
    for (let round = 0; round < 3; round++) {
      engine.stream.failed(28);
      expect(recorder.status()).toMatchObject({ state: "buffering", cause: "disk-full", detail: "open: no space left" });
      await clock.advance(500);
    }
    expect(engine.stream.tickets.map(({ sequence }) => sequence)).toEqual([0, 1, 2, 3]);
    engine.stream.opened();
    expect(recorder.status()).toMatchObject({ state: "recording", cause: null, detail: null });
    await recorder.stop("not-planned");
  });

  test("a file that is given up is followed by the next one at once, on the root that is there", async () => {
    const stream = await recording();
    store.root = 8;
    stream.failed(5);
    expect(stream.tickets.at(-1)).toMatchObject({ root: 8, sequence: 2 });
    stream.opened();
    expect(recorder.status()).toMatchObject({ state: "recording", segment: { sequence: 2 } });
    await recorder.stop("not-planned");
  });

  test("when roots change the unused one is replaced", async () => {
    const stream = await recording();
    store.root = 8;
    recorder.rootsChanged();
    expect(stream.tickets.at(-1)).toMatchObject({ root: 8, sequence: 1, run: stream.tickets[0]?.run });
    await recorder.stop("not-planned");
  });

  test("without a root there is none: what plays is in a gap until one is back", async () => {
    store.root = null;
    recorder.start();
    await clock.advance(500);
    const stream = engine.stream;
    expect(recorder.status()).toMatchObject({ state: "buffering", cause: "disk-fault", detail: "no root can be written: /media: gone" });
    await clock.advance(5000);
    expect(stream.tickets).toEqual([]);
    expect(store.only("openGap")).toEqual([["openGap", "SN_1", expect.any(Number), "disk-fault"]]);
    store.root = 7;
    recorder.rootsChanged();
    stream.opened();
    expect(recorder.status()).toMatchObject({ state: "recording", cause: null, detail: null });
    expect(stream.tickets).toHaveLength(2);
    await recorder.stop("not-planned");
  });

  test("a root that goes between two segments leaves a gap from the end of the last one", async () => {
    const stream = await recording();
    await clock.advance(2000);
    const endUtcMs = clock.utcMs();
    stream.ended("cut");
    store.root = null;
    await clock.advance(300);
    recorder.rootsChanged();
    await clock.advance(0);
    expect(store.only("openGap")).toEqual([["openGap", "SN_1", endUtcMs, "disk-fault"]]);
    expect(recorder.status()).toMatchObject({ state: "buffering", cause: "disk-fault" });
    await recorder.stop("not-planned");
  });

  test("one that the engine does not take is given again, and the session goes on", async () => {
    recorder.start();
    await clock.advance(500);
    engine.stream.refuses = new Error("the queue of orders is full");
    engine.stream.opened();
    expect(engine.stream.tickets).toHaveLength(1);
    await clock.advance(500);
    expect(engine.stream.tickets).toHaveLength(2);
    await recorder.stop("not-planned");
  });

  test("after lost facts a new run begins, since nobody knows what grows", async () => {
    const stream = await recording();
    stream.handlers.onFactsLost();
    expect(stream.stops).toBe(1);
    expect(stream.tickets.at(-1)?.sequence).toBe(0);
    expect(stream.tickets.at(-1)?.run).not.toBe(stream.tickets.at(0)?.run);
    await recorder.stop("not-planned");
  });
});

describe("status", () => {
  test("since when it records is not forgotten at a cut", async () => {
    const stream = await recording();
    const { sinceUtcMs } = recorder.status();
    await clock.advance(60_000);
    stream.ended("cut");
    expect(recorder.status()).toMatchObject({ state: "recording", sinceUtcMs });
    stream.opened();
    await clock.advance(1000);
    expect(recorder.status()).toMatchObject({ state: "recording", sinceUtcMs, segment: { sequence: 1 } });
    await recorder.stop("not-planned");
  });

  test("media that is dropped is not called recorded", async () => {
    const stream = await recording();
    const droppedUtcMs = clock.utcMs();
    stream.handlers.onDropped({
      kind: "dropped",
      stream: 1,
      cause: "queue",
      fragments: 1,
      bytes: 1,
      fromUtcMs: droppedUtcMs,
      toUtcMs: droppedUtcMs + 9,
    });
    expect(recorder.status()).toMatchObject({ state: "buffering", cause: "disk-fault", sinceUtcMs: droppedUtcMs });
    await recorder.stop("not-planned");
  });

  test("media that is dropped is counted in an alarm, until none is for a minute", async () => {
    const stream = await recording();
    const drop = (bytes: number) => {
      const fromUtcMs = clock.utcMs();
      stream.handlers.onDropped({ kind: "dropped", stream: 1, cause: "queue", fragments: 2, bytes, fromUtcMs, toUtcMs: fromUtcMs + 2000 });
    };
    const since = new Date(clock.utcMs()).toISOString();
    drop(100);
    await clock.advance(59_000);
    recorder.sample();
    drop(50);
    expect(alarms.list()).toMatchObject([
      {
        code: "media-dropped",
        subject: "gate/main",
        detail: `4 fragments of 150 bytes were dropped since ${since}; media is dropped: the disk does not keep up`,
      },
    ]);
    await clock.advance(60_000);
    recorder.sample();
    expect(alarms.list()).toEqual([]);
    drop(1);
    expect(alarms.list()[0]?.detail).toContain("2 fragments of 1 bytes");
    await recorder.stop("not-planned");
    expect(alarms.list()).toEqual([]);
  });

  test("while a lost camera is tried again, the reason stays", async () => {
    const stream = await recording();
    engine.server = "refused";
    stream.connection?.drop("reset");
    await clock.advance(0);
    stream.ended("disconnected");
    expect(recorder.status()).toMatchObject({ state: "waiting", cause: "camera-unreachable", code: "reset" });
    await clock.advance(1000);
    expect(recorder.status()).toMatchObject({ cause: "camera-unreachable", code: "refused" });
    await recorder.stop("not-planned");
  });
});

describe("stop", () => {
  test("says goodbye, waits for the last segment and its close, and leaves nothing behind", async () => {
    const stream = await recording();
    await clock.advance(2000);
    await recorder.stop("process-down");
    expect(stream.connection?.lastText).toMatch(/^TEARDOWN/);
    expect(stream.closed).toBe(true);
    const run = stream.tickets[0]?.run;
    expect(store.only("closeSegment", "endRun", "openGap")).toEqual([
      ["closeSegment", 0],
      ["endRun", run, clock.utcMs(), "process-down"],
      ["openGap", "SN_1", clock.utcMs(), "process-down"],
    ]);
    expect(clock.pendingTimers).toBe(0);
    expect(recorder.status()).toMatchObject({ state: "stopped", segment: null });
  });

  test("gives no ticket any more, whatever the writer still reports", async () => {
    const stream = await recording();
    const stopping = recorder.stop("not-planned");
    await clock.advance(0);
    const { length } = stream.tickets;
    stream.opened();
    stream.failed(28);
    await clock.advance(20_000);
    await stopping;
    expect(stream.tickets).toHaveLength(length);
    expect(clock.pendingTimers).toBe(0);
  });

  test("while connecting ends at once", async () => {
    engine.server = camera({ answer: ({ method }) => (method === "DESCRIBE" ? null : undefined) }).script;
    recorder.start();
    await clock.advance(100);
    await recorder.stop("not-planned");
    expect(engine.stream.closed).toBe(true);
    expect(store.calls.map(([name, , , cause]) => [name, cause])).toEqual([["openGap", "not-planned"]]);
    expect(clock.pendingTimers).toBe(0);
  });
});
