import { mkdir, readdir, rename } from "node:fs/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Alarms } from "../../../src/base/alarms.ts";
import { RecorderError } from "../../../src/base/errors.ts";
import { silentLogger } from "../../../src/base/log.ts";
import { RootWatch, type Writers } from "../../../src/store/roots/root-watch.ts";
import type { Store } from "../../../src/store/store.ts";
import { settle } from "../../fakes/clock.ts";
import { GATE, RUN, SERIAL, T0, TestBox } from "../box.ts";

/** Writers that only count, and can hang. */
class FakeWriters implements Writers {
  readonly open = new Set<number>();
  numbers: Record<string, number> = {};
  /** Set: closing waits for `letGo`. */
  hangs = false;
  letGo: () => void = () => {};

  openWriter(root: number): void {
    this.open.add(root);
  }

  async closeWriter(root: number): Promise<void> {
    if (this.hangs) await new Promise<void>((resolve) => (this.letGo = resolve));
    this.open.delete(root);
  }

  writerNumbers(root: number): Record<string, number> | null {
    return this.open.has(root) ? this.numbers : null;
  }
}

let box: TestBox;
let store: Store;
let writers: FakeWriters;
let alarms: Alarms;
let watch: RootWatch;
let changes: number;

beforeEach(async () => {
  box = await TestBox.create();
  box.files.mounts.add(box.root);
  store = await box.start();
  await box.want([GATE]);
  writers = new FakeWriters();
  alarms = new Alarms(box.clock, silentLogger);
  changes = 0;
  watch = new RootWatch({
    roots: store.roots,
    writers,
    syncMs: 250,
    recover: (root) => store.recoverRoot(root),
    onChanged: () => {
      changes += 1;
    },
    alarms,
    clock: box.clock,
    log: silentLogger,
  });
  await watch.start();
});
afterEach(async () => {
  writers.letGo();
  await watch.stop();
  await box.remove();
  expect(box.clock.pendingTimers).toBe(0);
});

const raised = () => alarms.list().map(({ code }) => code);
const state = () => store.roots.status()[0]?.state;
const eio = () => new RecorderError("DISK_FAULT", "sync failed", { errno: 5 });

/** Moves time and lets real file steps in between settle. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 250) {
    await box.clock.advance(Math.min(250, left));
    for (let turn = 0; turn < 12; turn += 1) await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

/** Waits for real file steps, without simulated time passing. */
async function until(what: () => boolean): Promise<void> {
  while (!what()) await settle();
}

async function unmount(): Promise<void> {
  await rename(box.root, `${box.root}.unmounted`);
  await mkdir(box.root);
  box.files.mounts.delete(box.root);
}

async function remount(): Promise<void> {
  await rename(box.root, `${box.root}.below`);
  await rename(`${box.root}.unmounted`, box.root);
  box.files.mounts.add(box.root);
}

it("keeps a writer on each root that is present", () => {
  expect(writers.open).toEqual(new Set(store.roots.present().map(({ handle }) => handle)));
  expect(raised()).toEqual([]);
});

it("leaves a root whose mount is gone within a second, and takes it back within another one", async () => {
  await unmount();
  await pass(1000);
  expect(state()).toBe("absent");
  expect(raised()).toEqual(["root-missing"]);
  expect(writers.open.size).toBe(0);
  expect(box.files.openRoots).toEqual([]);
  expect(changes).toBe(1);
  expect(() => store.planSegment(GATE, { run: RUN, sequence: 0 })).toThrow("nothing is mounted");
  await pass(3000);
  expect(await readdir(box.root)).toEqual([]);
  await remount();
  await pass(1000);
  expect(state()).toBe("present");
  expect(raised()).toEqual([]);
  expect(writers.open).toEqual(new Set([store.planSegment(GATE, { run: RUN, sequence: 0 }).root]));
  expect(changes).toBe(2);
});

it("leaves a disk that fails at once, and opens it again as soon as it takes writes", async () => {
  const before = store.roots.present()[0];
  watch.failed(before?.handle ?? 0, eio());
  expect(state()).toBe("failing");
  expect(raised()).toEqual(["disk-fault"]);
  await until(() => state() === "present");
  expect(store.roots.present()[0]?.handle).not.toBe(before?.handle);
  expect(raised()).toEqual(["disk-fault"]);
  await pass(11_000);
  expect(raised()).toEqual([]);
});

it("asks a disk that keeps failing twice a second, and keeps the alarm up", async () => {
  box.files.faulty.add(box.root);
  watch.failed(store.roots.present()[0]?.handle ?? 0, eio());
  await pass(20_000);
  expect(state()).toBe("failing");
  expect(raised()).toEqual(["disk-fault"]);
  expect(alarms.list()[0]).toMatchObject({ subject: box.root, detail: expect.stringContaining("Input/output error") });
  box.files.faulty.delete(box.root);
  await pass(1000);
  expect(state()).toBe("present");
});

it("does not leave a root for what is no fault of the disk", () => {
  const handle = store.roots.present()[0]?.handle ?? 0;
  watch.failed(handle, new RecorderError("DISK_FULL", "no space", { errno: 28 }));
  watch.failed(handle, new RecorderError("DISK_FAULT", "rename failed: exists", { errno: 17 }));
  watch.failed(handle + 1, eio());
  expect(state()).toBe("present");
  expect(changes).toBe(0);
});

it("waits for a writer that hangs before it opens the root again", async () => {
  writers.hangs = true;
  watch.failed(store.roots.present()[0]?.handle ?? 0, eio());
  await pass(5000);
  expect(state()).toBe("failing");
  expect(box.files.openRoots).toHaveLength(1);
  writers.hangs = false;
  writers.letGo();
  await pass(500);
  expect(state()).toBe("present");
  expect(box.files.openRoots).toHaveLength(1);
});

it("tells of syncs that are slow, and of one that hangs, with what a power cut would cost", async () => {
  writers.numbers = { sync_us: 0, step_us: 0, sync_peak_us: 400_000 };
  await pass(1000);
  expect(raised()).toEqual([]);
  writers.numbers = { sync_us: 700_000, step_us: 700_000, sync_peak_us: 0 };
  await pass(500);
  expect(alarms.list()[0]).toMatchObject({
    code: "disk-slow",
    detail: "a sync has lasted for 0.7 s: a power cut would lose the last 2.0 s",
  });
  writers.numbers = { sync_us: 0, step_us: 0, sync_peak_us: 1_200_000 };
  await pass(1000);
  expect(alarms.list()[0]?.detail).toBe("a sync took 1.2 s: a power cut would lose the last 2.5 s");
  writers.numbers = {};
  await pass(9000);
  expect(raised()).toEqual(["disk-slow"]);
  await pass(2000);
  expect(raised()).toEqual([]);
});

it("finishes what a root held when it went, once it is back, and leaves alone what grows meanwhile", async () => {
  await box.beginRun();
  await box.grow({ run: RUN, sequence: 0 }, T0);
  await unmount();
  await pass(1000);
  await store.segmentFailed(GATE, { run: RUN, sequence: 0 });
  const held = { fromUtcMs: T0, toUtcMs: T0 + 3000 };
  expect((await box.rows()).find((row) => row.kind === "segment")).toMatchObject({ state: "open", bytes: 1500, ...held });
  expect(await store.coverageSpans(GATE, held)).toContainEqual({ ...held, state: "recorded", detail: null, live: false });
  await remount();
  await pass(500);
  await box.grow({ run: RUN, sequence: 1 }, T0 + 10_000);
  await pass(500);
  const rows = (await box.rows()).filter((row) => row.kind === "segment");
  expect(rows).toMatchObject([
    { sequence: 0, state: "closed", fromUtcMs: T0, toUtcMs: T0 + 3000 },
    { sequence: 1, state: "open" },
  ]);
  expect(await box.tree()).toContainEqual(`${SERIAL}_1/20260601/20260601080000-3000.mp4`);
  await box.close({ run: RUN, sequence: 1 }, T0 + 10_000);
  expect(await box.findings()).toEqual([]);
});
