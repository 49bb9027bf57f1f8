import { appendFile, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { flipByte } from "../fakes/file-steps.ts";
import { RUN, SERIAL, T0, TestBox } from "./box.ts";

let box: TestBox;
const id = (sequence: number) => ({ run: RUN, sequence });
const path = (sequence: number) => join(box.root, `${SERIAL}_1/20260601/2026060108000${sequence * 3}-3000.mp4`);
const found = async () => (await box.findings()).map(({ code, path: where }) => [code, where]);

beforeEach(async () => {
  box = await TestBox.create();
  await box.start();
  await box.beginRun();
  for (const sequence of [0, 1, 2]) await box.record(id(sequence), T0 + sequence * 3000);
});
afterEach(() => box.remove());

it("finds nothing in a store that records, and counts what it saw", async () => {
  await box.grow(id(3), T0 + 9000);
  await box.files.grow(
    box.store.planSegment({ camera: "gate", stream: "main", channel: 1, name: `${SERIAL}_1` }, id(4)).path,
    {
      serial: SERIAL,
      channel: 1,
      stream: "main",
      ...id(4),
      startUtcMs: T0,
      zone: "UTC",
    },
    [],
  );
  const progress: number[] = [];
  const options = {
    deep: false,
    signal: new AbortController().signal,
    onProgress: (seen: { segments: number }) => progress.push(seen.segments),
  };
  const report = await box.store.check(options);
  const bytes = (await box.store.usage())[0]?.segmentBytes ?? 0;
  expect(report).toEqual({ deep: false, segments: 3, bytes: bytes - 1500, findings: [] });
  expect(progress.at(-1)).toBe(3);
});

it("finds missing, resized, unsealed and unknown files", async () => {
  await rm(path(0));
  await appendFile(path(1), "more");
  await writeFile(path(2), "HEAD {}\n");
  await writeFile(join(box.root, `${SERIAL}_1/20260601/20260601090000-1.mp4`), "x");
  await mkdir(join(box.root, "lost+found"));
  expect(await found()).toEqual([
    ["missing-file", path(0)],
    ["wrong-size", path(1)],
    ["damaged", path(1)],
    ["wrong-size", path(2)],
    ["unsealed", path(2)],
    ["identity-mismatch", path(2)],
    ["unknown-file", join(box.root, `${SERIAL}_1/20260601/20260601090000-1.mp4`)],
  ]);
});

it("finds rot only when it reads everything", async () => {
  await flipByte(path(1), 300);
  const shallow = await box.store.check({ deep: false, signal: new AbortController().signal, onProgress() {} });
  expect(shallow.findings).toEqual([]);
  expect(await found()).toEqual([["damaged", path(1)]]);
});

it("finds swapped files", async () => {
  await rename(path(0), `${path(0)}.x`);
  await rename(path(1), path(0));
  await rename(`${path(0)}.x`, path(1));
  expect(await found()).toEqual([
    ["identity-mismatch", path(0)],
    ["identity-mismatch", path(1)],
  ]);
});

it("finds files in the wrong day folder", async () => {
  const moved = path(0).replace("/20260601/", "/20260602/");
  await mkdir(dirname(moved));
  await rename(path(0), moved);
  expect(await found()).toEqual([
    ["missing-file", path(0)],
    ["unknown-file", moved],
  ]);
});

it("finds what a dead process left, without repairing it", async () => {
  const left = await box.grow(id(3), T0 + 9000);
  await box.store.stop();
  const offline = await box.open();
  const report = await offline.check({ deep: true, signal: new AbortController().signal, onProgress() {} });
  expect(report.findings).toMatchObject([{ code: "left-over", path: left }]);
  await offline.stop();
});

it("ends when it is told to", async () => {
  const stop = new AbortController();
  const options = { deep: true, signal: stop.signal, onProgress: () => stop.abort(new Error("enough")) };
  await expect(box.store.check(options)).rejects.toThrow("enough");
});

it("does not take a file between its rename and its row for a stranger's", async () => {
  await box.grow(id(3), T0 + 9000);
  const finish = box.files.finishSegment.bind(box.files);
  let renamed = () => {};
  const between = new Promise<void>((resolve) => (renamed = resolve));
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  box.files.finishSegment = async (...args) => {
    const sealed = await finish(...args);
    renamed();
    await held;
    return sealed;
  };
  const closing = box.close(id(3), T0 + 9000);
  await between;
  expect(await found()).toEqual([]);
  release();
  await closing;
  expect(await found()).toEqual([]);
});
