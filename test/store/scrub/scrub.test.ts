import { appendFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { RecorderError } from "../../../src/base/errors.ts";
import { Ledger } from "../../../src/ledger/ledger.ts";
import { settle } from "../../fakes/clock.ts";
import { flipByte } from "../../fakes/file-steps.ts";
import { GATE, RUN, SERIAL, T0, TestBox } from "../box.ts";

const DAY_MS = 24 * 3_600_000;
let box: TestBox;
const id = (sequence: number) => ({ run: RUN, sequence });
const path = (sequence: number) => join(box.root, `${SERIAL}_1/20260601/2026060108000${sequence * 3}-3000.mp4`);
const scanned = () => box.files.scanned.map((file) => file.slice(-12, -9));
const damages = async () => (await box.rows()).flatMap((row) => (row.kind === "segment" ? [row.damage] : []));
const journal = async () => (await readFile(join(box.root, `${SERIAL}_1/20260601/journal.ndjson`), "utf8")).trimEnd().split("\n");

beforeEach(async () => {
  box = await TestBox.create();
  await box.start();
  await box.beginRun();
  for (const sequence of [0, 1, 2]) await box.record(id(sequence), T0 + sequence * 3000);
});
afterEach(() => box.remove());

/** Until the scrub has nothing to read and sleeps. */
async function idle(): Promise<void> {
  while (box.clock.nextTimerMs !== 60_000) await settle();
}

async function readAll(): Promise<void> {
  await box.store.settle();
  await idle();
}

/** Lets the scrub look again when so much wall time has passed; it sleeps when this is over. */
async function again(afterMs = 60_000): Promise<void> {
  box.clock.stepUtc(afterMs - 60_000);
  await box.clock.advance(60_000);
  await idle();
}

it("a file whose bytes changed is marked, journalled, alarmed, and not handed out; others are", async () => {
  const before = (await journal()).length;
  await flipByte(path(1), 250);
  await readAll();
  expect(await damages()).toEqual([null, expect.stringMatching(/^offset \d+: damaged$/), null]);
  expect(box.alarms.list()).toMatchObject([{ code: "segment-damaged", subject: box.root, detail: expect.stringMatching(/^1 /) }]);
  await expect(box.store.lease(id(1))).rejects.toMatchObject({ code: "SEGMENT_DAMAGED" });
  expect(await box.store.lease(id(0))).not.toBeNull();
  expect((await journal()).slice(before).map((line) => JSON.parse(line))).toMatchObject([
    { fact: "segment-damaged", run: RUN, sequence: 1, damage: expect.any(String) },
  ]);
  expect(box.store.scrubStatus()).toMatchObject({ segments: 3, damaged: 1, unreadable: 0 });
});

it("the ledger counts damaged media as recorded and says so; check agrees, deep or not", async () => {
  await flipByte(path(1), 250);
  await readAll();
  const ledger = new Ledger({ reader: box.store, zone: "UTC", clock: box.clock });
  box.clock.stepUtc(9000);
  const stretches = [];
  for await (const batch of ledger.stretches(GATE_TRACED, { fromUtcMs: T0, toUtcMs: T0 + 9000 }, new AbortController().signal)) {
    stretches.push(...batch);
  }
  expect(stretches.map(({ state, detail, fromUtcMs }) => [fromUtcMs - T0, state, detail])).toEqual([
    [0, "recorded", null],
    [3000, "recorded", expect.stringMatching(/^damaged: offset/)],
    [6000, "recorded", null],
  ]);
  expect((await box.findings()).map(({ code, path: where }) => [code, where])).toEqual([["damaged", path(1)]]);
  const quick = await box.store.check({ deep: false, signal: new AbortController().signal, onProgress() {} });
  expect(quick.findings).toMatchObject([{ code: "damaged", path: path(1), message: expect.stringContaining("offset") }]);
});

it("a mark outlives restart and reindex, and ends with the segment, the alarm too", async () => {
  await flipByte(path(1), 250);
  await readAll();
  await box.store.reindex({ signal: new AbortController().signal, onProgress() {} });
  expect(await damages()).toEqual([null, expect.any(String), null]);
  box.alarms.clear("segment-damaged", box.root);
  await box.restart();
  await readAll();
  expect(await damages()).toEqual([null, expect.any(String), null]);
  expect(box.alarms.list()).toHaveLength(1);
  expect(await box.store.deleteSegment(id(0), "limit")).toBe(true);
  expect(box.alarms.list()).toHaveLength(1);
  expect(await box.store.deleteSegment(id(1), "limit")).toBe(true);
  expect(box.alarms.list()).toEqual([]);
});

it("files that do not tell any more what they are come back from a rebuild as their marks say", async () => {
  const before = await box.rows();
  await flipByte(path(0), 5);
  await writeFile(path(1), "");
  const bytes = await readFile(path(2));
  await writeFile(path(2), bytes.subarray(0, bytes.length - 20));
  await readAll();
  await box.store.reindex({ signal: new AbortController().signal, onProgress() {} });
  const damaged = { damage: expect.any(String) };
  expect(await box.rows()).toEqual(before.map((row) => (row.kind === "segment" ? { ...row, ...damaged } : row)));
});

it("what is marked while the catalog is rebuilt stays marked", async () => {
  await box.store.settle();
  await idle();
  await flipByte(path(1), 250);
  let rot: Promise<void> | null = null;
  await box.store.reindex({
    signal: new AbortController().signal,
    onProgress() {
      rot ??= again(DAY_MS);
    },
  });
  await rot;
  expect(await damages()).toEqual([null, expect.any(String), null]);
});

it("cut, lengthened and emptied files are damaged", async () => {
  const bytes = await readFile(path(0));
  await writeFile(path(0), bytes.subarray(0, bytes.length - 20));
  await appendFile(path(1), "more");
  await writeFile(path(2), "");
  await readAll();
  expect(await damages()).toEqual([expect.any(String), expect.any(String), expect.any(String)]);
});

it("bytes that are right again, once the next round comes by, free the segment", async () => {
  const bytes = await readFile(path(1));
  await flipByte(path(1), 250);
  await readAll();
  await writeFile(path(1), bytes);
  await again();
  expect(await damages()).toEqual([null, expect.any(String), null]);
  await again(DAY_MS);
  expect(await damages()).toEqual([null, null, null]);
  expect(box.alarms.list()).toEqual([]);
  expect(await box.store.lease(id(1))).not.toBeNull();
  await box.store.reindex({ signal: new AbortController().signal, onProgress() {} });
  expect(await damages()).toEqual([null, null, null]);
});

it("a file that the disk does not read is not called damaged, and asked for again", async () => {
  box.files.whileScanning = async (file) => {
    if (file === path(1)) throw new RecorderError("DISK_FAULT", "read: Input/output error");
  };
  await readAll();
  expect(await damages()).toEqual([null, null, null]);
  expect(box.store.scrubStatus()).toMatchObject({ segments: 2, damaged: 0, unreadable: 1 });
  expect(box.alarms.list()).toMatchObject([{ code: "segment-damaged", detail: "1 cannot be read" }]);
  expect(await box.store.lease(id(1))).not.toBeNull();
  box.files.whileScanning = async () => {};
  await again(DAY_MS);
  expect(box.store.scrubStatus()).toMatchObject({ unreadable: 0 });
  expect(box.alarms.list()).toEqual([]);
});

it("a segment that is deleted while it is read is no error", async () => {
  box.files.whileScanning = async (file) => {
    if (file !== path(1)) return;
    box.files.whileScanning = async () => {};
    await box.store.deleteSegment(id(1), "limit");
  };
  await readAll();
  expect(box.store.scrubStatus()).toMatchObject({ segments: 2, damaged: 0, unreadable: 0 });
  expect(box.alarms.list()).toEqual([]);
});

it("nothing is said of files where another disk has come to lie under the path", async () => {
  await flipByte(path(1), 250);
  const marker = join(box.root, ".easyrms-root");
  const ours = await readFile(marker);
  await writeFile(marker, JSON.stringify({ v: 1, id: "other", serial: SERIAL }));
  await readAll();
  expect(await damages()).toEqual([null, null, null]);
  await writeFile(marker, ours);
  await again(DAY_MS);
  expect(await damages()).toEqual([null, expect.any(String), null]);
});

it("reads the newest first, once a day; what is recorded meanwhile comes soon; goes on after a restart", async () => {
  await readAll();
  expect(scanned()).toEqual(["006", "003", "000"]);
  await again();
  await box.record(id(3), T0 + 9000);
  await again();
  expect(scanned()).toEqual(["006", "003", "000", "009"]);
  await again(DAY_MS - 180_000);
  expect(scanned()).toHaveLength(4);
  await again(120_000);
  expect(scanned().slice(4)).toEqual(["009", "006", "003", "000"]);
  let left = 2;
  let stopped: Promise<void> | null = null;
  box.files.whileScanning = async () => {
    left -= 1;
    if (left > 0) return;
    stopped = box.store.stop();
    throw new RecorderError("DISK_FAULT", "read: Input/output error");
  };
  box.clock.stepUtc(DAY_MS);
  await box.clock.advance(60_000);
  while (left > 0) await settle();
  await stopped;
  await box.restart();
  await readAll();
  expect(scanned()).toEqual(["006", "003", "000"]);
});

const GATE_TRACED = { ...GATE, firstUtcMs: T0, lastUtcMs: T0 + 9000 };
