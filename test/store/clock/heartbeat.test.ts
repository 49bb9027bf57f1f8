import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Heartbeat } from "../../../src/base/clock-watch.ts";
import { silentLogger } from "../../../src/base/log.ts";
import { HEARTBEAT_FILE, HeartbeatFile } from "../../../src/store/clock/heartbeat.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "easyrms-heartbeat-"));
});
afterEach(() => rm(folder, { recursive: true }));

const beat = (utcMs: number): Heartbeat => ({
  boot: "0f0e0d0c-0b0a-4908-8706-050403020100",
  monoMs: 12_345.678,
  utcMs,
  hostUtcMs: utcMs + 0.25,
  trusted: false,
  knownUtcMs: 0,
  hostSet: false,
  untrustedSinceUtcMs: utcMs - 5,
  shiftMs: 0,
});

/** A process that leaves these heartbeats. */
async function leave(...utcMs: number[]): Promise<HeartbeatFile> {
  const file = await HeartbeatFile.open(folder, silentLogger);
  for (const at of utcMs) {
    file.beat(beat(at));
    await file.settled();
  }
  await file.close();
  return file;
}

it("is what the process before left last", async () => {
  expect((await leave()).last).toBeNull();
  expect((await leave(1, 2, 3)).last).toBeNull();
  expect((await leave(4)).last).toEqual(beat(3));
  expect((await leave()).last).toEqual(beat(4));
  const { size, mode } = await stat(join(folder, HEARTBEAT_FILE));
  expect([size, mode & 0o777]).toEqual([1024, 0o600]);
});

it("is the one before where the newest is torn, at every byte", async () => {
  await leave(1, 2, 3);
  const path = join(folder, HEARTBEAT_FILE);
  const whole = await readFile(path);
  const newest = 512;
  const length = whole.subarray(newest).toString("utf8").trimEnd().length;
  for (let cut = 0; cut < length; cut += 7) {
    const torn = Buffer.from(whole);
    torn.fill(0, newest + cut, newest + 512);
    await writeFile(path, torn);
    expect((await HeartbeatFile.open(folder, silentLogger)).last).toEqual(beat(2));
  }
  await writeFile(path, whole.subarray(0, 700));
  expect((await HeartbeatFile.open(folder, silentLogger)).last).toEqual(beat(2));
  await writeFile(path, "nothing of ours");
  expect((await leave(9)).last).toBeNull();
  expect((await leave()).last).toEqual(beat(9));
});

it("a disk that refuses is said once and tried again", async () => {
  const said: string[] = [];
  const log = { ...silentLogger, error: (event: string) => void said.push(event) };
  await rm(folder, { recursive: true });
  const file = await HeartbeatFile.open(folder, log);
  for (const at of [1, 2]) {
    file.beat(beat(at));
    await file.settled();
  }
  expect(said).toEqual(["heartbeat.failed"]);
  await mkdir(folder);
  file.beat(beat(3));
  await file.close();
  expect((await HeartbeatFile.open(folder, silentLogger)).last).toEqual(beat(3));
});
