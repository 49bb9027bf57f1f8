import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runProgram, until } from "../e2e/box.ts";
import type { BlockDevice } from "./disks/block-device.ts";
import { DiskRig, type Mount } from "./disks/disk-rig.ts";
import { readOperations } from "./disks/operations.ts";
import { DISKS, mountsBelow } from "./disks/teardown.ts";

const NAME = "rig-test";
let rig: DiskRig;
let image: string;
let device: BlockDevice;
let disk: Mount;

beforeEach(async () => {
  rig = await DiskRig.open(NAME, { memoryBytes: 256 << 20 });
  image = await rig.image(join(rig.folder, "disk.img"), 32 << 20, "ext4");
  await runProgram("cp", [image, `${image}.before`]);
  device = await rig.blockDevice(image, "block", { record: true });
  disk = await rig.mount(device.file, "disk");
});
afterEach(() => rig.close());

/** Writes a file and makes it durable; returns the error code if that fails. */
async function store(name: string, text: string): Promise<string | null> {
  const file = await open(join(disk.folder, name), "w");
  try {
    await file.writeFile(text);
    await file.sync();
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "";
  } finally {
    await file.close().catch(() => undefined);
  }
}

test("recorded writes up to a mark make a disk that holds what was durable at the mark, and nothing later", async () => {
  expect(await store("first", "durable")).toBeNull();
  await device.order({ mark: "first" });
  expect(await store("second", "later")).toBeNull();
  await disk.unmount();
  await device.stop();
  const operations = readOperations(device.log ?? "");
  const mark = operations.findIndex((operation) => operation.kind === "mark" && operation.text === "first");
  expect(operations.slice(0, mark).at(-1)?.kind).toBe("flush");
  const replayed = await open(`${image}.before`, "r+");
  for (const operation of operations.slice(0, mark)) {
    if (operation.kind === "write") await replayed.write(operation.data, 0, operation.data.length, operation.offset);
  }
  await replayed.close();
  const copy = await rig.mount(`${image}.before`, "copy");
  expect(await readFile(join(copy.folder, "first"), "utf8")).toBe("durable");
  expect(existsSync(join(copy.folder, "second"))).toBe(false);
});

test("a device fails once, then works", async () => {
  await device.order({ mode: "error", flushes: true, once: true });
  expect(await store("once", "text")).toBe("EIO");
  expect((await device.order({ counters: true })).errors).toBe(1);
  await disk.unmount();
  disk = await rig.mount(device.file, "disk");
  expect(await store("again", "text")).toBeNull();
});

test("a device fails until it is told to work", async () => {
  await device.order({ mode: "error", writes: true, flushes: true });
  expect(await store("one", "text")).toBe("EIO");
  expect(await store("two", "text")).not.toBeNull();
  await device.order({ mode: "ok" });
  await disk.unmount();
  disk = await rig.mount(device.file, "disk");
  expect(await store("three", "text")).toBeNull();
});

test("a device that stalls answers nothing, and everything afterwards", async () => {
  await device.order({ mode: "stalled" });
  let stored = false;
  const storing = store("file", "text").then((error) => {
    stored = true;
    return error;
  });
  await until("a command to wait", async () => ((await device.order({ counters: true })).waiting > 0 ? true : null));
  expect(stored).toBe(false);
  await device.order({ mode: "ok" });
  expect(await storing).toBeNull();
  expect(await readFile(join(disk.folder, "file"), "utf8")).toBe("text");
});

test.each(["SIGINT", "SIGKILL"] as const)("nothing is left of a run that %s ended, once the next has begun", async (signal) => {
  const name = "rig-test-ended";
  const script = join(rig.folder, "run.ts");
  const source = `
    import { DiskRig } from ${JSON.stringify(join(import.meta.dirname, "disks", "disk-rig.ts"))};
    const rig = await DiskRig.open(${JSON.stringify(name)});
    const image = await rig.image(rig.folder + "/disk.img", 32 << 20, "ext4");
    const device = await rig.blockDevice(image, "block");
    await rig.mount(device.file, "disk");
    console.log("mounted");
    setInterval(() => {}, 1000);`;
  await writeFile(script, source);
  const child = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  await new Promise((resolve) => child.stdout.once("data", resolve));
  expect(mountsBelow(join(DISKS, name))).toHaveLength(2);
  child.kill(signal);
  await ended;
  if (signal === "SIGKILL") await (await DiskRig.open("rig-test-next")).close();
  expect(mountsBelow(join(DISKS, name))).toEqual([]);
  expect(existsSync(join(DISKS, name))).toBe(false);
});
