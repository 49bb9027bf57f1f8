import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sqlite3 from "sqlite3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Connection } from "../../src/store/database.ts";
import type { FakeStep } from "../fakes/file-steps.ts";
import { GATE, RUN, SERIAL, T0, TestBox } from "./box.ts";

let box: TestBox;
const id = (sequence: number) => ({ run: RUN, sequence });
const DAY = `${SERIAL}_1/20260601`;
const FINAL = `${DAY}/20260601080000-3000.mp4`;
const JOURNAL = `${DAY}/journal.ndjson`;

beforeEach(async () => {
  box = await TestBox.create();
  await box.start();
  await box.want([GATE]);
  await box.beginRun();
});
afterEach(() => box.remove());

const segments = async () => (await box.rows()).filter((row) => row.kind === "segment");

/** Changes the catalog behind the store's back, as a power loss that rolls commits back would. */
async function rollBack(sql: string): Promise<void> {
  await box.store.stop();
  const connection = await Connection.open(join(box.folder, "state/catalog.db"), sqlite3.OPEN_READWRITE);
  await connection.exec(sql);
  await connection.close();
  await box.restart();
}

describe("open, killed", () => {
  it("after step 2: the file without a row is found in the newest day folder", async () => {
    await box.record(id(0), T0);
    const plan = box.store.planSegment(GATE, id(1));
    const identity = { serial: SERIAL, channel: 1, stream: "main", ...id(1), startUtcMs: T0 + 3000, zone: "UTC" } as const;
    await box.files.grow(plan.path, identity, [{ startUtcMs: T0 + 3000, durationMs: 1000, bytes: 100 }]);
    await box.restart();
    expect(await segments()).toMatchObject([{ sequence: 0 }, { sequence: 1, state: "closed", toUtcMs: T0 + 4000 }]);
    expect(await box.findings()).toEqual([]);
  });

  it("after step 3, before a whole fragment: the file is removed and its row dropped", async () => {
    await box.grow(id(0), T0, 0, GATE, 1);
    await box.restart();
    expect(await segments()).toEqual([]);
    expect(await box.tree()).not.toContainEqual(expect.stringContaining(".open"));
    expect((await box.store.usage())[0]).toMatchObject({ segments: 0, segmentBytes: 0 });
  });
});

it("append, killed: the torn tail is cut and every whole fragment kept", async () => {
  await box.grow(id(0), T0, 2, GATE, 1);
  await box.restart();
  expect(await segments()).toMatchObject([{ state: "closed", fromUtcMs: T0, toUtcMs: T0 + 2000 }]);
  expect(await readFile(join(box.root, `${DAY}/20260601080000-2000.mp4`), "latin1")).not.toContain("FRAG {FRAG");
  expect(await box.findings()).toEqual([]);
});

describe("close, killed", () => {
  const points: readonly (readonly [number, FakeStep])[] = [
    [2, "seal"],
    [3, "sync"],
    [4, "rename"],
    [5, "sync-directory"],
  ];
  for (const [step, dieAt] of points) {
    it(`after step ${step} (${dieAt}): the segment is complete, named and indexed after start`, async () => {
      await box.grow(id(0), T0);
      box.files.dieAt = dieAt;
      await expect(box.close(id(0), T0)).rejects.toMatchObject({ code: "ENGINE_UNAVAILABLE" });
      await box.restart();
      expect(await segments()).toMatchObject([{ state: "closed", fromUtcMs: T0, toUtcMs: T0 + 3000, path: join(box.root, FINAL) }]);
      expect(await box.tree()).toEqual([FINAL, JOURNAL]);
      expect(await box.findings()).toEqual([]);
    });
  }

  it("after step 5, while the next segment grows already: both come back", async () => {
    await box.grow(id(0), T0);
    await box.grow(id(1), T0 + 3000, 2);
    box.files.dieAt = "sync-directory";
    await expect(box.close(id(0), T0)).rejects.toMatchObject({ code: "ENGINE_UNAVAILABLE" });
    await box.restart();
    expect(await segments()).toMatchObject([
      { sequence: 0, state: "closed", fromUtcMs: T0, toUtcMs: T0 + 3000, path: join(box.root, FINAL) },
      { sequence: 1, state: "closed", fromUtcMs: T0 + 3000, toUtcMs: T0 + 5000 },
    ]);
    expect(await box.findings()).toEqual([]);
  });

  it("after step 5, while the next segment was closed already: both come back", async () => {
    await box.grow(id(0), T0);
    await box.record(id(1), T0 + 3000);
    box.files.dieAt = "sync-directory";
    await expect(box.close(id(0), T0)).rejects.toMatchObject({ code: "ENGINE_UNAVAILABLE" });
    await box.restart();
    expect((await segments()).map((row) => row.sequence)).toEqual([0, 1]);
    expect(await box.findings()).toEqual([]);
  });

  it("after step 6 whose commit a power loss rolled back, with the open row and the run: all come back from the file", async () => {
    await box.record(id(0), T0);
    const before = await segments();
    await rollBack("PRAGMA foreign_keys = ON; DELETE FROM segment; DELETE FROM run");
    expect(await segments()).toEqual(before);
    expect((await box.rows()).filter((row) => row.kind === "run")).toMatchObject([{ run: RUN, camera: "gate", toUtcMs: T0 + 3000 }]);
    expect(await box.findings()).toEqual([]);
  });

  it("with a lost row among many: only what is newer than the newest row is read", async () => {
    for (const sequence of [0, 1, 2]) await box.record(id(sequence), T0 + sequence * 3000);
    await rollBack("DELETE FROM segment WHERE sequence = 2");
    expect((await segments()).map((row) => row.sequence)).toEqual([0, 1, 2]);
  });
});

describe("delete, killed", () => {
  beforeEach(async () => {
    await box.record(id(0), T0);
    await box.record(id(1), T0 + 3000);
  });

  it("before step 2: nothing has happened", async () => {
    await box.restart();
    expect(await segments()).toHaveLength(2);
  });

  const points: readonly (readonly [number, FakeStep])[] = [
    [3, "journal"],
    [5, "unlink"],
  ];
  for (const [step, dieAt] of points) {
    it(`after step ${step} (${dieAt}): the deletion is finished by start`, async () => {
      box.files.dieAt = dieAt;
      await expect(box.store.deleteSegment(id(0), "limit")).rejects.toMatchObject({ code: "ENGINE_UNAVAILABLE" });
      expect((await segments()).map((row) => row.sequence)).toEqual([1]);
      await box.restart();
      expect((await segments()).map((row) => row.sequence)).toEqual([1]);
      expect(await box.tree()).toEqual([`${DAY}/20260601080003-3000.mp4`, JOURNAL]);
      expect((await box.store.usage())[0]?.segments).toBe(1);
      expect(await box.findings()).toEqual([]);
    });
  }

  it("while the day folder was being pruned: start prunes it", async () => {
    box.clock.stepUtc(86_400_000);
    await box.store.deleteSegment(id(0), "age");
    box.files.dieAt = "unlink";
    await expect(box.store.deleteSegment(id(1), "age")).rejects.toMatchObject({ code: "ENGINE_UNAVAILABLE" });
    await box.restart();
    // The end of the run is journalled anew, in the folder of the day it ended.
    expect((await box.tree()).filter((file) => file.endsWith(".mp4"))).toEqual([]);
    expect(await segments()).toEqual([]);
  });
});

describe("start", () => {
  it("twice in a row changes nothing more", async () => {
    await box.grow(id(0), T0, 2, GATE, 1);
    await box.restart();
    const rows = await box.rows();
    const tree = await box.tree();
    await box.restart();
    expect(await box.rows()).toEqual(rows);
    expect(await box.tree()).toEqual(tree);
  });

  it("ends the runs of a killed process where their media ends, and accounts for the time since", async () => {
    await box.grow(id(0), T0);
    await box.restart();
    box.clock.stepUtc(10_000);
    expect(await box.rows()).toMatchObject([
      { kind: "run", endCause: "process-down", toUtcMs: T0 + 3000 },
      { kind: "segment" },
      { kind: "gap", cause: "process-down", fromUtcMs: T0 + 3000, toUtcMs: T0 + 10_000, open: true },
    ]);
    await box.store.openGap(GATE, T0 + 9000, "camera-unreachable", null);
    await box.store.closeGap(GATE, T0 + 9500);
    const gaps = (await box.rows()).filter((row) => row.kind === "gap");
    expect(gaps.map((gap) => [gap.cause, gap.toUtcMs - T0])).toEqual([
      ["process-down", 9000],
      ["camera-unreachable", 9500],
    ]);
  });

  it("knows an outage up to the last heartbeat only", async () => {
    const yard = { ...GATE, camera: "yard", channel: 2, name: `${SERIAL}_2` };
    await box.want([GATE, yard]);
    await box.store.openGap(GATE, T0, "camera-unreachable", "refused");
    await box.store.openGap(yard, T0 + 20_000, "no-media", null);
    const heartbeat = { monoMs: 1, hostUtcMs: T0, trusted: true, knownUtcMs: 0, hostSet: false, untrustedSinceUtcMs: null, shiftMs: 0 };
    box.store.heartbeat.beat({ ...heartbeat, boot: box.boot, utcMs: T0 + 9000 });
    await box.store.heartbeat.settled();
    box.boot = "boot-2";
    await box.restart();
    const gaps = (await box.rows()).filter((row) => row.kind === "gap");
    expect(gaps).toMatchObject([
      { camera: "gate", cause: "camera-unreachable", fromUtcMs: T0, toUtcMs: T0 + 9000, open: false },
      { camera: "gate", cause: "power-lost", fromUtcMs: T0 + 9000, open: true },
      { camera: "yard", cause: "no-media", fromUtcMs: T0 + 20_000, open: true },
    ]);
    await box.restart();
    expect((await box.rows()).filter((row) => row.kind === "gap")).toEqual(gaps);
  });

  it("says power-lost when the last process ran in another boot", async () => {
    await box.grow(id(0), T0);
    box.boot = "boot-2";
    await box.restart();
    expect((await box.rows()).filter((row) => row.kind !== "segment")).toMatchObject([
      { kind: "run", endCause: "power-lost" },
      { kind: "gap", cause: "power-lost" },
    ]);
  });

  it("accounts for the time after an orderly stop too", async () => {
    await box.record(id(0), T0);
    await box.store.endRun(RUN, T0 + 3000, "process-down");
    await box.restart();
    expect((await box.rows()).at(-1)).toMatchObject({ kind: "gap", cause: "process-down", fromUtcMs: T0 + 3000, open: true });
  });

  it("accounts for the time after a run that ended on its own, when the process died before it could", async () => {
    await box.record(id(0), T0);
    await box.store.endRun(RUN, T0 + 3000, "camera-unreachable");
    await box.restart();
    expect((await box.rows()).at(-1)).toMatchObject({ kind: "gap", cause: "process-down", fromUtcMs: T0 + 3000, open: true });
  });

  it("ends an open gap where the media begins that it recovered, and accounts for the time after that", async () => {
    await box.record(id(0), T0);
    await box.store.endRun(RUN, T0 + 3000, "camera-unreachable");
    await box.store.openGap(GATE, T0 + 3000, "camera-unreachable", null);
    const next = { run: "22222222-2222-4333-8444-555555555555", sequence: 0 };
    const plan = box.store.planSegment(GATE, next);
    const identity = { serial: SERIAL, channel: 1, stream: "main", ...next, startUtcMs: T0 + 8000, zone: "UTC" } as const;
    await box.files.grow(plan.path, identity, [{ startUtcMs: T0 + 8000, durationMs: 1000, bytes: 100 }]);
    box.clock.stepUtc(60_000);
    await box.restart();
    expect((await box.rows()).filter((row) => row.kind === "gap")).toMatchObject([
      { cause: "camera-unreachable", fromUtcMs: T0 + 3000, toUtcMs: T0 + 8000, open: false },
      { cause: "process-down", fromUtcMs: T0 + 9000, open: true },
    ]);
  });

  it("accounts for the time after a gap that ended with media nobody can find", async () => {
    await box.record(id(0), T0);
    await box.store.endRun(RUN, T0 + 3000, "camera-unreachable");
    await box.store.openGap(GATE, T0 + 3000, "camera-unreachable", null);
    await box.store.closeGap(GATE, T0 + 8000);
    await box.restart();
    expect((await box.rows()).filter((row) => row.kind === "gap")).toMatchObject([
      { cause: "camera-unreachable", toUtcMs: T0 + 8000, open: false },
      { cause: "process-down", fromUtcMs: T0 + 8000, open: true },
    ]);
  });

  it("drops a newest row without a file, and says nothing of files it cannot read", async () => {
    await box.record(id(0), T0);
    await box.record(id(1), T0 + 3000);
    await rm(join(box.root, `${DAY}/20260601080003-3000.mp4`));
    await writeFile(join(box.root, `${DAY}/20260601090000-3000.mp4`), "no segment");
    await box.restart();
    expect((await segments()).map((row) => row.sequence)).toEqual([0]);
    expect((await box.findings()).map((finding) => finding.code)).toEqual(["unknown-file"]);
  });

  it("keeps the rows of a disk while another one is in its place", async () => {
    await box.record(id(0), T0);
    await box.grow(id(1), T0 + 3000);
    await rename(box.root, `${box.root}-elsewhere`);
    await box.restart();
    expect(await segments()).toEqual([]);
    await box.store.stop();
    await rm(box.root, { recursive: true });
    await rename(`${box.root}-elsewhere`, box.root);
    await box.restart();
    expect((await segments()).map((row) => row.state)).toEqual(["closed", "closed"]);
    expect(await box.findings()).toEqual([]);
  });

  it("reads no file of earlier days", async () => {
    for (let day = 0; day < 5; day += 1) await box.record(id(day), T0 + day * 86_400_000);
    await box.grow(id(5), T0 + 4 * 86_400_000 + 3000);
    await box.restart();
    expect(box.files.scanned).toHaveLength(1);
    expect(await segments()).toHaveLength(6);
  });
});

describe("a camera that was removed before the process ended", () => {
  it("is not planned for the time since, however often the process starts", async () => {
    await box.record(id(0), T0);
    await box.want([]);
    box.clock.stepUtc(60_000);
    await box.restart();
    await box.restart();
    expect((await box.rows()).filter((row) => row.kind === "gap")).toMatchObject([
      { cause: "not-planned", fromUtcMs: T0 + 3000, open: true },
    ]);
    expect((await box.rows()).find((row) => row.kind === "run")).toMatchObject({ endCause: "process-down" });
  });

  it("is not missing any more", async () => {
    await box.store.openGap(GATE, T0, "camera-unreachable", "refused");
    await box.want([]);
    box.clock.stepUtc(60_000);
    await box.restart();
    expect(await box.rows()).toMatchObject([
      { kind: "gap", cause: "camera-unreachable", toUtcMs: T0 + 60_000, open: false },
      { kind: "gap", cause: "not-planned", fromUtcMs: T0 + 60_000, open: true },
    ]);
  });

  it("is accounted for under its new name alone, if it only moved to another channel", async () => {
    await box.store.openGap(GATE, T0, "camera-unreachable", "refused");
    await box.want([{ ...GATE, channel: 2, name: `${SERIAL}_2` }]);
    box.clock.stepUtc(60_000);
    await box.restart();
    expect(await box.rows()).toMatchObject([{ kind: "gap", toUtcMs: T0 + 60_000, open: false }]);
  });
});
