import { join } from "node:path";
import sqlite3 from "sqlite3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ErrorCode, RecorderError } from "../../src/base/errors.ts";
import { Connection } from "../../src/store/database.ts";
import { settle } from "../fakes/clock.ts";
import { FakeFileSteps, type FakeStep } from "../fakes/file-steps.ts";
import { GATE, RUN, SERIAL, T0, TestBox } from "./box.ts";

/**
 * Every step of the procedures of src/store/README.md fails (in test/store/recovery.test.ts the process ends after each): file steps with an
 * error of the disk, done or not done all the same, once or until the fault ends; commits because SQLite refuses them. Whatever fails, the
 * invariants hold then, and once the fault is over everything is as if it had never been.
 */

const id = (sequence: number) => ({ run: RUN, sequence });
const DAY = `${SERIAL}_1/20260601`;
const FAULTS: readonly (readonly [string, ErrorCode])[] = [
  ["EIO", "DISK_FAULT"],
  ["EROFS", "DISK_FAULT"],
  ["ENOSPC", "DISK_FULL"],
];
const TIMES = [1, Number.POSITIVE_INFINITY];
let box: TestBox;

beforeEach(async () => {
  box = await TestBox.create();
  await box.start();
  await box.want([GATE]);
  await box.beginRun();
});
afterEach(() => box.remove());

const segments = async () => (await box.rows()).filter((row) => row.kind === "segment");
const media = async () => (await box.tree()).filter((file) => file.endsWith(".mp4") || file.endsWith(".open"));
const failing = (step: FakeStep, [name, code]: readonly [string, ErrorCode], happens: boolean, times: number) => ({
  step,
  error: new RecorderError(code, `${step}: ${name}`),
  happens,
  times,
});

async function catalog<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await Connection.open(join(box.folder, "state/catalog.db"), sqlite3.OPEN_READWRITE);
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
}

/** SQLite refuses what the trigger names, until it is allowed again. */
const refuse = (what: string) =>
  catalog((connection) => connection.exec(`CREATE TRIGGER refused BEFORE ${what} BEGIN SELECT RAISE(ABORT, 'refused'); END`));
const allow = () => catalog((connection) => connection.exec("DROP TRIGGER refused"));

/** Invariants 1, 3, 4 and 5, whatever has just failed. A row whose deletion is under way may have lost its file. */
async function expectInvariants(): Promise<void> {
  expect((await box.findings()).filter(({ code }) => code !== "left-over" && code !== "unknown-file")).toEqual([]);
  await catalog(async (connection) => {
    const sums = "SELECT root.segments AS n, root.bytes FROM root";
    const counted = "SELECT count(*) AS n, sum(bytes) AS bytes FROM segment";
    const [kept] = await connection.all<{ n: number; bytes: number }>(sums);
    const [real] = await connection.all<{ n: number; bytes: number | null }>(counted);
    expect(kept).toEqual({ n: real?.n, bytes: real?.bytes ?? 0 });
    expect(await connection.all("SELECT file FROM segment GROUP BY root_id, stream_id, file HAVING count(*) > 1")).toEqual([]);
    expect(await connection.all("SELECT stream_id FROM gap WHERE to_utc_ms IS NULL GROUP BY stream_id HAVING count(*) > 1")).toEqual([]);
  });
}

/** The recorder's part: a segment that could not be closed was given up by its writer. */
async function closeOrGiveUp(sequence: number, startUtcMs: number): Promise<boolean> {
  try {
    await box.close(id(sequence), startUtcMs);
    return true;
  } catch {
    await box.store.segmentFailed(GATE, id(sequence)).catch(() => undefined);
    return false;
  }
}

/** What is left to be done later is tried again. */
async function later(): Promise<void> {
  await box.clock.advance(60_000);
  while ((await segments()).some(({ state }) => state === "open")) await settle();
}

/** Three seconds were recorded, closed, and are alone there. */
async function expectRecorded(sequences: readonly number[]): Promise<void> {
  expect(await segments()).toMatchObject(
    sequences.map((sequence) => ({
      sequence,
      state: "closed",
      fromUtcMs: T0 + sequence * 3000,
      toUtcMs: T0 + sequence * 3000 + 3000,
      path: join(box.root, `${DAY}/2026060108000${sequence * 3}-3000.mp4`),
    })),
  );
  expect(await media()).toEqual(sequences.map((sequence) => `${DAY}/2026060108000${sequence * 3}-3000.mp4`));
  expect(await box.findings()).toEqual([]);
}

async function restartWith(failure: FakeFileSteps["failing"]): Promise<void> {
  await box.store.stop();
  box.files = new FakeFileSteps();
  box.files.failing = failure;
  await box.start();
}

describe("open 3 fails", () => {
  it.each(["the service goes on", "the process ends"])("%s: the segment is listed, if only once it is closed", async (then) => {
    await refuse("INSERT ON segment");
    await expect(box.grow(id(0), T0)).rejects.toMatchObject({ code: "DATABASE_FAILED" });
    await expectInvariants();
    await allow();
    if (then === "the process ends") await box.restart();
    else expect(await closeOrGiveUp(0, T0)).toBe(true);
    await expectRecorded([0]);
  });
});

describe("close fails", () => {
  const steps: readonly (readonly [number, FakeStep])[] = [
    [2, "seal"],
    [3, "sync"],
    [4, "rename"],
    [5, "sync-directory"],
  ];
  const cases = steps.flatMap(([number, step]) =>
    FAULTS.flatMap((fault) => [false, true].flatMap((happens) => TIMES.map((times) => ({ number, step, fault, happens, times })))),
  );
  it.each(cases)("at $number ($step), $fault.0, done $happens, $times times", async ({ step, fault, happens, times }) => {
    await box.grow(id(0), T0);
    box.files.failing = failing(step, fault, happens, times);
    expect(await closeOrGiveUp(0, T0)).toBe(false);
    await expectInvariants();
    box.files.failing = null;
    await later();
    await expectRecorded([0]);
    await box.record(id(1), T0 + 3000);
    await box.restart();
    await expectRecorded([0, 1]);
  });

  it.each(cases.filter(({ times }) => times > 1))(
    "at $number ($step), $fault.0, done $happens, until the process ends",
    async (failure) => {
      await box.grow(id(0), T0);
      box.files.failing = failing(failure.step, failure.fault, failure.happens, failure.times);
      await closeOrGiveUp(0, T0);
      await box.restart();
      await expectRecorded([0]);
    },
  );

  it.each(["the service goes on", "the process ends"])("at 6, %s", async (then) => {
    await box.grow(id(0), T0);
    await refuse("UPDATE ON segment");
    expect(await closeOrGiveUp(0, T0)).toBe(false);
    await expectInvariants();
    await allow();
    if (then === "the process ends") await box.restart();
    else await later();
    await expectRecorded([0]);
  });
});

describe("delete fails", () => {
  beforeEach(async () => {
    await box.record(id(0), T0);
    await box.record(id(1), T0 + 3000);
  });

  it("at 1 and 2: nothing has happened", async () => {
    const before = await box.rows();
    await refuse("UPDATE OF state ON segment");
    await expect(box.store.deleteSegment(id(0), "limit")).rejects.toMatchObject({ code: "DATABASE_FAILED" });
    expect(await box.rows()).toEqual(before);
    await expectInvariants();
    await allow();
    expect(await box.store.deleteSegment(id(0), "limit")).toBe(true);
    await expectRecorded([1]);
  });

  it.each(FAULTS)("at 3 (journal), %s: the deletion goes on", async (...fault) => {
    box.files.failing = failing("journal", fault, false, Number.POSITIVE_INFINITY);
    expect(await box.store.deleteSegment(id(0), "limit")).toBe(true);
    await expectRecorded([1]);
  });

  it.each(FAULTS)("at 4 (unlink), %s: the segment stays, and can be deleted later", async (...fault) => {
    const before = await box.rows();
    box.files.failing = failing("unlink", fault, false, 1);
    await expect(box.store.deleteSegment(id(0), "limit")).rejects.toMatchObject({ code: fault[1] });
    expect(await box.rows()).toEqual(before);
    await expectInvariants();
    expect(await box.store.deleteSegment(id(0), "limit")).toBe(true);
    await expectRecorded([1]);
  });

  it.each(FAULTS)("behind 4, %s: the next start finishes it", async (...fault) => {
    box.files.failing = failing("unlink", fault, true, 1);
    await expect(box.store.deleteSegment(id(0), "limit")).rejects.toMatchObject({ code: fault[1] });
    expect((await segments()).map(({ sequence }) => sequence)).toEqual([1]);
    await expectInvariants();
    await box.restart();
    await expectRecorded([1]);
  });

  it.each(FAULTS)("at 5 (the empty folder), %s: the next start finishes it", async (...fault) => {
    await box.store.deleteSegment(id(0), "age");
    box.clock.stepUtc(86_400_000);
    const failure = failing("prune", fault, false, 1);
    box.files.failing = failure;
    await expect(box.store.deleteSegment(id(1), "age")).rejects.toMatchObject({ code: fault[1] });
    expect(failure.times).toBe(0);
    expect(await segments()).toEqual([]);
    await box.restart();
    expect(await media()).toEqual([]);
    expect(await segments()).toEqual([]);
    expect(await box.findings()).toEqual([]);
  });

  it("at 6: the next start drops the row", async () => {
    await refuse("DELETE ON segment");
    await expect(box.store.deleteSegment(id(0), "limit")).rejects.toMatchObject({ code: "DATABASE_FAILED" });
    expect((await segments()).map(({ sequence }) => sequence)).toEqual([1]);
    await allow();
    await box.restart();
    await expectRecorded([1]);
  });
});

describe("start fails", () => {
  const steps: readonly FakeStep[] = ["seal", "rename", "sync-directory", "journal"];
  const cases = steps.flatMap((step) => FAULTS.flatMap((fault) => [false, true].map((happens) => ({ step, fault, happens }))));
  it.each(cases)(
    "at 4 or 7 ($step), $fault.0, done $happens: it goes on, and the next one finishes it",
    async ({ step, fault, happens }) => {
      await box.record(id(0), T0);
      await box.grow(id(1), T0 + 3000, 3, GATE, 1);
      await restartWith(failing(step, fault, happens, Number.POSITIVE_INFINITY));
      expect((await segments()).map(({ sequence }) => sequence)).toContain(0);
      await expectInvariants();
      await box.restart();
      await expectRecorded([0, 1]);
    },
  );

  it.each(FAULTS)("at 3 (unlink), %s: it goes on, and the next one finishes it", async (...fault) => {
    await box.record(id(0), T0);
    await box.record(id(1), T0 + 3000);
    box.files.dieAt = "journal";
    await expect(box.store.deleteSegment(id(0), "limit")).rejects.toMatchObject({ code: "ENGINE_UNAVAILABLE" });
    await restartWith(failing("unlink", fault, false, Number.POSITIVE_INFINITY));
    expect((await segments()).map(({ sequence }) => sequence)).toEqual([1]);
    await box.restart();
    await expectRecorded([1]);
  });

  const commits = ["INSERT ON segment", "UPDATE ON segment", "UPDATE ON run", "INSERT ON gap"];
  it.each(commits)("at a commit (%s): what is recorded comes back with the next one", async (what) => {
    await box.record(id(0), T0);
    await box.grow(id(1), T0 + 3000, 3, GATE, 1);
    await box.store.stop();
    if (what === "INSERT ON segment") await catalog((connection) => connection.exec("DELETE FROM segment WHERE sequence = 1"));
    box.files = new FakeFileSteps();
    const store = await box.open();
    await refuse(what);
    await store.start(new AbortController().signal).catch(() => undefined);
    await store.stop();
    await allow();
    box.files = new FakeFileSteps();
    await box.start();
    await expectRecorded([0, 1]);
    expect((await box.rows()).filter(({ kind }) => kind !== "segment")).toMatchObject([
      { kind: "run", endCause: "process-down", toUtcMs: T0 + 6000 },
      { kind: "gap", cause: "process-down", fromUtcMs: T0 + 6000, open: true },
    ]);
  });
});
