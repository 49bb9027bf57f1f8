import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { settle } from "../../src/ledger/settle.ts";
import { GAP_CAUSES } from "../../src/media/types.ts";
import { Catalog } from "../../src/store/catalog.ts";
import { BootShift } from "../../src/store/clock/boot-shift.ts";
import { Database } from "../../src/store/database.ts";
import { coverageHours, coverageSpans } from "../../src/store/ledger-rows.ts";
import { CATALOG_MIGRATIONS } from "../../src/store/schema.ts";
import type { CoverageSpan, StreamPlace } from "../../src/store/types.ts";
import { FakeLedgerReader, span } from "../fakes/ledger-reader.ts";
import { seededRandom } from "../faults/rng.ts";
import { GATE, RUN, SERIAL, T0, TestBox } from "./box.ts";

const HOUR_MS = 3_600_000;
let box: TestBox;
const id = (sequence: number) => ({ run: RUN, sequence });

beforeEach(async () => {
  box = await TestBox.create();
  await box.start();
  await box.want([GATE]);
  await box.beginRun();
});
afterEach(() => box.remove());

const range = (fromUtcMs = T0 - HOUR_MS, toUtcMs = T0 + HOUR_MS) => ({ fromUtcMs, toUtcMs });
const told = (spans: readonly CoverageSpan[]) =>
  spans.map((one) => [one.fromUtcMs - T0, one.toUtcMs - T0, one.state, one.detail, one.live]).toSorted(([a], [b]) => Number(a) - Number(b));
const spans = async () => told(await box.store.coverageSpans(GATE, range()));

describe("spans", () => {
  it("are segments, deletions by their rule, and gaps by their cause", async () => {
    for (const sequence of [0, 1, 2]) await box.record(id(sequence), T0 + sequence * 3000);
    await box.store.endRun(RUN, T0 + 9000, "no-media");
    await box.store.openGap(GATE, T0 + 9000, "no-media", "silence");
    await box.store.closeGap(GATE, T0 + 12_000);
    await box.store.deleteSegment(id(0), "limit");
    expect(await spans()).toEqual([
      [0, 3000, "deleted-by-rule", "limit", false],
      [3000, 6000, "recorded", null, false],
      [6000, 9000, "recorded", null, false],
      [9000, 12_000, "no-media", "silence", false],
    ]);
  });

  it("of what is being recorded reach up to now, also between two segments", async () => {
    await box.grow(id(0), T0);
    box.clock.stepUtc(4000);
    expect(await spans()).toEqual([
      [0, 3000, "recorded", null, true],
      [3000, 4000, "recorded", null, true],
    ]);
    await box.close(id(0), T0);
    expect(await spans()).toEqual([
      [0, 3000, "recorded", null, false],
      [3000, 4000, "recorded", null, true],
    ]);
  });

  it("of a segment without durable media yet reach up to now", async () => {
    const plan = box.store.planSegment(GATE, id(0));
    await box.store.segmentOpened(GATE, id(0), { root: plan.root, path: plan.path, startUtcMs: T0, startMonoMs: 5 });
    box.clock.stepUtc(700);
    expect(await spans()).toEqual([[0, 700, "recorded", null, true]]);
  });

  it("of a stream with an open gap end with its durable media, and the gap reaches up to now", async () => {
    await box.grow(id(0), T0);
    await box.store.openGap(GATE, T0 + 3000, "disk-fault", "media is dropped");
    box.clock.stepUtc(10_000);
    expect(await spans()).toEqual([
      [0, 3000, "recorded", null, true],
      [3000, 10_000, "disk-fault", "media is dropped", true],
    ]);
  });

  it("of a process that was killed end with its durable media", async () => {
    await box.grow(id(0), T0);
    box.clock.stepUtc(20_000);
    await box.restart();
    expect(await spans()).toEqual([
      [0, 3000, "recorded", null, false],
      [3000, 20_000, "process-down", null, true],
    ]);
  });

  it("of a power loss have a cause of their own", async () => {
    await box.grow(id(0), T0);
    box.clock.stepUtc(20_000);
    box.boot = "boot-2";
    await box.restart();
    expect((await spans()).at(-1)).toEqual([3000, 20_000, "power-lost", null, true]);
  });

  it("of a camera that moved to another channel come together", async () => {
    await box.record(id(0), T0);
    const moved: StreamPlace = { ...GATE, channel: 2, name: `${SERIAL}_2` };
    const run = RUN.replace("1", "2");
    await box.beginRun(T0 + 3000, run, moved);
    await box.record({ run, sequence: 0 }, T0 + 3000, moved);
    expect((await spans()).slice(0, 2)).toEqual([
      [0, 3000, "recorded", null, false],
      [3000, 6000, "recorded", null, false],
    ]);
    // Two sums within an hour do not tell how they lie to each other.
    const hours = await box.store.coverageHours(GATE, range(T0, T0 + HOUR_MS));
    expect([...hours.recordedMs]).toEqual([[T0 / HOUR_MS, null]]);
  });
});

describe("hours", () => {
  it("hold the sums of closed segments, and everything else as spans", async () => {
    await box.record(id(0), T0 - 1000);
    await box.record(id(1), T0 + 2000);
    await box.store.openGap(GATE, T0 + 5000, "no-media", null);
    box.clock.stepUtc(60_000);
    const hours = await box.store.coverageHours(GATE, range(T0 - 1, T0 + 1));
    expect([...hours.recordedMs]).toEqual([
      [T0 / HOUR_MS - 1, 1000],
      [T0 / HOUR_MS, 5000],
    ]);
    const all = await box.store.coverageHours(GATE, range());
    expect(told(all.spans)).toEqual([[5000, 60_000, "no-media", null, true]]);
  });

  it("count rounding between segments, also where it lies at the end of an hour", async () => {
    const last = T0 + HOUR_MS - 3001;
    await box.record(id(0), last);
    const sums = async () => [...(await box.store.coverageHours(GATE, range(T0, T0 + 2 * HOUR_MS))).recordedMs.values()];
    expect(await sums()).toEqual([3000]);
    await box.record(id(1), T0 + HOUR_MS);
    expect(await sums()).toEqual([3001, 3000]);
    await box.store.deleteSegment(id(1), "limit");
    expect(await sums()).toEqual([3000]);
  });
});

describe("streams", () => {
  const streams = async () =>
    (await box.store.tracedStreams(null, null)).map((one) => [one.camera, one.channel, one.firstUtcMs - T0, one.lastUtcMs]);

  it("are those that left a trace, from the first on, and stay when their media is deleted", async () => {
    await box.record(id(0), T0 + 3000);
    await box.store.endRun(RUN, T0 + 6000, "not-planned");
    expect(await streams()).toEqual([["gate", 1, 0, T0 + 6000]]);
    await box.store.deleteSegment(id(0), "limit");
    expect(await streams()).toEqual([["gate", 1, 3000, T0 + 6000]]);
  });

  it("that are only not planned have no last trace, and one that goes on ends now", async () => {
    const yard: StreamPlace = { ...GATE, camera: "yard", channel: 2, name: `${SERIAL}_2` };
    await box.store.openGap(yard, T0 + 5, "not-planned", null);
    expect((await streams())[1]).toEqual(["yard", 2, 5, 0]);
    await box.store.openGap(yard, T0 + 10, "camera-unreachable", null);
    box.clock.stepUtc(500);
    expect((await streams())[1]).toEqual(["yard", 2, 5, T0 + 500]);
  });
});

it("a random catalog is answered as the rows it was made of", async () => {
  const random = seededRandom(9);
  const below = (limit: number) => Math.floor(random() * limit);
  const progress = { segment: () => null, runEndUtcMs: () => null, utcMs: () => T0, root: () => null, rootIds: () => [] };
  for (let round = 0; round < 4; round += 1) {
    const path = join(box.folder, `random-${round}.db`);
    const database = await Database.open({ path, synchronous: "NORMAL", migrations: CATALOG_MIGRATIONS });
    const catalog = new Catalog(database, new BootShift("boot", 0));
    const root = await catalog.claimRoot("r", "/r", false);
    const model: CoverageSpan[] = [];
    for (let sequence = 0; sequence < 150; sequence += 1) {
      const from = T0 + below(40_000) * 1000;
      const to = from + (1 + below(sequence % 10 === 0 ? 20_000 : 300)) * 1000;
      const state = (["recorded", "deleted-by-rule", GAP_CAUSES[below(GAP_CAUSES.length)]] as const)[below(3)] ?? "unknown";
      model.push(span(from, to, state, state === "deleted-by-rule" ? "limit" : null));
      if (state === "recorded" || state === "deleted-by-rule") {
        const run = { ...GATE, run: RUN, startUtcMs: from, startMonoMs: 0, clockTrusted: true, boot: null };
        const file = { root, file: `f${sequence}`, startUtcMs: from, endUtcMs: to, bytes: 10, crc64: null, blake3: null };
        await catalog.closeSegment(run, sequence, file);
        if (state === "recorded") continue;
        const closed = await catalog.segment(id(sequence));
        if (closed !== undefined) await catalog.markDeleting(closed, "limit");
        await catalog.dropSegment(id(sequence));
      } else {
        await catalog.openGap(GATE, from, state, null);
        await catalog.closeGap(GATE, to);
      }
    }
    const fake = new FakeLedgerReader();
    fake.add(GATE, model);
    for (let query = 0; query < 40; query += 1) {
      const from = T0 + below(40_000) * 1000;
      const asked = { fromUtcMs: from, toUtcMs: from + (1 + below(20_000)) * 1000 };
      const around = { fromUtcMs: asked.fromUtcMs - 1, toUtcMs: asked.toUtcMs + 1 };
      const divided = (found: readonly CoverageSpan[]) => settle(found, asked, T0);
      const [observed, expected] = [await coverageSpans(catalog, progress, GATE, around), await fake.coverageSpans(GATE, around)];
      expect(divided(observed)).toEqual(divided(expected));
      const [hours, sums] = [await coverageHours(catalog, progress, GATE, asked), await fake.coverageHours(GATE, asked)];
      expect(hours.recordedMs).toEqual(sums.recordedMs);
      expect(divided(hours.spans)).toEqual(divided(sums.spans));
    }
    await database.close();
  }
}, 60_000);
