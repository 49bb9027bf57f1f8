import { expect, it } from "vitest";
import { Alarms } from "../../src/base/alarms.ts";
import type { Logger } from "../../src/base/log.ts";
import { SimulatedClock } from "../fakes/clock.ts";

function alarms() {
  const clock = new SimulatedClock();
  const said: unknown[][] = [];
  const note = (event: string, fields = {}) => void said.push([event, fields]);
  const log: Logger = { debug: note, info: note, warn: note, error: note, with: () => log };
  return { clock, said, alarms: new Alarms(clock, log) };
}

it("stands from the first raise to the clear, and is said once", async () => {
  const { clock, said, alarms: all } = alarms();
  all.raise("disk-fault", "/a", "append failed");
  const since = clock.utcMs();
  await clock.advance(1000);
  all.raise("disk-full", "/b", "no room");
  all.raise("disk-fault", "/a", "sync failed");
  expect(all.list()).toMatchObject([
    { code: "disk-fault", subject: "/a", detail: "sync failed", sinceUtcMs: since },
    { code: "disk-full", subject: "/b", sinceUtcMs: since + 1000 },
  ]);
  all.clear("disk-fault", "/a");
  all.clear("disk-fault", "/a");
  all.clear("disk-fault", "/b");
  expect(all.list()).toHaveLength(1);
  expect(said.map(([event]) => event)).toEqual(["alarm.raised", "alarm.raised", "alarm.cleared"]);
});

it("is bounded", () => {
  const { alarms: all } = alarms();
  for (let at = 0; at < 1000; at += 1) all.raise("media-dropped", `camera-${at}`, "");
  expect(all.list()).toHaveLength(256);
});
