import { beforeEach, describe, expect, test } from "vitest";
import { Alarms } from "../../src/base/alarms.ts";
import { silentLogger } from "../../src/base/log.ts";
import { parseBoxConfig } from "../../src/config/box.ts";
import type { DesiredCamera } from "../../src/config/types.ts";
import { Recorder } from "../../src/recording/recorder.ts";
import { Accounts } from "../../src/rtsp/accounts.ts";
import { SimulatedClock } from "../fakes/clock.ts";
import { FakeEngine } from "../fakes/engine.ts";
import { FakeSegmentStore } from "../fakes/segment-store.ts";
import { FakeDesiredStore } from "../fakes/service.ts";
import { camera as scripted } from "../rtsp/scripted-camera.ts";

const GATE: DesiredCamera = {
  id: "gate",
  channel: 1,
  url: "rtsp://10.0.0.5/live",
  subUrl: null,
  username: null,
  transport: "auto",
  record: true,
};
const YARD: DesiredCamera = { ...GATE, id: "yard", channel: 2 };

let clock: SimulatedClock;
let engine: FakeEngine;
let store: FakeSegmentStore;
let desired: FakeDesiredStore;
let recorder: Recorder;

beforeEach(() => {
  clock = new SimulatedClock();
  engine = new FakeEngine(clock, scripted().script);
  store = new FakeSegmentStore();
  desired = new FakeDesiredStore();
  recorder = new Recorder({
    config: parseBoxConfig('serial = "SN"\n[storage]\nroots = ["/root"]\n', "/x.toml"),
    engine,
    store,
    desired,
    capacityBytes: () => Number.POSITIVE_INFINITY,
    resolve: async () => [],
    accounts: new Accounts(clock),
    alarms: new Alarms(clock, silentLogger),
    clock,
    clockTrusted: () => true,
    log: silentLogger,
  });
});

async function want(...cameras: DesiredCamera[]): Promise<void> {
  desired.document = { revision: desired.document.revision + 1, cameras };
  await recorder.reconcile();
}

const shown = () => recorder.status().map(({ camera, stream, state }) => `${camera}/${stream} ${state}`);
const open = () => engine.streams.filter(({ closed }) => !closed).length;

describe("reconcile", () => {
  test("begins what is wanted, main and sub apart, and ends what is not", async () => {
    await want({ ...GATE, subUrl: "rtsp://10.0.0.5/sub" }, YARD);
    expect(shown()).toEqual(["gate/main connecting", "gate/sub connecting", "yard/main connecting"]);
    await want(YARD);
    expect(shown()).toEqual(["yard/main connecting"]);
    expect(engine.streams.map(({ closed }) => closed)).toEqual([true, true, false]);
    await recorder.stop();
  });

  test("what did not change goes on untouched", async () => {
    await want(GATE);
    await want({ ...GATE }, YARD);
    expect(engine.streams).toHaveLength(2);
    expect(open()).toBe(2);
    await recorder.stop();
  });

  test("comes to a change by itself, whatever was missed", async () => {
    await recorder.start();
    desired.document = { revision: 2, cameras: [GATE] };
    await clock.advance(10_000);
    expect(open()).toBe(1);
    await recorder.stop();
    expect(clock.pendingTimers).toBe(0);
  });

  test("a changed URL or password is a new stream, and the time in between has a gap", async () => {
    await want(GATE);
    await clock.advance(500);
    engine.stream.opened();
    await clock.advance(2000);
    desired.passwords.set("gate", "new");
    await want(GATE);
    expect(engine.streams.map(({ closed }) => closed)).toEqual([true, false]);
    expect(store.only("openGap")).toEqual([["openGap", "SN_1", clock.utcMs(), "not-planned"]]);
    engine.stream.opened();
    await clock.advance(0);
    expect(store.calls.at(-1)).toEqual(["closeGap", "SN_1", clock.utcMs()]);
    await recorder.stop();
  });

  test("a camera that is removed, and a sub stream alone, is not planned from then on", async () => {
    engine.server = "refused";
    await want({ ...GATE, subUrl: "rtsp://10.0.0.5/sub" });
    await clock.advance(100);
    await want(GATE);
    expect(store.calls.at(-1)).toEqual(["openGap", "SN_1_sub", clock.utcMs(), "not-planned"]);
    await clock.advance(100);
    await want();
    expect(store.calls.at(-1)).toEqual(["openGap", "SN_1", clock.utcMs(), "not-planned"]);
  });

  test("a camera that moves to another channel is not planned under its old name", async () => {
    await want(GATE);
    await want({ ...GATE, channel: 3 });
    expect(store.only("openGap", "closeGap")).toEqual([["openGap", "SN_1", clock.utcMs(), "not-planned"]]);
    await recorder.stop();
  });

  test("a camera that is not to be recorded is listed and accounted for from then on, not from before", async () => {
    engine.server = "refused";
    await want(GATE);
    const beganUtcMs = clock.utcMs();
    await clock.advance(3_600_000);
    await want({ ...GATE, record: false });
    expect(shown()).toEqual(["gate/main stopped"]);
    expect(store.only("openGap").slice(0, 1)).toEqual([["openGap", "SN_1", beganUtcMs, "camera-unreachable"]]);
    const after = store.only("openGap").filter(([, , , cause]) => cause === "not-planned");
    expect(after.every(([, , fromUtcMs]) => fromUtcMs === clock.utcMs())).toBe(true);
    expect(after).not.toEqual([]);
    await want(GATE);
    expect(shown()).toEqual(["gate/main connecting"]);
    await recorder.stop();
  });
});

describe("one stream that fails", () => {
  test("to start keeps the others from nothing, and is tried again", async () => {
    engine.refuses = new Error("no more streams");
    await want(GATE, YARD);
    expect(shown()).toEqual(["yard/main connecting"]);
    await want(GATE, YARD);
    expect(shown()).toEqual(["gate/main connecting", "yard/main connecting"]);
    await recorder.stop();
  });

  test("to stop is gone all the same", async () => {
    await want(GATE);
    engine.stream.stopRecording = () => {
      throw new Error("the engine is gone");
    };
    await want(YARD);
    expect(shown()).toEqual(["yard/main connecting"]);
    await recorder.stop();
  });

  test("to be accounted for is tried again", async () => {
    store.failing.add("openGap");
    await want({ ...GATE, record: false }, YARD);
    expect(shown()).toEqual(["gate/main stopped", "yard/main connecting"]);
    store.failing.clear();
    await recorder.reconcile();
    expect(store.only("openGap")).toHaveLength(2);
    await recorder.stop();
  });
});

test("stop ends every stream with the process, and nothing begins behind it", async () => {
  await recorder.start();
  await want(GATE, YARD);
  await recorder.stop();
  expect(open()).toBe(0);
  expect(store.only("openGap").map(([, name, , cause]) => [name, cause])).toEqual([
    ["SN_1", "process-down"],
    ["SN_2", "process-down"],
  ]);
  await recorder.reconcile();
  expect(open()).toBe(0);
  await recorder.stop();
});
