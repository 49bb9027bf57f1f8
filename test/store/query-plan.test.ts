import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Catalog } from "../../src/store/catalog.ts";
import { BootShift } from "../../src/store/clock/boot-shift.ts";
import { Database, type Value } from "../../src/store/database.ts";
import { coverageHours, coverageSpans, tracedStreams } from "../../src/store/ledger-rows.ts";
import { CATALOG_MIGRATIONS } from "../../src/store/schema.ts";
import { newerThan, olderThan } from "../../src/store/scrub/scrub-rows.ts";
import { queryTimeline } from "../../src/store/timeline.ts";
import { T0 } from "./box.ts";

const SEGMENTS = 100_000;
const STREAMS = 4;
let folder: string;
let database: Database;
const asked: { sql: string; parameters: readonly Value[] }[] = [];
let catalog: Catalog;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "easyrms-plan-"));
  database = await Database.open({ path: join(folder, "catalog.db"), synchronous: "NORMAL", migrations: CATALOG_MIGRATIONS });
  await database.transaction(async (transaction) => {
    const numbers = (count: number) => `WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${count - 1})`;
    await transaction.run("INSERT INTO root (root_id, path) VALUES (1, '/r')");
    await transaction.run(
      `${numbers(STREAMS)} INSERT INTO stream (stream_id, camera, kind, channel, name, longest_segment_ms, longest_run_ms, longest_gap_ms)
       SELECT i + 1, 'c' || i, 'main', i + 1, 'EZ0001_' || (i + 1), 60000, 6000000, 1000 FROM n`,
    );
    await transaction.run(
      `${numbers(SEGMENTS / 100)} INSERT INTO run (run_id, uuid, stream_id, start_utc_ms, start_mono_ms, clock_trusted, end_utc_ms, end_cause)
       SELECT i + 1, 'run-' || i, i % ${STREAMS} + 1, ${T0} + i / ${STREAMS} * 6000000, 0, 1,
       ${T0} + (i / ${STREAMS} + 1) * 6000000, 'no-media' FROM n`,
    );
    await transaction.run(
      `${numbers(SEGMENTS)} INSERT INTO segment (run_id, sequence, stream_id, root_id, state, start_utc_ms, end_utc_ms, bytes, file, crc64, blake3)
       SELECT i / 100 + 1, i % 100, (i / 100) % ${STREAMS} + 1, 1, 1,
       ${T0} + i / 100 / ${STREAMS} * 6000000 + (i % 100) * 60000, ${T0} + i / 100 / ${STREAMS} * 6000000 + (i % 100 + 1) * 60000,
       1000, 'f' || i, NULL, NULL FROM n`,
    );
    await transaction.run(
      `${numbers(SEGMENTS / 100)} INSERT INTO gap (stream_id, from_utc_ms, to_utc_ms, cause)
       SELECT i % ${STREAMS} + 1, ${T0} + i * 1000000, ${T0} + i * 1000000 + 1000, 'no-media' FROM n`,
    );
    await transaction.run(
      `${numbers(SEGMENTS / 100)} INSERT INTO deletion (stream_id, from_utc_ms, to_utc_ms, rule)
       SELECT i % ${STREAMS} + 1, ${T0} - i * 1000000, ${T0} - i * 1000000 + 1000, 'limit' FROM n`,
    );
    await transaction.run(
      `${numbers(SEGMENTS / 100)} INSERT INTO coverage_hour (stream_id, hour, minutes, recorded_ms, bytes)
       SELECT i % ${STREAMS} + 1, ${T0 / 3_600_000} + i / ${STREAMS}, x'ffffffffffffff0f', 3600000, 1 FROM n`,
    );
  });
  // Every statement of the reader, caught on its way.
  const recording = {
    all: <Row>(sql: string, parameters: readonly Value[] = []) => {
      asked.push({ sql, parameters });
      return database.all<Row>(sql, parameters);
    },
    get: <Row>(sql: string, parameters: readonly Value[] = []) => {
      asked.push({ sql, parameters });
      return database.get<Row>(sql, parameters);
    },
    transaction: database.transaction.bind(database),
  };
  catalog = new Catalog(recording as unknown as Database, new BootShift("boot", 0));
}, 60_000);

afterAll(async () => {
  await database.close();
  await rm(folder, { recursive: true, force: true });
});

const C1 = { camera: "c1", stream: "main" } as const;
const progress = {
  segment: () => null,
  runEndUtcMs: () => null,
  utcMs: () => T0,
  root: () => ({ index: 0, path: "/r" }),
  rootIds: () => [1],
};

/** Plan lines that walk a whole large table or sort. Tables of a few rows may be walked, and so may what an index has narrowed down. */
async function expensive(): Promise<string[]> {
  const bad: string[] = [];
  for (const { sql, parameters } of asked) {
    for (const { detail } of await database.all<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`, parameters)) {
      const walks =
        /^SCAN (s|segment|run|gap|deletion|coverage_hour)\b/.test(detail) &&
        !/USING (COVERING )?INDEX (segment_unsettled|segment_damaged|run_going_on|gap_going_on)/.test(detail);
      if (walks || (/TEMP B-TREE/.test(detail) && /segment|gap|deletion|coverage/.test(sql))) bad.push(`${detail} in ${sql}`);
    }
  }
  return bad;
}

describe("with 100,000 segments every question is answered from an index", () => {
  const questions: readonly (readonly [string, () => Promise<unknown>])[] = [
    [
      "timeline",
      () =>
        queryTimeline(catalog, progress, {
          camera: null,
          stream: null,
          range: { fromUtcMs: T0 + 1e9, toUtcMs: T0 + 1e9 + 1e6 },
          limit: 100,
        }),
    ],
    ["segment", () => catalog.segment({ run: "run-7", sequence: 3 })],
    ["oldest", () => catalog.oldest(1, 16, T0 + 1e12)],
    ["newest", () => catalog.newest(1, 8)],
    ["unsettled", () => catalog.unsettled()],
    ["filesBetween", () => catalog.filesBetween("EZ0001_1", 1, { fromUtcMs: T0, toUtcMs: T0 + 1e7 })],
    ["olderThan", () => olderThan(catalog.reader, 1, { startUtcMs: T0 + 1e9, id: 7, sequence: 3 })],
    ["newerThan", () => newerThan(catalog.reader, 1, { startUtcMs: T0 + 1e9, id: 7, sequence: 3 })],
    ["damagedByRoot", () => catalog.damagedByRoot()],
    ["totals", () => catalog.totals()],
    ["runsGoingOn", () => catalog.runsGoingOn()],
    ["lastAccounted", () => catalog.lastAccounted(1)],
    ["openGaps", () => catalog.openGaps()],
    ["tracedStreams", () => tracedStreams(catalog, progress, null, null)],
    ["coverageSpans", () => coverageSpans(catalog, progress, C1, { fromUtcMs: T0 + 1e9, toUtcMs: T0 + 1e9 + 3.6e6 })],
    ["coverageHours", () => coverageHours(catalog, progress, C1, { fromUtcMs: T0, toUtcMs: T0 + 8.64e7 })],
  ];
  for (const [name, ask] of questions) {
    it(name, async () => {
      asked.length = 0;
      await ask();
      expect(asked.length).toBeGreaterThan(0);
      expect(await expensive()).toEqual([]);
    });
  }
});

it("a day by hours costs rows by hours and gaps, not by segments", async () => {
  const day = { fromUtcMs: T0 + 8.64e7, toUtcMs: T0 + 2 * 8.64e7 };
  const { spans, recordedMs } = await coverageHours(catalog, progress, C1, day);
  expect(recordedMs.size).toBe(24);
  expect(spans).toHaveLength(21);
  expect(await coverageSpans(catalog, progress, C1, day)).toHaveLength(1440 + 21);
});

it("totals are kept by triggers, not counted", async () => {
  expect(await catalog.totals()).toEqual([{ root: 1, segments: SEGMENTS, bytes: SEGMENTS * 1000 }]);
});

it("a long query comes page by page, complete and in order", async () => {
  const range = { fromUtcMs: T0, toUtcMs: T0 + 1e12 };
  const rows = await queryTimeline(catalog, progress, { camera: "c1", stream: "main", range, limit: 10_000 });
  expect(rows).toHaveLength(10_000);
  const starts = rows.map((row) => row.fromUtcMs);
  expect(starts).toEqual(starts.toSorted((a, b) => a - b));
  const segments = rows.filter((row) => row.kind === "segment").map((row) => `${row.run}/${row.sequence}`);
  expect(new Set(segments).size).toBe(segments.length);
  expect(segments.slice(99, 101)).toEqual(["run-1/99", "run-5/0"]);
});

it("a search begins early enough for rows that started before the range", async () => {
  const at = T0 + 30_000;
  const rows = await queryTimeline(catalog, progress, {
    camera: "c0",
    stream: "main",
    range: { fromUtcMs: at, toUtcMs: at + 1 },
    limit: 10,
  });
  expect(rows.map((row) => [row.kind, row.fromUtcMs])).toEqual([
    ["run", T0],
    ["segment", T0],
  ]);
});
