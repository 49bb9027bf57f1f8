import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RecorderError } from "../../src/base/errors.ts";
import type { StreamPlace } from "../../src/store/types.ts";
import { settle } from "../fakes/clock.ts";
import { GATE, RUN, SERIAL, T0, TestBox } from "./box.ts";

let box: TestBox;

beforeEach(async () => {
  box = await TestBox.create();
  await box.start();
});
afterEach(() => box.remove());

const id = (sequence: number, run = RUN) => ({ run, sequence });

describe("segments", () => {
  it("grow under a temporary name and close under the name clients parse", async () => {
    await box.beginRun();
    const path = await box.grow(id(0), T0);
    expect(path).toBe(join(box.root, `${SERIAL}_1/20260601/${RUN}-0.mp4.open`));
    expect(await box.rows()).toMatchObject([
      { kind: "run", fromUtcMs: T0, toUtcMs: T0 + 3000, endCause: null, clockTrusted: true },
      { kind: "segment", state: "open", bytes: 1500, fromUtcMs: T0, toUtcMs: T0 + 3000, path },
    ]);

    await box.close(id(0), T0);
    const final = `${SERIAL}_1/20260601/20260601080000-3000.mp4`;
    expect(await box.tree()).toEqual([final, `${SERIAL}_1/20260601/journal.ndjson`]);
    const segment = (await box.rows()).find((row) => row.kind === "segment");
    expect(segment).toMatchObject({ state: "closed", path: join(box.root, final), toUtcMs: T0 + 3000, camera: "gate" });
    expect(await box.findings()).toEqual([]);
  });

  it("count for the usage of their root, open ones by what was reported", async () => {
    await box.record(id(0), T0);
    const closed = (await box.store.usage())[0];
    await box.grow(id(1), T0 + 3000);
    const [usage] = await box.store.usage();
    expect(usage?.segments).toBe(2);
    expect(usage?.segmentBytes).toBe((closed?.segmentBytes ?? 0) + 1500);
    await box.close(id(1), T0 + 3000);
    await box.store.deleteSegment(id(0), "limit");
    await box.store.deleteSegment(id(1), "limit");
    expect(await box.store.usage()).toMatchObject([{ segments: 0, segmentBytes: 0, availableBytes: 1_000_000_000 }]);
  });

  it("never share a stamp, however many close at once", async () => {
    await box.beginRun();
    for (const sequence of [0, 1, 2]) await box.grow(id(sequence), T0 + sequence);
    await Promise.all([0, 1, 2].map((sequence) => box.close(id(sequence), T0 + sequence)));
    const stamps = (await box.tree()).filter((file) => file.endsWith(".mp4")).map((file) => file.slice(-23, -9));
    expect(stamps).toEqual(["20260601080000", "20260601080001", "20260601080002"]);
    expect(await box.findings()).toEqual([]);
  });

  it("are refused outside the folder of their stream", async () => {
    const path = join(box.root, "elsewhere/20260601/x.mp4.open");
    const opened = box.store.segmentOpened(GATE, id(0), { root: 0, path, startUtcMs: T0, startMonoMs: 0 });
    await expect(opened).rejects.toMatchObject({ code: "INPUT_INVALID" });
    expect(() => box.store.planSegment({ ...GATE, name: "../x_1" }, id(0))).toThrow("folder name");
  });

  it("given up by the writer are saved at once", async () => {
    await box.beginRun();
    await box.grow(id(0), T0, 2, GATE, 1);
    await box.store.segmentFailed(GATE, id(0));
    const rows = await box.rows();
    expect(rows.filter((row) => row.kind === "segment")).toMatchObject([{ state: "closed", toUtcMs: T0 + 2000 }]);
    expect(await box.findings()).toEqual([]);
  });

  it("that a full disk keeps us from finishing are tried again until they are done, and listed as far as they were durable", async () => {
    await box.beginRun();
    await box.grow(id(0), T0, 2, GATE, 1);
    box.files.failRecover = new RecorderError("DISK_FULL", "no space left on device");
    await box.store.segmentFailed(GATE, id(0));
    const segments = async () => (await box.rows()).filter((row) => row.kind === "segment");
    for (let round = 0; round < 3; round += 1) {
      expect(await segments()).toMatchObject([{ state: "open", toUtcMs: T0 + 2000, bytes: 1000 }]);
      await box.clock.advance(5000 * 2 ** round);
      while (box.clock.pendingTimers === 0) await settle();
    }
    box.files.failRecover = null;
    await box.clock.advance(40_000);
    while ((await segments())[0]?.state === "open") await settle();
    expect(await segments()).toMatchObject([{ state: "closed", toUtcMs: T0 + 2000 }]);
    expect(await box.findings()).toEqual([]);
    await box.store.stop();
    expect(box.clock.pendingTimers).toBe(0);
  });

  it("renamed before the writer gave them up are entered under their final name", async () => {
    await box.beginRun();
    await box.grow(id(0), T0);
    box.files.dieAt = "rename";
    await expect(box.close(id(0), T0)).rejects.toMatchObject({ code: "ENGINE_UNAVAILABLE" });
    box.files.revive();
    await box.store.segmentFailed(GATE, id(0));
    const rows = await box.rows();
    expect(rows.filter((row) => row.kind === "segment")).toMatchObject([{ state: "closed", toUtcMs: T0 + 3000 }]);
  });
});

describe("deletion", () => {
  it("takes the oldest, journals it, and leaves no folder of a past day", async () => {
    await box.beginRun();
    await box.record(id(0), T0);
    await box.record(id(1), T0 + 3000);
    const oldest = await box.store.oldestSegments(0, 10);
    expect(oldest.map((row) => row.sequence)).toEqual([0, 1]);
    expect(await box.store.deleteSegment(id(0), "limit")).toBe(true);
    const journal = join(box.root, `${SERIAL}_1/20260601/journal.ndjson`);
    expect(await readFile(journal, "utf8")).toContain(
      `"fact":"segment-deleted","atUtcMs":${T0},"rule":"limit","run":"${RUN}","sequence":0`,
    );
    expect(await box.store.deleteSegment(id(0), "limit")).toBe(false);

    box.clock.stepUtc(86_400_000);
    await box.store.deleteSegment(id(1), "age");
    expect(await box.tree()).toEqual([]);
    expect(box.files.steps.at(-1)).toBe("prune");
  });

  it("keeps today's journal", async () => {
    await box.beginRun();
    await box.record(id(0), T0);
    await box.store.deleteSegment(id(0), "limit");
    expect(await box.tree()).toEqual([`${SERIAL}_1/20260601/journal.ndjson`]);
  });

  it("does not wait for a full disk to take the journal", async () => {
    await box.record(id(0), T0);
    box.files.failJournal = new RecorderError("DISK_FULL", "no space");
    expect(await box.store.deleteSegment(id(0), "reserve")).toBe(true);
    expect(await box.tree()).toEqual([]);
  });

  it("leaves a segment as it was where the disk refuses to delete", async () => {
    await box.beginRun();
    await box.record(id(0), T0);
    const before = await box.rows();
    box.files.failUnlink = new RecorderError("DISK_FAULT", "read-only file system");
    await expect(box.store.deleteSegment(id(0), "limit")).rejects.toMatchObject({ code: "DISK_FAULT" });
    expect(await box.rows()).toEqual(before);
    expect(await box.findings()).toEqual([]);
    await box.restart();
    expect(await box.rows()).toContainEqual(expect.objectContaining({ kind: "segment", state: "closed" }));
  });

  it("passes over leased segments until the lease is let go or idle", async () => {
    await box.record(id(0), T0);
    await box.record(id(1), T0 + 3000);
    const lease = await box.store.lease(id(0));
    expect(lease?.segment).toMatchObject({ state: "closed", sequence: 0 });
    expect((await box.store.oldestSegments(0, 1)).map((row) => row.sequence)).toEqual([1]);
    expect(await box.store.deleteSegment(id(0), "limit")).toBe(false);
    await box.clock.advance(60_000);
    expect(await box.store.deleteSegment(id(0), "limit")).toBe(true);
    expect(await box.store.lease(id(0))).toBeNull();
  });
});

describe("gaps over a moved clock", () => {
  const HOUR = 3_600_000;
  const gaps = async () =>
    (await box.rows()).flatMap((row) =>
      row.kind === "gap" ? [[row.fromUtcMs - T0, row.open ? null : row.toUtcMs - T0, row.cause, row.detail]] : [],
    );

  it("are told by both clocks, and time that neither showed is clock-step", async () => {
    await box.store.openGap(GATE, T0, "camera-unreachable", "refused");
    await box.store.splitGap(GATE, { fromUtcMs: T0 + 10_000, toUtcMs: T0 + HOUR });
    await box.store.splitGap(GATE, { fromUtcMs: T0 + 2 * HOUR, toUtcMs: T0 - HOUR });
    expect(await gaps()).toEqual([
      [-HOUR, null, "camera-unreachable", "refused"],
      [0, 10_000, "camera-unreachable", "refused"],
      [10_000, HOUR, "clock-step", null],
      [HOUR, 2 * HOUR, "camera-unreachable", "refused"],
    ]);
    await box.store.closeGap(GATE, T0 - HOUR + 5000);
    expect((await gaps())[0]).toEqual([-HOUR, -HOUR + 5000, "camera-unreachable", "refused"]);
  });

  it("of other streams are split all at once; where nothing was wanted, nothing is missing", async () => {
    const other = { ...GATE, camera: "yard", channel: 2, name: `${SERIAL}_2` };
    const idle = { ...GATE, camera: "idle", channel: 3, name: `${SERIAL}_3` };
    await box.store.openGap(GATE, T0, "no-media", null);
    await box.store.openGap(other, T0, "disk-full", null);
    await box.store.openGap(idle, T0, "not-planned", null);
    await box.store.splitGaps({ fromUtcMs: T0 + 1000, toUtcMs: T0 + HOUR }, [GATE]);
    const rows = (await box.rows()).flatMap((row) => (row.kind === "gap" ? [`${row.camera} ${row.cause}`] : []));
    expect(rows.sort()).toEqual(["gate no-media", "idle not-planned", "yard clock-step", "yard disk-full", "yard disk-full"]);
  });

  it("is remembered by the next process with its sentence", async () => {
    await box.want([GATE]);
    await box.store.openGap(GATE, T0, "no-media", "silent");
    await box.restart();
    await box.store.splitGap(GATE, { fromUtcMs: T0 + 1000, toUtcMs: T0 - HOUR });
    expect(await gaps()).toEqual([
      [-HOUR, null, "no-media", "silent"],
      [0, 1000, "no-media", "silent"],
    ]);
  });
});

describe("gaps", () => {
  it("of a camera that changed its channel end where it goes on under its new name", async () => {
    const moved: StreamPlace = { ...GATE, channel: 2, name: `${SERIAL}_2` };
    await box.store.openGap(GATE, T0, "not-planned", null);
    await box.store.openGap(moved, T0 + 10, "no-media", null);
    await box.store.closeGap(moved, T0 + 20);
    await box.store.openGap(moved, T0 + 30, "not-planned", null);
    await box.store.closeGap(GATE, T0 + 40);
    expect(await box.rows()).toMatchObject([
      { cause: "not-planned", toUtcMs: T0 + 10, open: false },
      { cause: "no-media", toUtcMs: T0 + 20, open: false },
      { cause: "not-planned", toUtcMs: T0 + 40, open: false },
    ]);
  });

  it("of another camera or stream end by themselves", async () => {
    const others: StreamPlace[] = [
      { ...GATE, camera: "yard", channel: 2, name: `${SERIAL}_2` },
      { ...GATE, stream: "sub", name: `${SERIAL}_1_sub` },
    ];
    for (const place of [GATE, ...others]) await box.store.openGap(place, T0, "camera-unreachable", null);
    await box.store.closeGap(GATE, T0 + 10);
    expect((await box.rows()).filter((row) => row.kind === "gap" && row.open)).toHaveLength(2);
  });

  it("open once per cause, change cause, and close", async () => {
    await box.store.openGap(GATE, T0, "camera-unreachable", "refused");
    await box.store.openGap(GATE, T0 + 5, "camera-unreachable", "timed out");
    await box.store.openGap(GATE, T0 + 10, "auth-refused", null);
    box.clock.stepUtc(60);
    expect(await box.rows()).toMatchObject([
      { kind: "gap", fromUtcMs: T0, toUtcMs: T0 + 10, cause: "camera-unreachable", detail: "refused", open: false },
      { kind: "gap", fromUtcMs: T0 + 10, toUtcMs: T0 + 60, cause: "auth-refused", open: true },
    ]);
    await box.store.closeGap(GATE, T0 + 20);
    await box.store.closeGap(GATE, T0 + 30);
    expect((await box.rows()).map((row) => row.toUtcMs)).toEqual([T0 + 10, T0 + 20]);
    const journal = await readFile(join(box.root, `${SERIAL}_1/20260601/journal.ndjson`), "utf8");
    expect(
      journal
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).fact),
    ).toEqual(["gap-opened", "gap-closed", "gap-opened", "gap-closed"]);
  });

  it("that did not last leave no row", async () => {
    await box.store.openGap(GATE, T0, "no-media", null);
    await box.store.closeGap(GATE, T0 - 40);
    expect(await box.rows()).toEqual([]);
  });
});

describe("timeline", () => {
  it("gives what overlaps the range in order of start, across streams", async () => {
    const yard = { camera: "yard", stream: "sub", channel: 2, name: `${SERIAL}_2_sub` } as const;
    const other = "99999999-2222-4333-8444-555555555555";
    await box.beginRun();
    for (const sequence of [0, 1, 2, 3]) await box.record(id(sequence), T0 + sequence * 3000);
    await box.record({ run: other, sequence: 0 }, T0 + 4000, yard);
    await box.store.endRun(RUN, T0 + 12_000, "no-media");
    const range = { fromUtcMs: T0 + 4500, toUtcMs: T0 + 6000 };
    const all = await box.store.timeline({ camera: null, stream: null, range, limit: 100 });
    expect(all.map((row) => [row.kind, row.camera, row.fromUtcMs - T0])).toEqual([
      ["run", "gate", 0],
      ["segment", "gate", 3000],
      ["run", "yard", 4000],
      ["segment", "yard", 4000],
    ]);
    const sub = await box.store.timeline({ camera: null, stream: "sub", range, limit: 1 });
    expect(sub.map((row) => row.camera)).toEqual(["yard"]);
    await expect(box.store.timeline({ camera: null, stream: null, range, limit: 0 })).rejects.toMatchObject({ code: "INPUT_INVALID" });
  });
});

it("a root whose file system does not answer is left out of the usage, the others are told", async () => {
  expect(await box.store.usage()).toMatchObject([{ root: 0, path: box.root }]);
  box.files.failSpace = new RecorderError("DISK_FAULT", "input/output error");
  expect(await box.store.usage()).toEqual([]);
});

describe("what is deleted first, when the clock went years ahead and came back", () => {
  const YEARS = 10 * 365 * 86_400_000;
  const run = (n: number) => `0000000${n}-2222-4333-8444-555555555555`;
  const record = async (n: number, startUtcMs: number) => {
    await box.beginRun(startUtcMs, run(n));
    await box.record(id(0, run(n)), startUtcMs);
    await box.store.endRun(run(n), startUtcMs + 3000, "clock-step");
  };
  const oldest = async () => (await box.store.oldestSegments(0, 10)).map((row) => Number(row.run[7]));

  it("is what was recorded first", async () => {
    await record(1, T0);
    await record(2, T0 + 10_000);
    box.clock.stepUtc(YEARS);
    await record(3, T0 + YEARS);
    await record(4, T0 + YEARS + 10_000);
    expect(await oldest()).toEqual([1, 2, 3, 4]);
    box.clock.stepUtc(60_000 - YEARS);
    expect(await oldest()).toEqual([1, 2, 3, 4]);
    await record(5, T0 + 50_000);
    await record(6, T0 + 60_000);
    expect(await oldest()).toEqual([1, 2, 3, 4, 5, 6]);
    expect((await box.store.oldestSegments(0, 3)).map((row) => Number(row.run[7]))).toEqual([1, 2, 3]);
  });

  it("nothing is deleted by the step itself, in either direction", async () => {
    await record(1, T0);
    box.clock.stepUtc(YEARS);
    await box.restart();
    box.clock.stepUtc(-2 * YEARS);
    await box.restart();
    expect(await oldest()).toEqual([1]);
    expect(await box.findings()).toEqual([]);
  });
});
