import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { RootOptions, Roots } from "../../../src/store/roots/roots.ts";
import type { Store } from "../../../src/store/store.ts";
import type { StreamPlace } from "../../../src/store/types.ts";
import { settle } from "../../fakes/clock.ts";
import { FakeFileSteps } from "../../fakes/file-steps.ts";
import { GATE, RUN, SERIAL, T0, TestBox } from "../box.ts";

let box: TestBox;
let store: Store;
const path = (name: string) => join(box.folder, name);
const root = (name: string): RootOptions => ({ path: path(name), limitBytes: null, reserveBytes: 0 });
const place = (channel: number): StreamPlace => ({ camera: `c${channel}`, stream: "main", channel, name: `${SERIAL}_${channel}` });

beforeEach(async () => {
  box = await TestBox.create();
});
afterEach(async () => {
  await store.stop();
  await box.remove();
});

async function open(...names: string[]): Promise<Roots> {
  store = await box.open({ roots: names.map(root) });
  return store.roots;
}

/** The next process, with the mounts as they are. */
async function reopen(...names: string[]): Promise<Roots> {
  await store.stop();
  const { mounts, faulty } = box.files;
  box.files = new FakeFileSteps();
  for (const mount of mounts) box.files.mounts.add(mount);
  for (const fault of faulty) box.files.faulty.add(fault);
  return open(...names);
}

async function mount(name: string): Promise<void> {
  await mkdir(path(name));
  box.files.mounts.add(path(name));
}

/** Takes a mounted disk away; what is left is the empty folder it was mounted on. */
async function unmount(name: string): Promise<void> {
  await rename(path(name), path(`${name}.unmounted`));
  await mkdir(path(name));
  box.files.mounts.delete(path(name));
}

async function remount(name: string, at = name): Promise<void> {
  await rename(path(at), path(`${at}.below-${Date.now()}`)).catch(() => undefined);
  await rename(path(`${name}.unmounted`), path(at));
  box.files.mounts.add(path(at));
}

const states = (roots: Roots) => roots.status().map(({ state }) => state);

it("shares streams out evenly, and keeps a stream where it is", async () => {
  const roots = await open("a", "b");
  const first = [1, 2, 3, 4].map((channel) => roots.of(place(channel)).index);
  expect(first).toEqual([0, 1, 0, 1]);
  expect([4, 3, 2, 1].map((channel) => roots.of(place(channel)).index)).toEqual([1, 0, 1, 0]);
});

it("gives a root as many streams as it has room for", async () => {
  const roots = await open("a", "b");
  const [a, b] = roots.present();
  if (a === undefined || b === undefined) throw new Error("two roots are present");
  roots.noteRoom(a, 300e9);
  roots.noteRoom(b, 100e9);
  expect([1, 2, 3, 4, 5, 6, 7, 8].map((channel) => roots.of(place(channel)).index)).toEqual([0, 0, 0, 1, 0, 0, 0, 1]);
  expect(roots.of(place(4)).index).toBe(1);
});

it("moves streams to another present root, and back once theirs has been well for a minute", async () => {
  const roots = await open("a", "b");
  const [a] = roots.present();
  if (a === undefined) throw new Error("a is not present");
  expect([1, 2].map((channel) => roots.of(place(channel)).index)).toEqual([0, 1]);
  const left = roots.leave(a, "failing", "Input/output error");
  expect(roots.leave(a, "failing", "again")).toBeNull();
  expect([1, 2, 3].map((channel) => roots.of(place(channel)).index)).toEqual([1, 1, 1]);
  if (left !== null) await roots.release(left);
  roots.publish(await roots.open(0));
  expect(roots.of(place(1)).index).toBe(1);
  await box.clock.advance(60_000);
  expect([1, 2, 3].map((channel) => roots.of(place(channel)).index)).toEqual([0, 1, 1]);
});

it("uses a root that failed lately where there is no other", async () => {
  const roots = await open("a");
  const [a] = roots.present();
  if (a === undefined) throw new Error("a is not present");
  const left = roots.leave(a, "failing", "Input/output error");
  expect(() => roots.of(place(1))).toThrow("no root can be written: ");
  expect(roots.find(place(1))).toBeNull();
  if (left !== null) await roots.release(left);
  roots.publish(await roots.open(0));
  const again = roots.of(place(1));
  expect(again).toMatchObject({ id: a.id, uuid: a.uuid });
  expect(again.handle).not.toBe(a.handle);
  expect(roots.again(a)).toBe(again);
});

it("takes only paths in a day folder of the stream, on a root that was open once", async () => {
  const roots = await open("r0", "r1");
  const [, r1] = roots.present();
  if (r1 === undefined) throw new Error("r1 is not present");
  const locate = (file: string, handle = r1.handle) => roots.locate(place(1), handle, path(file));
  expect(locate(`r1/${SERIAL}_1/20260601/x.mp4.open`)).toMatchObject({ root: { id: r1.id }, file: "20260601/x.mp4.open" });
  for (const file of ["r0/EZ0001_1/20260601/x", "r1/EZ0001_2/20260601/x", "r1/EZ0001_1/x", "r1/EZ0001_1/20260601/../../x"]) {
    expect(() => locate(file)).toThrow("not in a day folder");
  }
  expect(() => locate(`r1/${SERIAL}_1/20260601/x`, 99)).toThrow("never opened");
  const left = roots.leave(r1, "absent", "gone");
  if (left !== null) await roots.release(left);
  expect(locate(`r1/${SERIAL}_1/20260601/x`)).toMatchObject({ root: r1 });
});

it("starts with a mount that is missing, and writes nothing where it was", async () => {
  await mount("a");
  let roots = await open("a", "b");
  const [a] = roots.present();
  await store.stop();
  await unmount("a");
  roots = await reopen("a", "b");
  expect(roots.status()).toMatchObject([{ state: "absent", detail: expect.stringContaining("nothing is mounted") }, { state: "present" }]);
  expect(roots.of(place(1)).path).toBe(path("b"));
  await expect(roots.open(0)).rejects.toMatchObject({ code: "ROOT_UNAVAILABLE" });
  expect(await readdir(path("a"))).toEqual([]);
  await remount("a");
  roots.publish(await roots.open(0));
  expect(roots.present()[0]).toMatchObject({ id: a?.id, uuid: a?.uuid });
});

it("does not make the folder of a root again below a mount that is missing", async () => {
  await mount("disk");
  await open("disk/rec");
  await store.stop();
  await unmount("disk");
  expect(states(await reopen("disk/rec"))).toEqual(["absent"]);
  expect(await readdir(path("disk"))).toEqual([]);
});

it("takes an empty disk in place of another one, and knows that one again", async () => {
  await mount("a");
  let roots = await open("a");
  const before = roots.present()[0];
  await store.stop();
  await unmount("a");
  box.files.mounts.add(path("a"));
  roots = await reopen("a");
  const other = roots.present()[0];
  expect(other?.uuid).not.toBe(before?.uuid);
  expect(other?.id).not.toBe(before?.id);
  await store.stop();
  await rename(path("a"), path("other"));
  await remount("a");
  roots = await reopen("a");
  expect(roots.present()[0]).toMatchObject({ id: before?.id, uuid: before?.uuid });
});

it("knows a disk again at another path", async () => {
  await mount("a");
  await mount("b");
  const [a, b] = (await open("a", "b")).present();
  await store.stop();
  await unmount("a");
  await unmount("b");
  await remount("a", "b");
  await remount("b", "a");
  const roots = await reopen("a", "b");
  expect(roots.present()).toMatchObject([
    { id: b?.id, path: path("a") },
    { id: a?.id, path: path("b") },
  ]);
});

it("leaves the disk of another box as it is", async () => {
  await mkdir(path("a"));
  await writeFile(join(path("a"), ".easyrms-root"), JSON.stringify({ v: 1, id: "theirs", serial: "EZ0002" }));
  await mkdir(join(path("a"), "EZ0002_1", "20260601"), { recursive: true });
  const roots = await open("a");
  expect(roots.status()).toMatchObject([{ state: "absent", detail: expect.stringContaining("belongs to EZ0002") }]);
  await store.start(new AbortController().signal);
  expect((await readdir(path("a"), { recursive: true })).sort()).toEqual([".easyrms-root", "EZ0002_1", "EZ0002_1/20260601"]);
});

it("does not open one disk at two paths", async () => {
  await open("a");
  await store.stop();
  await mkdir(path("b"));
  await writeFile(join(path("b"), ".easyrms-root"), await readFile(join(path("a"), ".easyrms-root")));
  const roots = await reopen("a", "b");
  expect(states(roots).sort()).toEqual(["absent", "present"]);
});

it("is locked against other processes, which is no state of a root", async () => {
  await open("a");
  await expect(box.open({ roots: [root("a")], stateDir: path("other-state") })).rejects.toMatchObject({ code: "ROOT_LOCKED" });
});

it("a disk that hangs at the start is waited for two seconds, and taken when it answers", async () => {
  let answer = () => {};
  box.files.hangs = new Promise((resolve) => {
    answer = resolve;
  });
  const opening = open("a");
  while (box.clock.pendingTimers === 0) await settle();
  await box.clock.advance(2000);
  const roots = await opening;
  expect(states(roots)).toEqual(["absent"]);
  const again = [roots.open(0), roots.open(0)];
  answer();
  const [one, two] = await Promise.all(again);
  expect(one).toBe(two);
  expect(roots.present()).toEqual([]);
  if (one !== undefined) roots.publish(one);
  expect(states(roots)).toEqual(["present"]);
  expect(box.files.openRoots).toHaveLength(1);
});

it("lets go of a disk that answers after the end", async () => {
  let answer = () => {};
  box.files.hangs = new Promise((resolve) => {
    answer = resolve;
  });
  const opening = open("a");
  while (box.clock.pendingTimers === 0) await settle();
  await box.clock.advance(2000);
  const roots = await opening;
  await store.stop();
  answer();
  await roots.open(0).catch(() => undefined);
  while (box.files.openRoots.length > 0) await settle();
});

it("a root that takes no writes is failing, and read all the same", async () => {
  store = await box.start();
  await box.want([GATE]);
  await box.beginRun();
  await box.record({ run: RUN, sequence: 0 }, T0);
  await store.stop();
  box.files.faulty.add(box.root);
  const roots = await reopen("root");
  await store.start(new AbortController().signal);
  expect(roots.status()).toMatchObject([{ state: "failing", detail: expect.stringContaining("Input/output error") }]);
  expect(box.files.openRoots).toEqual([]);
  expect(await store.lease({ run: RUN, sequence: 0 })).not.toBeNull();
  expect(await store.oldestSegments(0, 1)).toEqual([]);
  expect(await store.deleteSegment({ run: RUN, sequence: 0 }, "limit")).toBe(false);
  const { findings } = await store.check({ deep: false, signal: new AbortController().signal, onProgress() {} });
  expect(findings).toMatchObject([{ code: "root-unavailable", path: box.root, message: expect.stringContaining("Input/output error") }]);
});

it("recordings of an absent root are listed, but not handed out", async () => {
  store = await box.start();
  await box.want([GATE]);
  await box.beginRun();
  await box.record({ run: RUN, sequence: 0 }, T0);
  await store.stop();
  await rename(box.root, `${box.root}.away`);
  await mkdir(box.root);
  await writeFile(join(box.root, ".easyrms-root"), JSON.stringify({ v: 1, id: "theirs", serial: "EZ0002" }));
  await reopen("root");
  await store.start(new AbortController().signal);
  const rows = await store.timeline({ camera: null, stream: null, range: { fromUtcMs: T0, toUtcMs: T0 + 1000 }, limit: 10 });
  expect(rows.filter(({ kind }) => kind === "segment")).toHaveLength(1);
  expect(await store.lease({ run: RUN, sequence: 0 })).toBeNull();
});
