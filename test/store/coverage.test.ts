import { join } from "node:path";
import sqlite3 from "sqlite3";
import { afterEach, expect, it } from "vitest";
import { RecorderError } from "../../src/base/errors.ts";
import { coverHour } from "../../src/store/coverage.ts";
import { Connection } from "../../src/store/database.ts";
import { RUN, T0, TestBox } from "./box.ts";

const MINUTE_MS = 60_000;
const bits = (map: Uint8Array) =>
  Array.from({ length: 60 }, (_, minute) => minute).filter((minute) => ((map[minute >> 3] ?? 0) >> (minute & 7)) & 1);

it("marks every minute that a span touches and shares bytes out by time", () => {
  const hour = T0 / 3_600_000;
  const span = (from: number, to: number, bytes: number) => ({ start_utc_ms: T0 + from, end_utc_ms: T0 + to, bytes });
  expect(bits(coverHour(hour, [span(0, MINUTE_MS, 6)]).minutes)).toEqual([0]);
  expect(bits(coverHour(hour, [span(59_999, MINUTE_MS + 1, 6)]).minutes)).toEqual([0, 1]);
  const over = coverHour(hour, [span(-MINUTE_MS, 2 * MINUTE_MS, 300), span(58 * MINUTE_MS, 62 * MINUTE_MS, 400)]);
  expect([bits(over.minutes), over.recordedMs, over.bytes]).toEqual([[0, 1, 58, 59], 4 * MINUTE_MS, 400]);
  const doubled = coverHour(hour, [span(0, 2000, 1), span(1000, 3000, 1), span(2000, 2500, 1)]);
  expect(doubled.recordedMs).toBe(3000);
  expect(coverHour(hour, [span(-5, 0, 1), span(5, 5, 1)])).toEqual({ minutes: new Uint8Array(8), recordedMs: 0, bytes: 0 });
});

let box: TestBox;
afterEach(() => box?.remove());

async function read<Row>(sql: string): Promise<Row[]> {
  const connection = await Connection.open(join(box.folder, "state/catalog.db"), sqlite3.OPEN_READONLY);
  const rows = await connection.all<Row>(sql);
  await connection.close();
  return rows;
}

const id = (sequence: number) => ({ run: RUN, sequence });

it("follows closes and deletions", async () => {
  box = await TestBox.create();
  await box.start();
  await box.beginRun();
  // 58 s to 61 s of the hour's first minutes, then 61 s to 64 s.
  await box.record(id(0), T0 + 58_000);
  await box.record(id(1), T0 + 61_000);
  const hours = async () => {
    const rows = await read<{ hour: number; minutes: Uint8Array; recorded_ms: number; bytes: number }>("SELECT * FROM coverage_hour");
    return rows.map((row) => [row.hour, bits(row.minutes), row.recorded_ms, row.bytes > 0]);
  };
  const hour = T0 / 3_600_000;
  expect(await hours()).toEqual([[hour, [0, 1], 6000, true]]);
  await box.store.deleteSegment(id(0), "limit");
  expect(await hours()).toEqual([[hour, [1], 3000, true]]);
  await box.store.deleteSegment(id(1), "limit");
  expect(await hours()).toEqual([]);
});

it("remembers what was deleted by which rule, neighbours together", async () => {
  box = await TestBox.create();
  await box.start();
  await box.beginRun();
  for (const sequence of [0, 1, 2, 3, 5]) await box.record(id(sequence), T0 + sequence * 3000);
  const deletions = async () => {
    const rows = await read<{ from_utc_ms: number; to_utc_ms: number; rule: string }>("SELECT * FROM deletion");
    return rows.map((row) => [(row.from_utc_ms - T0) / 3000, (row.to_utc_ms - T0) / 3000, row.rule]);
  };
  for (const sequence of [0, 2, 5]) await box.store.deleteSegment(id(sequence), "limit");
  expect(await deletions()).toEqual([
    [0, 1, "limit"],
    [2, 3, "limit"],
    [5, 6, "limit"],
  ]);
  await box.store.deleteSegment(id(1), "limit");
  await box.store.deleteSegment(id(3), "command");
  expect(await deletions()).toEqual([
    [0, 3, "limit"],
    [3, 4, "command"],
    [5, 6, "limit"],
  ]);
});

it("takes a deletion back where the disk keeps the file", async () => {
  box = await TestBox.create();
  await box.start();
  await box.beginRun();
  for (const sequence of [0, 1]) await box.record(id(sequence), T0 + sequence * 3000);
  await box.store.deleteSegment(id(0), "limit");
  box.files.failUnlink = new RecorderError("DISK_FAULT", "read-only");
  await expect(box.store.deleteSegment(id(1), "limit")).rejects.toMatchObject({ code: "DISK_FAULT" });
  expect(await read("SELECT to_utc_ms - from_utc_ms AS ms FROM deletion")).toEqual([{ ms: 3000 }]);
});
