import { beforeEach, describe, expect, test } from "vitest";
import { Alarms } from "../../src/base/alarms.ts";
import { systemClock } from "../../src/base/clock.ts";
import { RecorderError } from "../../src/base/errors.ts";
import { type LogFields, type Logger, silentLogger } from "../../src/base/log.ts";
import { Ring } from "../../src/retention/ring.ts";
import type { RootUsage, SegmentRemoval, SegmentRow } from "../../src/store/types.ts";
import { SimulatedClock } from "../fakes/clock.ts";

const STILL = { reservedBytes: 0, reserveStepBytes: 0, openSegments: 0, bytesPerSecond: 0 };

/** A root whose segments of 10 bytes shrink as they are deleted; `leased` ones refuse. */
function storeOf(count: number, limitBytes: number, leased: ReadonlySet<number> = new Set()): SegmentRemoval & { left(): number[] } {
  let rows = Array.from(
    { length: count },
    (_, index): SegmentRow => ({
      kind: "segment",
      camera: "a",
      stream: "main",
      run: "r",
      sequence: index,
      fromUtcMs: index,
      toUtcMs: index + 1,
      root: 0,
      path: `${index}`,
      bytes: 10,
      state: "closed",
      damage: null,
    }),
  );
  return {
    left: () => rows.map((row) => row.sequence),
    usage: async () => [
      {
        root: 0,
        path: "/srv",
        segmentBytes: rows.length * 10,
        segments: rows.length,
        limitBytes,
        reserveBytes: 0,
        availableBytes: 1e9,
        totalBytes: 1e9,
      },
    ],
    oldestSegments: async (_root, limit) => rows.filter((row) => !leased.has(row.sequence)).slice(0, limit),
    deleteSegment: async (id) => {
      if (leased.has(id.sequence)) return false;
      rows = rows.filter((row) => row.sequence !== id.sequence);
      return true;
    },
  };
}

let alarms: Alarms;
beforeEach(() => {
  alarms = new Alarms(new SimulatedClock(), silentLogger);
});

describe("Ring", () => {
  test("deletes oldest first and no more than needed", async () => {
    const store = storeOf(40, 195);
    await new Ring({ store, growth: () => STILL, alarms, clock: systemClock, log: silentLogger }).pass();
    expect(store.left()).toEqual(Array.from({ length: 19 }, (_, index) => index + 21));
  });

  test("passes leased segments over", async () => {
    const store = storeOf(4, 20, new Set([0, 2]));
    await new Ring({ store, growth: () => STILL, alarms, clock: systemClock, log: silentLogger }).pass();
    expect(store.left()).toEqual([0, 2]);
  });

  test("says so once a minute when nothing more can go, and does not spin", async () => {
    const warned: LogFields[] = [];
    const log: Logger = { ...silentLogger, warn: (_event, fields = {}) => void warned.push(fields) };
    const ring = new Ring({ store: storeOf(3, 10, new Set([0, 1, 2])), growth: () => STILL, alarms, clock: systemClock, log });
    await ring.pass();
    await ring.pass();
    expect(warned).toHaveLength(1);
    expect(warned[0]).toMatchObject({ missingBytes: 20 });
  });

  test("an alarm stands while a root has no room and nothing may be deleted", async () => {
    const store = storeOf(3, 20, new Set([0, 1, 2]));
    const ring = new Ring({ store, growth: () => STILL, alarms, clock: new SimulatedClock(), log: silentLogger });
    await ring.pass();
    expect(alarms.list()).toMatchObject([
      { code: "disk-full", subject: "/srv", detail: expect.stringContaining("nothing is left to delete and 10 bytes are missing") },
    ]);
    const [usage] = await store.usage();
    store.usage = async () => (usage === undefined ? [] : [{ ...usage, limitBytes: 30 }]);
    await ring.pass();
    expect(alarms.list()).toEqual([]);
    store.usage = async () => (usage === undefined ? [] : [usage]);
    await ring.pass();
    expect(alarms.list()).toHaveLength(1);
    store.usage = async () => [];
    await ring.pass();
    expect(alarms.list()).toEqual([]);
  });

  test("a root whose disk hangs does not keep the others waiting, and is not asked twice", async () => {
    const clock = new SimulatedClock();
    const store = storeOf(3, 10);
    let asked = 0;
    let usages: readonly RootUsage[] = [];
    const { oldestSegments, usage } = store;
    store.usage = async () => [0, 1].flatMap((root) => usages.map((one) => ({ ...one, root })));
    store.oldestSegments = async (root, limit) => {
      if (root === 1) return oldestSegments(root, limit);
      asked += 1;
      return new Promise(() => {});
    };
    const ring = new Ring({ store, growth: () => STILL, alarms, clock, log: silentLogger });
    for (let pass = 0; pass < 2; pass += 1) {
      usages = await usage();
      const passing = ring.pass();
      await clock.advance(1000);
      await passing;
    }
    expect(store.left()).toEqual([2]);
    expect(asked).toBe(1);
    expect(clock.pendingTimers).toBe(0);
  });

  describe("a root that refuses to delete", () => {
    const REFUSED = new RecorderError("DISK_FAULT", "read-only file system");

    test("is left alone for half a minute after two refusals", async () => {
      const clock = new SimulatedClock();
      const store = storeOf(9, 20);
      const tried: number[] = [];
      store.deleteSegment = async ({ sequence }) => {
        tried.push(sequence);
        throw REFUSED;
      };
      const ring = new Ring({ store, growth: () => STILL, alarms, clock, log: silentLogger });
      await ring.pass();
      await ring.pass();
      expect(tried).toEqual([0, 1]);
      await clock.advance(30_000);
      await ring.pass();
      expect(tried).toEqual([0, 1, 1, 2]);
    });

    test("one file that cannot be deleted does not keep the ring from deleting younger ones", async () => {
      const store = storeOf(6, 30);
      const { deleteSegment } = store;
      store.deleteSegment = async (id, rule) => {
        if (id.sequence === 0) throw REFUSED;
        return deleteSegment(id, rule);
      };
      const ring = new Ring({ store, growth: () => STILL, alarms, clock: new SimulatedClock(), log: silentLogger });
      await ring.pass();
      expect(store.left()).toEqual([0, 4, 5]);
    });

    test("a database that is full is no refusal: the next pass tries the same segment again", async () => {
      const store = storeOf(3, 20);
      const { deleteSegment } = store;
      let full = true;
      store.deleteSegment = async (id, rule) => {
        if (full) throw new RecorderError("DISK_FULL", "database or disk is full");
        return deleteSegment(id, rule);
      };
      const ring = new Ring({ store, growth: () => STILL, alarms, clock: new SimulatedClock(), log: silentLogger });
      await ring.pass();
      full = false;
      await ring.pass();
      expect(store.left()).toEqual([1, 2]);
    });

    test("does not keep other roots from being freed", async () => {
      const store = storeOf(3, 10);
      const [usage] = await store.usage();
      if (usage === undefined) throw new Error("no root");
      const other = { ...usage, root: 1 };
      const { oldestSegments } = store;
      store.usage = async () => [{ ...usage, root: 0 }, other];
      store.oldestSegments = async (root, limit) => {
        if (root === 0) throw REFUSED;
        return oldestSegments(root, limit);
      };
      await new Ring({ store, growth: () => STILL, alarms, clock: new SimulatedClock(), log: silentLogger }).pass();
      expect(store.left()).toEqual([2]);
    });
  });
});
