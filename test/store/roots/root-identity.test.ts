import { expect, it } from "vitest";
import { recognise } from "../../../src/store/roots/root-identity.ts";

const PATH = "/mnt/disk/rec";
const inspection = (mountPoint: string, marker: { id: string; serial: string } | null = null) => ({
  fileSystem: "1",
  directory: "2",
  mountPoint,
  marker,
});
const known = { serial: "EZ1", remembered: null, uuids: new Set(["mine"]) };
const remembered = { ...known, remembered: { uuid: "mine", mountPoint: "/mnt/disk" } };

it("takes a disk of its own by its marker, at whatever path", () => {
  const ours = { kind: "ours", uuid: "mine" };
  expect(recognise(PATH, inspection("/mnt/disk", { id: "mine", serial: "EZ1" }), [], known)).toEqual(ours);
  expect(recognise("/elsewhere", inspection("/elsewhere", { id: "mine", serial: "EZ1" }), [], remembered)).toEqual(ours);
});

it("takes one that another life of this box has made, and one that it made under another serial", () => {
  expect(recognise(PATH, inspection("/", { id: "new", serial: "EZ1" }), [], known)).toEqual({ kind: "ours", uuid: "new" });
  expect(recognise(PATH, inspection("/", { id: "mine", serial: "OLD" }), [], known)).toEqual({ kind: "ours", uuid: "mine" });
});

it("refuses the disk of another box, marked or not", () => {
  const marked = recognise(PATH, inspection("/mnt/disk", { id: "theirs", serial: "EZ2" }), [], remembered);
  expect(marked).toMatchObject({ kind: "refused", reason: expect.stringContaining("belongs to EZ2") });
  const unmarked = recognise(PATH, inspection("/mnt/disk"), ["EZ2_1", "lost+found"], remembered);
  expect(unmarked).toMatchObject({ kind: "refused", reason: expect.stringContaining("recordings of EZ2") });
});

it("refuses what lies under a mount that is missing, whatever is there", () => {
  for (const marker of [null, { id: "mine", serial: "EZ1" }]) {
    const verdict = recognise(PATH, inspection("/", marker), [], remembered);
    expect(verdict).toMatchObject({ kind: "refused", reason: expect.stringContaining("nothing is mounted at /mnt/disk") });
  }
});

it("adopts an empty disk, and one that is mounted where none was", () => {
  expect(recognise(PATH, inspection("/mnt/disk"), ["lost+found"], remembered)).toEqual({ kind: "unmarked", uuid: null });
  const bare = { ...known, remembered: { uuid: "mine", mountPoint: "/" } };
  expect(recognise(PATH, inspection("/mnt/disk"), [], bare)).toEqual({ kind: "unmarked", uuid: null });
});

it("gives recordings that have lost their marker the one they had", () => {
  expect(recognise(PATH, inspection("/mnt/disk"), ["EZ1_1"], remembered)).toEqual({ kind: "unmarked", uuid: "mine" });
  expect(recognise(PATH, inspection("/mnt/disk"), ["EZ1_1", "EZ2_1"], known)).toEqual({ kind: "unmarked", uuid: null });
});
