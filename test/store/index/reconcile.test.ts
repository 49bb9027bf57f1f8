import { copyFile, mkdir, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sqlite3 from "sqlite3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Connection } from "../../../src/store/database.ts";
import { MARKER_FILE } from "../../../src/store/paths.ts";
import type { StreamPlace } from "../../../src/store/types.ts";
import { GATE, RUN, SERIAL, T0, TestBox } from "../box.ts";
import { type Dump, dumpCatalog } from "../dump.ts";

const YARD: StreamPlace = { camera: "yard", stream: "main", channel: 2, name: `${SERIAL}_2` };
const RUN_2 = "22222222-2222-4333-8444-555555555555";
const RUN_3 = "33333333-2222-4333-8444-555555555555";
const RUN_4 = "44444444-2222-4333-8444-555555555555";
const RUN_5 = "55555555-2222-4333-8444-555555555555";
const DAY_MS = 86_400_000;
const id = (sequence: number, run = RUN) => ({ run, sequence });
let box: TestBox;

beforeEach(async () => {
  box = await TestBox.create();
  await box.start();
  await box.want([GATE, YARD]);
});
afterEach(() => box.remove());

const catalog = () => join(box.folder, "state/catalog.db");
const dump = (): Promise<Dump> => dumpCatalog(catalog());

/** What goes on behind READY comes to its end; the clock stands still, so that nothing rests. */
const settled = (): Promise<void> => box.store.settle();

/** Three days of one stream, the last of which begins now, and a little of another. */
async function recordDays(): Promise<void> {
  for (const [day, run] of [RUN, RUN_2, RUN_3].entries()) {
    const begin = T0 + day * DAY_MS;
    box.clock.stepUtc(begin - box.clock.utcMs());
    await box.store.closeGap(GATE, begin);
    await box.beginRun(begin, run);
    for (let sequence = 0; sequence < 5; sequence += 1) await box.record(id(sequence, run), begin + sequence * 3000);
    await box.store.endRun(run, begin + 15_000, "stream-fault");
    await box.store.openGap(GATE, begin + 15_000, "stream-fault", `of day ${day}`);
  }
  await box.store.deleteSegment(id(1), "command");
}

/** Lets the process end, changes the catalog behind its back, starts the next one. */
async function change(sql: string): Promise<void> {
  await box.store.stop();
  const connection = await Connection.open(catalog(), sqlite3.OPEN_READWRITE);
  await connection.exec(`PRAGMA foreign_keys = ON; ${sql}`);
  await connection.close();
  await box.start();
}

/** Everything but how long the longest rows are: that only ever grows. */
async function content(): Promise<Omit<Dump, "stream">> {
  const { stream: _, ...rest } = await dump();
  return rest;
}

describe("rows that are not what the files say", () => {
  const second = `run_id = (SELECT run_id FROM run WHERE uuid = '${RUN_2}')`;
  it.each([
    ["lost", `DELETE FROM segment WHERE ${second} AND sequence IN (1, 2)`],
    ["lost with the run", `DELETE FROM segment WHERE ${second}; DELETE FROM run WHERE uuid = '${RUN_2}'`],
    ["another start", `UPDATE segment SET start_utc_ms = start_utc_ms + 1000 WHERE ${second} AND sequence = 2`],
    ["a start in another year", `UPDATE segment SET start_utc_ms = 5 WHERE ${second} AND sequence = 2`],
    ["another end", `UPDATE segment SET end_utc_ms = end_utc_ms - 1000 WHERE ${second} AND sequence = 2`],
    ["another size", `UPDATE segment SET bytes = bytes + 1 WHERE ${second} AND sequence = 2`],
    ["another hash", `UPDATE segment SET blake3 = zeroblob(32) WHERE ${second} AND sequence = 2`],
    ["another sequence", `UPDATE segment SET sequence = 77 WHERE ${second} AND sequence = 2`],
    ["another file", `UPDATE segment SET file = '20260602/20260602080007-3000.mp4' WHERE ${second} AND sequence = 2`],
    ["a file of another day", `UPDATE segment SET file = '20260599/x' WHERE ${second} AND sequence = 2`],
    ["another run", `UPDATE run SET uuid = '99999999-2222-4333-8444-555555555555' WHERE uuid = '${RUN_2}'`],
    [
      "a run with other times",
      `UPDATE run SET start_utc_ms = 1, start_mono_ms = 2, end_utc_ms = start_utc_ms + 9, boot = 'x' WHERE uuid = '${RUN_2}'`,
    ],
    ["a run that ended otherwise", `UPDATE run SET end_cause = 'no-media' WHERE uuid = '${RUN_2}'`],
    ["a gap lost", `DELETE FROM gap WHERE from_utc_ms = ${T0 + 15_000}`],
    ["a gap with another start", `UPDATE gap SET from_utc_ms = from_utc_ms + 5 WHERE from_utc_ms = ${T0 + 15_000}`],
    ["a gap with another cause", `UPDATE gap SET cause = 'no-media' WHERE from_utc_ms = ${T0 + 15_000}`],
    ["a deletion lost", "DELETE FROM deletion"],
    [
      "hours lost and made up",
      "DELETE FROM coverage_hour; INSERT INTO coverage_hour SELECT stream_id, 5, zeroblob(8), 9, 9 FROM stream LIMIT 1",
    ],
    ["hours with other sums", "UPDATE coverage_hour SET recorded_ms = 1, bytes = 3, minutes = zeroblob(8)"],
    ["sums of the root", "UPDATE root SET segments = 1, bytes = 2"],
  ])("%s", async (_, sql) => {
    await recordDays();
    await box.restart();
    await settled();
    const before = await content();
    await change(sql);
    await settled();
    expect(await content()).toEqual(before);
    expect(await box.findings()).toEqual([]);
  });
});

describe("files that are not what the rows say", () => {
  const file = (day: number, at: number) =>
    join(box.root, GATE.name, `2026060${day + 1}/2026060${day + 1}0800${String(at).padStart(2, "0")}-3000.mp4`);

  it("gone: the row goes, its time is not recorded any more", async () => {
    await recordDays();
    await rm(file(0, 6));
    await rm(join(box.root, GATE.name, "20260602"), { recursive: true });
    await settled();
    const { segment, coverage_hour } = await dump();
    expect(segment.map(({ uuid, sequence }) => `${uuid}/${sequence}`)).toEqual(
      [0, 3, 4].map((n) => `${RUN}/${n}`).concat([0, 1, 2, 3, 4].map((n) => `${RUN_3}/${n}`)),
    );
    expect(coverage_hour.map(({ recorded_ms }) => recorded_ms)).toEqual([9000, 15_000]);
    expect(await box.findings()).toEqual([]);
  });

  it("cut off: the row stays, marked", async () => {
    await recordDays();
    await truncate(file(1, 3), 700);
    await settled();
    expect((await dump()).segment.filter(({ damage }) => damage !== null)).toMatchObject([
      { uuid: RUN_2, sequence: 1, damage: expect.stringContaining("700 bytes") },
    ]);
  });

  it("a second file of a segment is left alone, again and again", async () => {
    await recordDays();
    await copyFile(file(1, 3), file(1, 59));
    const before = await content();
    await settled();
    await settled();
    expect(await content()).toEqual(before);
  });

  it("taken for another one, which is whole in its own place: that one is listed as it was, this one marked", async () => {
    await recordDays();
    const before = await dump();
    await copyFile(file(1, 3), file(1, 6));
    await settled();
    const { segment } = await dump();
    expect(segment.map(({ damage: _, ...row }) => row)).toEqual(before.segment.map(({ damage: _, ...row }) => row));
    expect(segment.filter(({ damage }) => damage !== null)).toMatchObject([
      { uuid: RUN_2, sequence: 2, damage: expect.stringContaining(`holds sequence 1 of run ${RUN_2}`) },
    ]);
  });

  it("ended by the seal of another one: not believed, the row stays as it was, marked", async () => {
    await recordDays();
    const before = await dump();
    const seal = /SEAL .*\n$/.exec(await readFile(file(2, 12), "latin1"))?.[0] ?? "";
    await writeFile(file(1, 3), (await readFile(file(1, 3), "latin1")).replace(/SEAL .*\n$/, seal));
    await settled();
    const { segment } = await dump();
    expect(segment.map(({ damage: _, ...row }) => row)).toEqual(before.segment.map(({ damage: _, ...row }) => row));
    expect(segment.filter(({ damage }) => damage !== null)).toMatchObject([{ uuid: RUN_2, sequence: 1 }]);
  });

  it("left open long ago: finished", async () => {
    await recordDays();
    const folder = join(box.root, GATE.name, "20260601");
    const text = (await readFile(file(0, 9), "latin1")).replace(/SEAL.*\n/, "").replaceAll('"sequence":3', '"sequence":9');
    await writeFile(join(folder, `${RUN}-9.mp4.open`), text.replaceAll(String(T0 + 9000), String(T0 + 90_000)));
    await settled();
    expect((await box.rows()).filter((row) => row.kind === "segment" && row.sequence === 9)).toMatchObject([
      { state: "closed", fromUtcMs: T0 + 90_000 },
    ]);
    expect(await box.findings()).toEqual([]);
  });

  it("a disk that was emptied, or is not the root any more, takes no row along", async () => {
    await recordDays();
    const before = await dump();
    await rename(join(box.root, GATE.name), join(box.folder, "elsewhere"));
    await settled();
    expect((await dump()).segment).toEqual(before.segment);
    await mkdir(join(box.root, GATE.name));
    await writeFile(join(box.root, MARKER_FILE), JSON.stringify({ v: 1, id: "another", serial: SERIAL }));
    await settled();
    expect((await dump()).segment).toEqual(before.segment);
  });
});

it("an older catalog that was restored learns what came after it", async () => {
  await box.store.openGap(YARD, T0, "camera-unreachable", null);
  await box.beginRun(T0 - 60_000, RUN_4);
  await box.record(id(0, RUN_4), T0 - 60_000);
  await box.store.stop();
  const old = await readFile(catalog());
  await box.start();
  await box.store.closeGap(YARD, T0 + 60_000);
  await box.beginRun(T0 + 60_000, RUN_5, YARD);
  await box.record(id(0, RUN_5), T0 + 60_000, YARD);
  await recordDays();
  await box.restart();
  await settled();
  const expected = await content();
  await box.store.stop();
  await writeFile(catalog(), old);
  await box.start();
  await settled();
  expect(await content()).toEqual(expected);
  expect(await box.findings()).toEqual([]);
});

it("an older catalog that was restored goes on with the gap that went on last, not with its own", async () => {
  await box.beginRun(T0);
  await box.record(id(0), T0);
  await box.store.endRun(RUN, T0 + 3000, "stream-fault");
  await box.store.openGap(GATE, T0 + 3000, "stream-fault", null);
  await box.store.stop();
  const old = await readFile(catalog());
  await box.start();
  await box.store.closeGap(GATE, T0 + 60_000);
  await box.beginRun(T0 + 60_000, RUN_2);
  await box.record(id(0, RUN_2), T0 + 60_000);
  await box.store.endRun(RUN_2, T0 + 63_000, "no-media");
  await box.store.openGap(GATE, T0 + 63_000, "no-media", null);
  await box.restart();
  await settled();
  const expected = await content();
  await box.store.stop();
  await writeFile(catalog(), old);
  await box.start();
  await settled();
  expect(await content()).toEqual(expected);
});

it("what is recorded meanwhile is left alone", async () => {
  await recordDays();
  const begin = box.clock.utcMs() + 60_000;
  const run = RUN_4;
  await box.store.closeGap(GATE, begin);
  await box.beginRun(begin, run);
  await box.grow(id(0, run), begin);
  const before = await content();
  const settling = settled();
  await box.close(id(0, run), begin);
  await box.grow(id(1, run), begin + 3000);
  await settling;
  await settled();
  const after = await content();
  expect(after.segment.filter(({ uuid }) => uuid !== run)).toEqual(before.segment.filter(({ uuid }) => uuid !== run));
  expect(after.segment.filter(({ uuid }) => uuid === run)).toMatchObject([{ state: 1 }, { state: 0 }]);
  expect(after.run).toEqual(before.run);
  expect(await box.findings()).toEqual([]);
});

describe("a lease", () => {
  it("is refused for a file that is not the segment, whose folder is then compared", async () => {
    await recordDays();
    await settled();
    const folder = join(box.root, GATE.name, "20260602");
    await copyFile(join(folder, "20260602080003-3000.mp4"), join(folder, "20260602080006-3000.mp4"));
    await truncate(join(folder, "20260602080009-3000.mp4"), 900);
    await rm(join(folder, "20260602080012-3000.mp4"));
    expect(await box.store.lease(id(1, RUN_2))).toMatchObject({ segment: { sequence: 1 } });
    for (const sequence of [2, 3, 4])
      await expect(box.store.lease(id(sequence, RUN_2))).rejects.toMatchObject({ code: "SEGMENT_MISMATCH" });
    await settled();
    expect(await box.store.lease(id(4, RUN_2))).toBeNull();
    await expect(box.store.lease(id(2, RUN_2))).rejects.toMatchObject({ code: "SEGMENT_DAMAGED" });
    expect((await dump()).segment.filter(({ uuid }) => uuid === RUN_2).map(({ sequence }) => sequence)).toEqual([0, 1, 2, 3]);
  });
});
