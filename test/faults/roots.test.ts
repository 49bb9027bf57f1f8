import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Box, type ListedRow, until } from "../e2e/box.ts";
import { segmentFiles } from "../e2e/segments.ts";
import { type Source, virtual } from "../e2e/sources.ts";
import { DiskRig, type Mount } from "./disks/disk-rig.ts";
import { examineFile } from "./promises.ts";
import { pullDisk } from "./pull-disk.ts";

const DISK_BYTES = 128 << 20;
let rig: DiskRig;
let source: Source;
let box: Box;

beforeEach(async () => {
  rig = await DiskRig.open("roots", { memoryBytes: 512 << 20 });
  source = await virtual({ stream: { audio: "none", bitrateBps: 2_000_000 } })();
});
afterEach(async () => {
  await box.end("SIGKILL");
  await source.stop();
  await rig.close();
});

async function disk(name: string): Promise<{ readonly image: string; mount: Mount }> {
  const image = await rig.image(join(rig.folder, `${name}.img`), DISK_BYTES, "ext4");
  return { image, mount: await rig.mount(image, name) };
}

const event = (name: string) => box.next((line) => line.event === name, 30_000);
const alarms = async () => (await box.json<{ readonly alarms: readonly { readonly code: string }[] }>("status"))[0]?.alarms ?? [];

/** Every picture of the camera that is in a closed file of these roots, in order, each once. */
async function pictures(...roots: string[]): Promise<number[]> {
  const numbers = new Set<number>();
  for (const root of roots) {
    for (const path of await segmentFiles(root)) {
      const { complaints, pictures } = await examineFile(path);
      expect(complaints).toEqual([]);
      for (let number = pictures?.first ?? 0; number <= (pictures?.last ?? -1); number += 1) numbers.add(number);
    }
  }
  return [...numbers].sort((a, b) => a - b);
}

const holes = (numbers: readonly number[]) => numbers.filter((number, index) => index > 0 && number !== (numbers[index - 1] ?? 0) + 1);

test("a disk that is missing at the start and pulled later: nothing is written where it was, and once it is back neither what it held nor what came meanwhile is lost", async () => {
  const one = await disk("one");
  box = await Box.create({ name: "roots-pulled", roots: [one.mount.folder], reserve: "8MB" });
  await box.serve();
  expect(await box.end()).toBe(0);
  await one.mount.unmount();
  await box.serve();
  expect(await alarms()).toMatchObject([{ code: "root-missing", subject: one.mount.folder }]);
  const entered = event("root.entered");
  one.mount = await rig.mount(one.image, "one");
  await entered;
  const recorded = box.next((line) => line.event === "fragment.durable" && Number(line["fragments"]) >= 3, 30_000);
  await box.add("gate", source.url);
  await recorded;
  const left = event("root.left");
  await pullDisk(box, one.mount.folder);
  expect(await left).toMatchObject({ root: one.mount.folder, state: "absent" });
  await until("the gap", async () => (await box.cameras())[0]?.streams[0]?.cause === "disk-fault" || null);
  expect(await alarms()).toMatchObject([{ code: "root-missing", subject: one.mount.folder }]);
  expect(await readdir(one.mount.folder)).toEqual([]);

  const [recovered, opened] = [event("root.recovered"), event("segment.opened")];
  one.mount = await rig.mount(one.image, "one");
  expect(await recovered).toMatchObject({ recovered: 1, missing: 0 });
  await opened;
  await until("the alarm to end", async () => ((await alarms()).length === 0 ? true : null));
  const rows = await box.list();
  const segments = rows.filter((row) => row.kind === "segment");
  expect(segments.map(({ state }) => state)).toEqual(["closed", "open"]);
  // What waited in memory went to the new file.
  expect(rows.filter((row) => row.kind === "gap")).toEqual([]);
  expect(await box.end()).toBe(0);
  expect(holes(await pictures(one.mount.folder))).toEqual([]);
});

test("with another root the stream goes on there without losing a picture, also over a start without the disk", async () => {
  const [one, two] = [await disk("one"), await disk("two")];
  const roots = [one.mount.folder, two.mount.folder];
  box = await Box.create({ name: "roots-two", roots, reserve: "8MB" });
  await box.serve();
  const recorded = box.next((line) => line.event === "fragment.durable" && Number(line["fragments"]) >= 3, 30_000);
  await box.add("gate", source.url);
  await recorded;
  const moved = box.next((line) => line.event === "fragment.durable" && Number(line["sequence"]) === 1, 30_000);
  await pullDisk(box, one.mount.folder);
  await moved;
  expect(await box.end()).toBe(0);
  expect(holes(await pictures(two.mount.folder))).toEqual([]);

  await box.serve();
  expect(await alarms()).toMatchObject([{ code: "root-missing", subject: one.mount.folder }]);
  await until("recording without the disk", async () => ((await box.cameras())[0]?.streams[0]?.state === "recording" ? true : null));
  expect(await readdir(one.mount.folder)).toEqual([]);
  const recovered = event("root.recovered");
  one.mount = await rig.mount(one.image, "one");
  await recovered;
  const listed = (await box.list()).filter((row: ListedRow) => row.kind === "segment");
  expect(listed.map(({ path }) => roots.findIndex((root) => path?.startsWith(`${root}/`)))).toEqual([0, 1, 1]);
  expect(await box.end()).toBe(0);
  const before = await pictures(one.mount.folder);
  const after = await pictures(two.mount.folder);
  const run = after.slice(
    0,
    after.findIndex((number) => holes(after).includes(number)),
  );
  expect(holes([...new Set([...before, ...run])].sort((a, b) => a - b))).toEqual([]);
  expect(run[0]).toBeLessThanOrEqual((before.at(-1) ?? 0) + 1);
});
