import { appendFile, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Store } from "../../src/store/store.ts";
import type { ReindexReport, StreamPlace } from "../../src/store/types.ts";
import { GATE, RUN, SERIAL, T0, TestBox } from "./box.ts";
import { type Dump, dumpCatalog } from "./dump.ts";

const YARD: StreamPlace = { camera: "yard", stream: "sub", channel: 2, name: `${SERIAL}_2_sub` };
const RUN_2 = "22222222-2222-4333-8444-555555555555";
const RUN_3 = "33333333-2222-4333-8444-555555555555";
const id = (sequence: number, run = RUN) => ({ run, sequence });
let box: TestBox;

beforeEach(async () => {
  box = await TestBox.create();
  await box.start();
  await box.want([GATE, YARD]);
});
afterEach(() => box.remove());

const reindex = (
  store: Store,
  during: (progress: { segments: number; totalSegments: number }) => void = () => {},
): Promise<ReindexReport> => store.reindex({ signal: new AbortController().signal, onProgress: during });
const dump = (): Promise<Dump> => dumpCatalog(join(box.folder, "state/catalog.db"));

/** Two streams over midnight: runs that ended and one that goes on, gaps of several causes, a deletion, a clock that was not trusted. */
async function recordMuch(): Promise<void> {
  const late = T0 + 15.9 * 3_600_000;
  await box.store.openGap(YARD, T0, "camera-unreachable", "no answer");
  await box.beginRun(T0);
  for (const sequence of [0, 1, 2]) await box.record(id(sequence), T0 + sequence * 3000);
  await box.store.endRun(RUN, T0 + 9000, "stream-fault");
  await box.store.openGap(GATE, T0 + 9000, "stream-fault", "framing lost");
  await box.store.openGap(GATE, T0 + 20_000, "auth-refused", null);
  await box.store.closeGap(GATE, late);
  await box.beginRun(late, RUN_2);
  for (let sequence = 0; sequence < 300; sequence += 1) await box.record(id(sequence, RUN_2), late + sequence * 3000);
  box.clock.stepUtc(16.5 * 3_600_000);
  await box.store.closeGap(YARD, T0 + 60_000);
  await box.store.beginRun({ ...YARD, run: RUN_3, startUtcMs: T0 + 60_000, startMonoMs: 7, clockTrusted: false });
  await box.record(id(0, RUN_3), T0 + 60_000, YARD);
  await box.store.endRun(RUN_3, T0 + 63_500, "no-media");
  await box.store.openGap(YARD, T0 + 63_500, "no-media", "silent");
  await box.store.deleteSegment(id(0), "limit");
  await box.store.deleteSegment(id(2), "limit");
}

describe("offline", () => {
  it("files and journals give the catalog that was: segments, runs, gaps, deletions, hours", async () => {
    await recordMuch();
    await box.store.endRun(RUN_2, T0 + 16 * 3_600_000 + 540_000, "process-down");
    await box.store.stop();
    const before = await dump();
    expect(before.segment).toHaveLength(302);
    const store = await box.open();
    expect(await reindex(store)).toMatchObject({ segments: 302, runs: 3, unreadable: 0, foreign: 0, unreadableLines: 0 });
    await store.stop();
    expect(await dump()).toEqual(before);
  });

  it("a run that the last process left open stays so, for the next start to end", async () => {
    await box.beginRun();
    await box.record(id(0), T0);
    await box.store.stop();
    const before = await dump();
    const store = await box.open();
    await reindex(store);
    await store.stop();
    expect(await dump()).toEqual(before);
    box.boot = "boot-2";
    await box.restart();
    expect(await box.rows()).toContainEqual(expect.objectContaining({ kind: "run", endCause: "power-lost" }));
  });

  it("what neither files nor journals hold comes back as unknown", async () => {
    await box.beginRun();
    await box.record(id(0), T0);
    await box.store.endRun(RUN, T0 + 3000, "no-media");
    await box.beginRun(T0 + 60_000, RUN_2);
    await box.record(id(0, RUN_2), T0 + 60_000);
    await box.store.endRun(RUN_2, T0 + 63_000, "no-media");
    await box.store.stop();
    await rm(join(box.root, GATE.name, "20260601/journal.ndjson"));
    const store = await box.open();
    expect(await reindex(store)).toMatchObject({ segments: 2, runs: 2, gaps: 0 });
    const { run } = await dump();
    expect(run.map(({ start_utc_ms, end_utc_ms, end_cause, boot }) => [start_utc_ms, end_utc_ms, end_cause, boot])).toEqual([
      [T0, T0 + 3000, "unknown", null],
      [T0 + 60_000, null, null, null],
    ]);
    await store.stop();
  });

  it("what cannot be entered is counted and left alone", async () => {
    await box.beginRun();
    for (const sequence of [0, 1, 2, 3]) await box.record(id(sequence), T0 + sequence * 3000);
    await box.store.stop();
    const day = join(box.root, GATE.name, "20260601");
    const text = await readFile(join(day, "20260601080000-3000.mp4"), "latin1");
    await writeFile(join(day, "20260601080000-3000.mp4"), "rot");
    await writeFile(join(day, "20260601080003-3000.mp4"), text.replace(/SEAL.*\n/, ""));
    await rename(join(day, "20260601080006-3000.mp4"), join(day, "of-somebody.mp4"));
    await writeFile(join(day, "20260601090000-3000.mp4"), text.replaceAll(SERIAL, "EZ9999"));
    await appendFile(
      join(day, "journal.ndjson"),
      'rubbish\n{"v":1,"camera":"gate","stream":"main","fact":"run-started","atUtcMs":1,"run":3}\n',
    );
    const before = await box.tree();
    const store = await box.open();
    expect(await reindex(store)).toMatchObject({ segments: 1, unreadable: 2, foreign: 1, unreadableLines: 2 });
    expect(await box.tree()).toEqual(before);
    await store.stop();
  });
});

describe("while recording goes on", () => {
  it("the same catalog comes out, with what is open in it", async () => {
    await recordMuch();
    await box.grow(id(300, RUN_2), T0 + 16 * 3_600_000 + 540_000);
    const before = await dump();
    const rows = await box.rows(0, T0 + 1e10);
    await reindex(box.store);
    expect(await dump()).toEqual(before);
    expect(await box.rows(0, T0 + 1e10)).toEqual(rows);
    await box.close(id(300, RUN_2), T0 + 16 * 3_600_000 + 540_000);
    expect(await box.findings()).toEqual([]);
  });

  it("what happens meanwhile is in the catalog that takes over", async () => {
    await recordMuch();
    const late = T0 + 16 * 3_600_000 + 540_000;
    await box.grow(id(300, RUN_2), late);
    const work: Promise<unknown>[] = [];
    await reindex(box.store, ({ segments }) => {
      if (segments === 0 || work.length > 0) return;
      work.push(
        box.store.deleteSegment(id(1), "limit"),
        box.store.deleteSegment(id(299, RUN_2), "command"),
        box.close(id(300, RUN_2), late).then(() => box.grow(id(301, RUN_2), late + 3000)),
        box.store.endRun(RUN_2, late + 5000, "stream-fault"),
        box.store.openGap(GATE, late + 5000, "stream-fault", null),
        box.store.openGap(YARD, late + 1000, "auth-refused", null),
      );
    });
    await Promise.all(work);
    expect(work).toHaveLength(6);
    const after = await dump();
    await box.store.stop();
    const store = await box.open();
    await reindex(store);
    await store.stop();
    const { segment, root, ...again } = await dump();
    expect(after).toMatchObject(again);
    expect(after.segment.filter(({ state }) => state === 1)).toEqual(segment);
    expect(after.segment.filter(({ state }) => state === 0)).toMatchObject([{ uuid: RUN_2, sequence: 301 }]);
    expect(after.segment.map(({ uuid, sequence }) => `${uuid}/${sequence}`)).not.toContain(`${RUN}/1`);
    expect(after.run.find(({ uuid }) => uuid === RUN_2)).toMatchObject({ end_cause: "stream-fault" });
    expect(after.root).toMatchObject([{ segments: Number(root[0]?.["segments"]) + 1 }]);
  });

  it("one at a time, and one that is broken off leaves the catalog as it was", async () => {
    await recordMuch();
    const before = await dump();
    const ending = new AbortController();
    const first = box.store.reindex({
      signal: ending.signal,
      onProgress: ({ segments }) => segments > 0 && ending.abort(new Error("enough")),
    });
    await expect(reindex(box.store)).rejects.toMatchObject({ code: "CONFLICT" });
    await expect(first).rejects.toThrow("enough");
    expect(await dump()).toEqual(before);
    await box.record(id(300, RUN_2), T0 + 16 * 3_600_000 + 540_000);
    await reindex(box.store);
    expect((await dump()).segment).toHaveLength(303);
  });
});
