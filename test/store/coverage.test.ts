import { join } from "node:path";
import sqlite3 from "sqlite3";
import { afterEach, expect, it } from "vitest";
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
  expect([bits(over.minutes), over.bytes]).toEqual([[0, 1, 58, 59], 400]);
  expect(coverHour(hour, [span(-5, 0, 1), span(5, 5, 1)])).toEqual({ minutes: new Uint8Array(8), bytes: 0 });
});

let box: TestBox;
afterEach(() => box?.remove());

it("follows closes and deletions, and remembers what was deleted", async () => {
  box = await TestBox.create();
  await box.start();
  await box.beginRun();
  const id = (sequence: number) => ({ run: RUN, sequence });
  // 58 s to 61 s of the hour's first minutes, then 61 s to 64 s.
  await box.record(id(0), T0 + 58_000);
  await box.record(id(1), T0 + 61_000);
  const hours = async () => {
    const connection = await Connection.open(join(box.folder, "state/catalog.db"), sqlite3.OPEN_READONLY);
    const rows = await connection.all<{ hour: number; minutes: Uint8Array; removed: Uint8Array; bytes: number }>(
      "SELECT * FROM coverage_hour",
    );
    await connection.close();
    return rows.map((row) => [row.hour, bits(row.minutes), bits(row.removed), row.bytes > 0]);
  };
  const hour = T0 / 3_600_000;
  expect(await hours()).toEqual([[hour, [0, 1], [], true]]);
  await box.store.deleteSegment(id(0), "limit");
  expect(await hours()).toEqual([[hour, [1], [0], true]]);
  await box.store.deleteSegment(id(1), "limit");
  expect(await hours()).toEqual([[hour, [], [0, 1], false]]);
});
