import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ClockMove, Heartbeat } from "../../../src/base/clock-watch.ts";
import { RecorderError } from "../../../src/base/errors.ts";
import { readJournal } from "../../../src/store/journal.ts";
import type { FakeStep } from "../../fakes/file-steps.ts";
import { GATE, RUN, SERIAL, T0, TestBox } from "../box.ts";
import { type Dump, dumpCatalog } from "../dump.ts";

/** What a box without RTC shows at the boot. */
const U0 = Date.UTC(1970, 0, 1, 0, 1);
const OTHER_RUN = "99999999-2222-4333-8444-555555555555";
const BY = T0 - U0;
const MINUTE = 60_000;

let box: TestBox;

beforeEach(async () => {
  box = await TestBox.create();
  box.clock.stepUtc(U0 - T0);
  box.clockTrusted = false;
  await box.start();
  await box.want([GATE]);
});
afterEach(() => box.remove());

const id = (sequence: number, run = RUN) => ({ run, sequence });

/** The clock of before began with the first run. */
function moveBy(byMs: number, fromUtcMs = U0 + 5 * MINUTE, sinceUtcMs = U0 - 1000): ClockMove {
  const fromOffsetMs = U0 - 5;
  return { fromUtcMs, toUtcMs: fromUtcMs + byMs, fromOffsetMs, toOffsetMs: fromOffsetMs + byMs, recorded: { sinceUtcMs, byMs } };
}

/** As `ClockWatch` and `app` do it. */
async function move(by: ClockMove): Promise<number> {
  const byMs = await box.store.prepareShift(by);
  const recorded = { sinceUtcMs: by.recorded?.sinceUtcMs ?? 0, byMs };
  const entered = box.store.shift({ ...by, recorded });
  box.clock.stepUtc(by.toUtcMs - box.clock.utcMs());
  await entered;
  return byMs;
}

/** Two segments, a gap, and a third segment that grows. */
async function recordAtBoot(): Promise<void> {
  await box.store.openGap(GATE, U0 - 1000, "camera-unreachable", "refused");
  await box.beginRun(U0);
  await box.store.closeGap(GATE, U0);
  await box.record(id(0), U0);
  await box.record(id(1), U0 + 3000);
  await box.store.endRun(RUN, U0 + 6000, "no-media");
  await box.store.openGap(GATE, U0 + 6000, "no-media", null);
  await box.store.beginRun({ ...GATE, run: OTHER_RUN, startUtcMs: U0 + MINUTE, startMonoMs: 5 + MINUTE, clockTrusted: false });
  await box.grow(id(0, OTHER_RUN), U0 + MINUTE);
  await box.store.closeGap(GATE, U0 + MINUTE);
}

const brief = async () =>
  (await box.rows()).map((row) => {
    const what =
      row.kind === "segment" ? `${row.state} ${row.path.slice(box.root.length + 1)}` : row.kind === "run" ? row.endCause : row.cause;
    return [row.kind, row.fromUtcMs - T0, row.toUtcMs - T0, what];
  });
const name = (stamp: string) => `${SERIAL}_1/${stamp.slice(0, 8)}/${stamp}-3000.mp4`;
const MOVED = [
  ["gap", -1000, 0, "camera-unreachable"],
  ["run", 0, 6000, "no-media"],
  ["segment", 0, 3000, `closed ${name("20260601080000")}`],
  ["segment", 3000, 6000, `closed ${name("20260601080003")}`],
  ["gap", 6000, MINUTE, "no-media"],
];

/** A heartbeat of a clock that is not trusted. */
function untold(): Heartbeat {
  const utcMs = box.clock.utcMs();
  const untrusted = { trusted: false, knownUtcMs: 0, hostSet: true, untrustedSinceUtcMs: U0 - 1000, shiftMs: 0 };
  return { boot: box.boot, monoMs: 1, utcMs, hostUtcMs: utcMs, ...untrusted };
}

/** Leaves the heartbeat that `ClockWatch` writes once a shift is entered. */
async function beat(shiftMs: number): Promise<void> {
  box.store.heartbeat.beat({ ...untold(), trusted: true, knownUtcMs: box.clock.utcMs(), untrustedSinceUtcMs: null, shiftMs });
  await box.store.heartbeat.settled();
}

describe("what a boot recorded before it knew the time", () => {
  it("moves to where it belongs: rows, files and journals", async () => {
    await recordAtBoot();
    expect(await move(moveBy(BY))).toBe(BY);
    const open = ["segment", MINUTE, MINUTE + 3000, `open ${SERIAL}_1/19700101/${OTHER_RUN}-0.mp4.open`];
    expect((await brief()).filter(([kind, , , what]) => kind !== "run" || what !== null).map((row) => row.slice(0, 3))).toEqual(
      [...MOVED, open].map((row) => row.slice(0, 3)),
    );
    await box.store.shiftSettled();
    expect(await brief()).toEqual([...MOVED, ["run", MINUTE, MINUTE + 3000, null], open]);
    expect((await box.rows()).every((row) => row.kind !== "run" || row.clockTrusted)).toBe(true);

    // Facts of its runs keep coming by the clock of before.
    box.store.openSegmentProgress(id(0, OTHER_RUN), 2000, U0 + MINUTE + 4000);
    expect((await brief()).at(-1)?.[2]).toBe(MINUTE + 4000);
    await box.close(id(0, OTHER_RUN), U0 + MINUTE);
    await box.store.endRun(OTHER_RUN, U0 + MINUTE + 3000, "clock-step");
    expect((await brief()).slice(-2)).toEqual([
      ["run", MINUTE, MINUTE + 3000, "clock-step"],
      ["segment", MINUTE, MINUTE + 3000, `closed ${name("20260601080100")}`],
    ]);
    expect(await box.findings()).toEqual([]);
    await beat(BY);
    await box.restart();
    await box.store.shiftSettled();
    expect(await box.tree()).toEqual([
      name("20260601080000"),
      name("20260601080003"),
      name("20260601080100"),
      `${SERIAL}_1/20260601/journal.ndjson`,
    ]);
    const { lines } = await readJournal(join(box.root, `${SERIAL}_1/20260601/journal.ndjson`));
    expect(lines.every((line) => line.shiftMs === BY)).toBe(true);
    expect(lines).toContainEqual(
      expect.objectContaining({ fact: "gap-closed", fromUtcMs: T0 - 1000, atUtcMs: T0, cause: "camera-unreachable" }),
    );
    expect(lines).toContainEqual(expect.objectContaining({ fact: "run-started", run: RUN, atUtcMs: T0, clockTrusted: false }));
  });

  it("is counted in the hours it belongs to, and nowhere else", async () => {
    await recordAtBoot();
    await move(moveBy(BY));
    const hours = async (fromUtcMs: number, toUtcMs: number) => (await box.store.coverageHours(GATE, { fromUtcMs, toUtcMs })).recordedMs;
    expect([...(await hours(0, U0 + 1e9))]).toEqual([]);
    expect([...(await hours(T0 - 1e9, T0 + 1e9))]).toEqual([[T0 / 3_600_000, 6000]]);
  });

  it("is what a catalog rebuilt from files and journals says, before the files are renamed and after", async () => {
    await recordAtBoot();
    await box.close(id(0, OTHER_RUN), U0 + MINUTE);
    await box.store.endRun(OTHER_RUN, U0 + MINUTE + 3000, "power-lost");
    await box.store.deleteSegment(id(0), "limit");
    box.files.renameDurable = () => Promise.reject(new RecorderError("DISK_FAULT", "not now"));
    await move(moveBy(BY));
    await box.store.shiftSettled();
    const rebuilt = async (): Promise<readonly [Dump, Dump]> => {
      const path = join(box.folder, "state", "catalog.db");
      const before = await dumpCatalog(path);
      await box.store.reindex({ signal: new AbortController().signal, onProgress() {} });
      return [before, await dumpCatalog(path)];
    };
    const [early, earlyAgain] = await rebuilt();
    expect(earlyAgain).toEqual(early);
    expect(early.segment.map((row) => row["file"])).toEqual(["19700101/19700101000103-3000.mp4", "19700101/19700101000200-3000.mp4"]);
    await beat(BY);
    await box.restart();
    await box.store.shiftSettled();
    const [late, lateAgain] = await rebuilt();
    expect(lateAgain).toEqual(late);
    expect(late.segment.map((row) => row["file"])).toEqual(["20260601/20260601080003-3000.mp4", "20260601/20260601080100-3000.mp4"]);
    expect(late.deletion).toMatchObject([{ from_utc_ms: T0, to_utc_ms: T0 + 3000 }]);
    expect(await box.findings()).toEqual([]);
  });

  it.each([true, false])("is what reconciling finds, files renamed: %s", async (renamed) => {
    await recordAtBoot();
    await box.close(id(0, OTHER_RUN), U0 + MINUTE);
    await box.store.endRun(OTHER_RUN, U0 + MINUTE + 3000, "power-lost");
    if (!renamed) box.files.renameDurable = () => Promise.reject(new RecorderError("DISK_FAULT", "not now"));
    await move(moveBy(BY));
    await box.store.shiftSettled();
    const path = join(box.folder, "state", "catalog.db");
    const before = await dumpCatalog(path);
    expect(before.run.map((row) => row["shift_ms"])).toEqual([BY, BY]);
    await box.store.settle();
    expect(await dumpCatalog(path)).toEqual(before);
  });

  it("is not compared with its files while they are being renamed", async () => {
    await recordAtBoot();
    await box.close(id(0, OTHER_RUN), U0 + MINUTE);
    await box.store.endRun(OTHER_RUN, U0 + MINUTE + 3000, "power-lost");
    const rename = box.files.renameDurable.bind(box.files);
    const renaming = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    box.files.renameDurable = async (...args) => {
      renaming.resolve();
      await held.promise;
      await rename(...args);
    };
    await move(moveBy(BY));
    await renaming.promise;
    const settling = box.store.settle();
    // It would be over long before.
    await Promise.race([settling, new Promise((resolve) => setTimeout(resolve, 1000))]);
    expect(box.files.read).toEqual([]);
    held.resolve();
    await settling;
    expect(box.files.read).not.toEqual([]);
    expect((await brief()).filter(([kind]) => kind === "segment").map((row) => row[3])).toEqual(
      ["20260601080000", "20260601080003", "20260601080100"].map((stamp) => `closed ${name(stamp)}`),
    );
  });

  it("is only noted as right where it was right", async () => {
    await box.beginRun(U0);
    await box.record(id(0), U0);
    expect(await move(moveBy(0))).toBe(0);
    await box.store.shiftSettled();
    const rows = await box.rows(U0 - 1e6, U0 + 1e6);
    expect(rows).toMatchObject([
      { kind: "run", fromUtcMs: U0, clockTrusted: true },
      { kind: "segment", fromUtcMs: U0 },
    ]);
    expect(await box.tree()).toContain(name("19700101000100"));
  });

  it.each([3000, -3000, 1500, 86_400_000])("finds names of its own where it moves by %i ms", async (byMs) => {
    await box.beginRun(U0);
    for (let n = 0; n < 6; n += 1) await box.record(id(n), U0 + n * 3000);
    await move(moveBy(byMs));
    await box.store.shiftSettled();
    const rows = (await box.rows(U0 - 1e9, U0 + 1e9)).flatMap((row) => (row.kind === "segment" ? [row] : []));
    expect(rows.map((row) => row.fromUtcMs)).toEqual(Array.from({ length: 6 }, (_, n) => U0 + byMs + n * 3000));
    const stamps = rows.map((row) => row.path.slice(-23, -9));
    expect(stamps).toEqual(rows.map((row) => new Date(row.fromUtcMs).toISOString().slice(0, 19).replaceAll(/[-T:]/g, "")));
    expect(await box.findings()).toEqual([]);
  });

  it("does not move over what other boots have recorded", async () => {
    await box.remove();
    box = await TestBox.create();
    await box.start();
    await box.want([GATE]);
    await box.beginRun(T0);
    await box.record(id(0), T0);
    await box.store.endRun(RUN, T0 + 3000, "power-lost");
    await box.restart();
    box.boot = "boot-2";
    box.clockTrusted = false;
    box.clock.stepUtc(20_000);
    await box.restart();
    const since = T0 + 13_000;
    await box.store.beginRun({ ...GATE, run: OTHER_RUN, startUtcMs: since + 1000, startMonoMs: 1000, clockTrusted: false });
    await box.record(id(0, OTHER_RUN), since + 1000);
    const by: ClockMove = {
      fromUtcMs: since + MINUTE,
      toUtcMs: since,
      fromOffsetMs: since,
      toOffsetMs: since - MINUTE,
      recorded: { sinceUtcMs: since, byMs: -MINUTE },
    };
    expect(await move(by)).toBe(-10_000);
    const segments = (await brief()).filter(([kind]) => kind === "segment");
    expect(segments.map((row) => row.slice(1, 3))).toEqual([
      [0, 3000],
      [4000, 7000],
    ]);
  });

  it("leaves what other boots and the clock of now have recorded where it is", async () => {
    await recordAtBoot();
    await box.close(id(0, OTHER_RUN), U0 + MINUTE);
    await box.store.endRun(OTHER_RUN, U0 + MINUTE + 3000, "clock-step");
    const by = moveBy(BY);
    await move(by);
    box.clockTrusted = true;
    const run = "77777777-2222-4333-8444-555555555555";
    await box.store.beginRun({ ...GATE, run, startUtcMs: by.toUtcMs, startMonoMs: by.toUtcMs - by.toOffsetMs, clockTrusted: true });
    await box.record(id(0, run), by.toUtcMs);
    await box.store.shiftSettled();
    await beat(BY);
    await box.restart();
    await box.store.shiftSettled();
    expect((await brief()).at(-2)).toEqual(["segment", by.toUtcMs - T0, by.toUtcMs - T0 + 3000, `closed ${name("20260601080500")}`]);
    expect(await box.findings()).toEqual([]);
  });

  it("keeps its name under a reader, and is renamed at the next start", async () => {
    await recordAtBoot();
    const lease = await box.store.lease(id(0));
    await move(moveBy(BY));
    await box.store.shiftSettled();
    const path = lease?.segment.path ?? "";
    expect(await box.tree()).toContain(path.slice(box.root.length + 1));
    await beat(BY);
    await box.restart();
    await box.store.shiftSettled();
    expect((await brief()).slice(0, 5)).toEqual(MOVED);
    const again = await box.store.lease(id(0));
    expect(again?.segment.path).toBe(join(box.root, name("20260601080000")));
  });
});

describe("a gap that is told while the clock moves", () => {
  it("is one of the clock of its moment, whenever it is written", async () => {
    await box.beginRun(U0);
    await box.record(id(0), U0);
    let release = () => {};
    const append = box.files.appendDurable.bind(box.files);
    await box.store.prepareShift(moveBy(BY));
    box.files.appendDurable = async (...args) => {
      await new Promise<void>((resolve) => (release = resolve));
      await append(...args);
    };
    const opening = box.store.openGap(GATE, U0 + 3000, "no-media", null);
    await new Promise((resolve) => setImmediate(resolve));
    const entered = box.store.shift(moveBy(BY));
    box.clock.stepUtc(BY);
    await entered;
    box.files.appendDurable = append;
    release();
    await opening;
    await box.store.closeGap(GATE, T0 + 9000);
    await box.store.shiftSettled();
    expect((await brief()).filter(([kind]) => kind === "gap")).toEqual([["gap", 3000, 9000, "no-media"]]);
  });
});

describe("a process that ends while it moves", () => {
  const finished = [
    ...MOVED,
    ["run", MINUTE, MINUTE + 3000, "power-lost"],
    ["segment", MINUTE, MINUTE + 3000, `closed ${name("20260601080100")}`],
  ];
  const segmentsAndRuns = async () => (await brief()).filter(([, from, , what]) => (from as number) <= MINUTE && what !== "process-down");

  async function recorded(): Promise<void> {
    await recordAtBoot();
    await box.close(id(0, OTHER_RUN), U0 + MINUTE);
    await box.store.endRun(OTHER_RUN, U0 + MINUTE + 3000, "power-lost");
  }

  it.each<[string, boolean]>([
    ["in the same boot it is moved when the time is there again", true],
    ["in the next boot it is moved at the start", false],
  ])("after Shift 1 and 2: %s", async (_case, same) => {
    await recorded();
    await box.store.prepareShift(moveBy(BY));
    if (!same) box.boot = "boot-2";
    await box.restart();
    if (same) {
      expect((await box.rows(U0 - 1e6, U0 + 1e6)).filter((row) => row.kind === "segment")).toHaveLength(3);
      await move(moveBy(BY));
    } else {
      box.clock.stepUtc(BY);
    }
    await box.store.shiftSettled();
    expect(await segmentsAndRuns()).toEqual(finished);
    expect(await box.findings()).toEqual([]);
    expect((await box.tree()).every((path) => path.includes("/20260601/"))).toBe(true);
  });

  it("after Shift 3, before its heartbeat tells of it: the next one knows by the catalog", async () => {
    await recorded();
    box.store.heartbeat.beat({ ...untold(), utcMs: U0 + 2 * MINUTE });
    await box.store.heartbeat.settled();
    await move(moveBy(BY));
    await box.store.shiftSettled();
    await box.restart();
    await box.store.shiftSettled();
    expect(box.store.last).toMatchObject({ trusted: true, utcMs: T0 + 2 * MINUTE, shiftMs: BY, untrustedSinceUtcMs: null });
    expect(await segmentsAndRuns()).toEqual(finished);
    const path = join(box.folder, "state", "catalog.db");
    const before = await dumpCatalog(path);
    await box.store.reindex({ signal: new AbortController().signal, onProgress() {} });
    expect(await dumpCatalog(path)).toEqual(before);
  });

  it.each<FakeStep>(["journal", "rename", "sync-directory", "unlink", "prune"])("behind Shift 3, after the step %s", async (step) => {
    await recorded();
    await box.store.prepareShift(moveBy(BY));
    box.files.dieAt = step;
    const entered = box.store.shift(moveBy(BY));
    box.clock.stepUtc(BY);
    await entered;
    await box.store.shiftSettled();
    expect(box.files.steps).toContain(step);
    await beat(BY);
    await box.restart();
    await box.store.shiftSettled();
    expect(await segmentsAndRuns()).toEqual(finished);
    expect(await box.findings()).toEqual([]);
    expect((await box.tree()).every((path) => path.includes("/20260601/"))).toBe(true);
    await box.restart();
    await box.store.shiftSettled();
    expect(await segmentsAndRuns()).toEqual(finished);
  });

  it("but it is the root that went while a file was renamed: the rest follows when it is back", async () => {
    await recorded();
    await box.store.prepareShift(moveBy(BY));
    box.files.dieAt = "sync-directory";
    const entered = box.store.shift(moveBy(BY));
    box.clock.stepUtc(BY);
    await entered;
    await box.store.shiftSettled();
    box.files.revive();
    const [root] = box.store.roots.present();
    if (root !== undefined) await box.store.recoverRoot(root);
    await box.store.shiftSettled();
    expect(await segmentsAndRuns()).toEqual(finished);
    expect(await box.findings()).toEqual([]);
    expect((await box.tree()).every((path) => path.includes("/20260601/"))).toBe(true);
  });

  it("between Shift 5a and 5b", async () => {
    await recorded();
    box.files.renameDurable = () => Promise.reject(new RecorderError("ENGINE_UNAVAILABLE", "the process is dead"));
    await move(moveBy(BY));
    await box.store.shiftSettled();
    await beat(BY);
    await box.restart();
    await box.store.shiftSettled();
    expect(await segmentsAndRuns()).toEqual(finished);
    expect(await box.findings()).toEqual([]);
  });
});

describe("names of the site's zone", () => {
  it("are free seconds where daylight saving repeats the hour, and folders are local days", async () => {
    await box.remove();
    box = await TestBox.create("Europe/Berlin");
    box.clock.stepUtc(U0 - T0);
    box.clockTrusted = false;
    await box.start();
    await box.beginRun(U0);
    for (const [n, at] of [0, 3_600_000, 22 * 3_600_000].entries()) await box.record(id(n), U0 + at);
    // 02:30 summer time and 02:30 winter time, then 23:30, half an hour before midnight; and one that goes over it.
    await box.record(id(3), U0 + 22 * 3_600_000 + 1_799_000);
    await move(moveBy(Date.UTC(2026, 9, 25, 0, 30) - U0, U0 + 23 * 3_600_000));
    await box.store.shiftSettled();
    const files = (await box.tree()).filter((path) => path.endsWith(".mp4"));
    expect(files).toEqual([name("20261025023000"), name("20261025023001"), name("20261025233000"), name("20261025235959")]);
    expect(await box.findings()).toEqual([]);
  });

  it("skip the hour that daylight saving skips", async () => {
    await box.remove();
    box = await TestBox.create("Europe/Berlin");
    box.clock.stepUtc(U0 - T0);
    box.clockTrusted = false;
    await box.start();
    await box.beginRun(U0);
    for (const n of [0, 1, 2]) await box.record(id(n), U0 + n * 3000);
    await move(moveBy(Date.UTC(2026, 2, 29, 0, 59, 56) - U0));
    await box.store.shiftSettled();
    const files = (await box.tree()).filter((path) => path.endsWith(".mp4"));
    expect(files).toEqual([name("20260329015956"), name("20260329015959"), name("20260329030002")]);
    expect(await box.findings()).toEqual([]);
  });
});
