import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { lockFolder } from "../../src/store/lock.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "easyrms-lock-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Another process that holds the lock until it is killed. */
async function holder(): Promise<{ pid: number; kill(): Promise<void> }> {
  const lock = new URL("../../src/store/lock.ts", import.meta.url).pathname;
  const program = `const { lockFolder } = await import(${JSON.stringify(lock)});
    globalThis.held = await lockFolder(${JSON.stringify(folder)}); console.log("held"); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  await Promise.race([
    once(child.stdout, "data"),
    exited.then(() => {
      throw new Error("the holder ended early");
    }),
  ]);
  return {
    pid: child.pid ?? 0,
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

it("refuses a second process, naming the first, and is gone with it", async () => {
  const other = await holder();
  try {
    await expect(lockFolder(folder)).rejects.toMatchObject({ code: "ROOT_LOCKED", context: { folder, pid: other.pid } });
    // Having been refused must not have dropped the other's lock.
    await expect(lockFolder(folder)).rejects.toThrow(`process ${other.pid}`);
  } finally {
    await other.kill();
  }
  const lock = await lockFolder(folder);
  expect((await stat(join(folder, ".easyrms-lock"))).size).toBe(0);
  await lock.release();
});

it("refuses the same process too, and leaves the lock in place", async () => {
  const lock = await lockFolder(folder);
  for (let attempt = 0; attempt < 2; attempt += 1) {
    await expect(lockFolder(folder)).rejects.toMatchObject({ code: "ROOT_LOCKED", context: { pid: process.pid } });
  }
  await lock.release();
  await (await lockFolder(folder)).release();
});

it("says what is wrong with a folder that cannot be locked", async () => {
  await expect(lockFolder(join(folder, "absent"))).rejects.toMatchObject({ code: "ROOT_UNAVAILABLE" });
});
