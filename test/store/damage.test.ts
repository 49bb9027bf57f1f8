import { open, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sqlite3 from "sqlite3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Connection } from "../../src/store/database.ts";
import type { StreamPlace } from "../../src/store/types.ts";
import { GATE, RUN, SERIAL, T0, TestBox } from "./box.ts";
import { type Dump, dumpCatalog } from "./dump.ts";

const YARD: StreamPlace = { camera: "yard", stream: "main", channel: 2, name: `${SERIAL}_2` };
const RUN_2 = "22222222-2222-4333-8444-555555555555";
const RUN_3 = "33333333-2222-4333-8444-555555555555";
const RUN_4 = "44444444-2222-4333-8444-555555555555";
const id = (sequence: number, run = RUN) => ({ run, sequence });
let box: TestBox;

beforeEach(async () => {
  box = await TestBox.create();
  await box.start();
  await box.want([GATE, YARD]);
  await box.beginRun(T0);
  for (let sequence = 0; sequence < 60; sequence += 1) await box.record(id(sequence), T0 + sequence * 3000);
  await box.store.endRun(RUN, T0 + 180_000, "stream-fault");
  await box.store.openGap(GATE, T0 + 180_000, "stream-fault", "framing lost");
  await box.store.closeGap(GATE, T0 + 200_000);
  await box.beginRun(T0 + 200_000, RUN_2);
  await box.record(id(0, RUN_2), T0 + 200_000);
  await box.beginRun(T0, RUN_3, YARD);
  await box.record(id(0, RUN_3), T0, YARD);
  await box.store.endRun(RUN_3, T0 + 3000, "no-media");
  await box.store.openGap(YARD, T0 + 3000, "no-media", "silent");
});
afterEach(() => box.remove());

const catalog = () => join(box.folder, "state/catalog.db");
const dump = (): Promise<Dump> => dumpCatalog(catalog());
const aside = async () => (await readdir(join(box.folder, "state"))).filter((name) => /^catalog\.db\.damaged-\d{8}T\d{6}Z$/.test(name));

/** What goes on behind READY comes to its end; the clock stands still, so that nothing rests. */
async function settled(): Promise<void> {
  await box.store.settle();
  expect(box.alarms.list()).toEqual([]);
}

/** Ends the process, spoils the catalog, and starts the next process; returns what the catalog of an unspoilt start would say. */
async function spoil(how: (path: string) => Promise<void>): Promise<Dump> {
  await box.restart();
  const expected = await dump();
  await box.store.stop();
  await how(catalog());
  await box.restart();
  return expected;
}

async function overwrite(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  const file = await open(path, "r+");
  await file.write(bytes, 0, bytes.length, offset);
  await file.close();
}

describe("a catalog that cannot be opened", () => {
  const cases: readonly (readonly [string, (path: string) => Promise<void>])[] = [
    ["not a database", (path) => writeFile(path, "rubbish ".repeat(2000))],
    ["its header flipped", (path) => overwrite(path, 3, Buffer.from("?"))],
    ["its page size flipped", (path) => overwrite(path, 16, Buffer.from([0x13]))],
    ["its file format flipped", (path) => overwrite(path, 18, Buffer.from([9, 9]))],
    ["its schema version that of another program", (path) => overwrite(path, 60, Buffer.from([0, 0, 3, 9]))],
    ["its schema version zero", (path) => overwrite(path, 60, Buffer.from([0, 0, 0, 0]))],
    ["its first page zeroed behind the header", (path) => overwrite(path, 100, new Uint8Array(3900))],
    [
      "a trigger that counts the wrong way",
      async (path) => writeFile(path, (await readFile(path, "latin1")).replaceAll("segments + 1", "segments - 1"), "latin1"),
    ],
    ["cut off", async (path) => truncate(path, Math.floor((await stat(path)).size / 2))],
    ["gone", (path) => rm(path)],
    ["empty", (path) => truncate(path)],
  ];
  it.each(cases)("%s: it is set aside, recording can begin, and it is filled behind that", async (what, how) => {
    const expected = await spoil(how);
    expect(box.alarms.list()).toMatchObject([{ code: "catalog-damaged" }]);
    expect(await aside()).toHaveLength(["gone", "empty"].includes(what) ? 0 : 1);
    await box.store.beginRun({
      ...GATE,
      run: RUN_4,
      startUtcMs: T0 + 300_000,
      startMonoMs: 9,
      clockTrusted: true,
    });
    await box.record(id(0, RUN_4), T0 + 300_000);
    await settled();
    const found = await dump();
    expect(found.segment.filter(({ start_utc_ms }) => Number(start_utc_ms) < T0 + 300_000)).toEqual(expected.segment);
    expect(found.run.filter(({ start_utc_ms }) => Number(start_utc_ms) < T0 + 300_000)).toEqual(expected.run);
    expect(found.gap).toEqual(expected.gap);
    expect(await box.findings()).toEqual([]);
  });
});

it("a process that ends before the catalog is filled leaves that to the next", async () => {
  const expected = await spoil((path) => writeFile(path, "rubbish"));
  await box.restart();
  expect(box.alarms.list()).toMatchObject([{ code: "catalog-damaged" }]);
  await settled();
  expect((await dump()).segment).toEqual(expected.segment);
  await box.restart();
  expect(box.alarms.list()).toEqual([]);
});

it("what a rebuild left behind that did not come to its end is removed", async () => {
  await box.restart();
  const expected = await dump();
  await box.store.stop();
  for (const suffix of ["", "-wal", "-shm"]) await writeFile(`${catalog()}.new${suffix}`, "half of it");
  await box.start();
  expect((await readdir(join(box.folder, "state"))).filter((name) => name.includes(".new"))).toEqual([]);
  expect(await dump()).toEqual(expected);
});

it("an empty box has nothing to fill in, and no alarm", async () => {
  const empty = await TestBox.create();
  await empty.start();
  expect(empty.alarms.list()).toEqual([]);
  await empty.remove();
});

/** All rows; those that go on up to now without its time. */
async function rowsButNow() {
  return (await box.rows()).map((row) => (row.kind === "gap" && row.open ? { ...row, toUtcMs: null } : row));
}

/** Makes rubbish of the first page of a table or index. */
async function spoilPage(path: string, name: string): Promise<void> {
  const connection = await Connection.open(path, sqlite3.OPEN_READONLY);
  const row = await connection.get<{ rootpage: number }>("SELECT rootpage FROM sqlite_schema WHERE name = ?", [name]);
  await connection.close();
  await overwrite(path, ((row?.rootpage ?? 0) - 1) * 4096, Buffer.from("rubbish ".repeat(512)));
}

describe("damage that only shows when a page is read", () => {
  it.each(["segment", "segment_by_time", "run", "run_by_time", "gap", "gap_going_on"])(
    "%s: start begins again, and accounts for the same",
    async (name) => {
      const expected = await spoil((path) => spoilPage(path, name));
      await settled();
      await box.store.coverageSpans(GATE, { fromUtcMs: 0, toUtcMs: T0 * 2 });
      await settled();
      expect(await aside()).toHaveLength(1);
      const { stream: _, ...found } = await dump();
      expect(found).toEqual({ ...expected, stream: undefined });
      expect(await box.findings()).toEqual([]);
    },
  );

  it("while it serves: nobody is refused, and what goes on is in the new one", async () => {
    const expected = await spoil((path) => spoilPage(path, "coverage_hour"));
    await box.beginRun(T0 + 300_000, RUN_4);
    await box.store.closeGap(GATE, T0 + 300_000);
    await box.grow(id(0, RUN_4), T0 + 300_000);
    await box.store.openGap(YARD, T0 + 300_000, "auth-refused", null);
    const rows = await rowsButNow();
    expect(box.alarms.list()).toEqual([]);
    await box.close(id(0, RUN_4), T0 + 300_000);
    expect(box.alarms.list()).toMatchObject([{ code: "catalog-damaged" }]);
    await settled();
    const found = await dump();
    expect(found.segment.slice(0, -1)).toEqual(expected.segment);
    expect(found.coverage_hour).toMatchObject(expected.coverage_hour.map(({ hour, camera }) => ({ hour, camera })));
    const closed = { state: "closed", bytes: expect.any(Number), path: expect.stringMatching(/080500-3000\.mp4$/) };
    expect(await rowsButNow()).toEqual(rows.map((row) => (row.kind === "segment" && row.run === RUN_4 ? { ...row, ...closed } : row)));
    await box.store.closeGap(YARD, T0 + 310_000);
    await box.record(id(1, RUN_4), T0 + 303_000);
    expect((await box.rows()).filter((row) => row.kind === "gap" && row.open)).toEqual([]);
    expect(await box.findings()).toEqual([]);
  });
});
