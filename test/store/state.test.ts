import { stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { DesiredCamera } from "../../src/config/types.ts";
import { TestBox } from "./box.ts";

let box: TestBox;
const camera = (id: string, channel: number): DesiredCamera => ({
  id,
  channel,
  url: "rtsp://camera.test/1",
  subUrl: null,
  username: "admin",
  transport: "auto",
  record: true,
});

beforeEach(async () => {
  box = await TestBox.create();
  await box.start();
});
afterEach(() => box.remove());

it("begins empty, at revision 0", async () => {
  expect(await box.store.read()).toEqual({ document: { revision: 0, cameras: [] }, passwords: new Map() });
});

it("keeps document and passwords over a restart, and forgets passwords with their cameras", async () => {
  const cameras = [camera("gate", 1), camera("yard", 2)];
  expect(
    await box.store.write(
      cameras,
      new Map([
        ["gate", "one"],
        ["yard", "two"],
        ["gone", "three"],
      ]),
      0,
    ),
  ).toBe(1);
  await box.restart();
  const both = new Map([
    ["gate", "one"],
    ["yard", "two"],
  ]);
  expect(await box.store.read()).toEqual({ document: { revision: 1, cameras }, passwords: both });
  await box.store.write(
    cameras,
    new Map([
      ["gate", null],
      ["yard", "new"],
    ]),
    1,
  );
  expect((await box.store.read()).passwords).toEqual(new Map([["yard", "new"]]));
  await box.store.write([camera("gate", 1)], new Map(), 2);
  expect(await box.store.read()).toEqual({ document: { revision: 3, cameras: [camera("gate", 1)] }, passwords: new Map() });
});

it("lets only one of two writers of the same revision through, the other changes nothing", async () => {
  const results = await Promise.allSettled([
    box.store.write([camera("gate", 1)], new Map([["gate", "one"]]), 0),
    box.store.write([camera("yard", 2)], new Map([["yard", "two"]]), 0),
  ]);
  expect(results).toMatchObject([{ value: 1 }, { reason: { code: "CONFLICT", context: { observed: 1, expected: 0 } } }]);
  const { document, passwords } = await box.store.read();
  expect([document.cameras.map(({ id }) => id), [...passwords.keys()]]).toEqual([["gate"], ["gate"]]);
});

it("is closed to others, WAL and shared memory included", async () => {
  await box.store.write([camera("gate", 1)], new Map([["gate", "secret"]]), 0);
  for (const file of ["state.db", "state.db-wal", "state.db-shm", "catalog.db"]) {
    expect((await stat(join(box.folder, "state", file))).mode & 0o777).toBe(0o600);
  }
});

it("a second store on the same folders is refused", async () => {
  await expect(box.open()).rejects.toMatchObject({ code: "ROOT_LOCKED" });
  expect((await box.store.read()).document.revision).toBe(0);
});

it("a folder that cannot be made is named", async () => {
  const path = join(box.folder, "file", "state");
  await writeFile(join(box.folder, "file"), "");
  await expect(box.open({ stateDir: path })).rejects.toMatchObject({ code: "ROOT_UNAVAILABLE", message: expect.stringContaining(path) });
});
