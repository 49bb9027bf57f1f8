import { afterEach, expect, it } from "vitest";
import { RUN, SERIAL, TestBox } from "./box.ts";

let box: TestBox;
afterEach(() => box.remove());

const mp4 = async () => (await box.tree()).filter((file) => file.endsWith(".mp4")).map((file) => file.slice(SERIAL.length + 3));

it("segments of the repeated hour take the next free second, and check finds nothing", async () => {
  box = await TestBox.create("Europe/Berlin");
  await box.start();
  const first = Date.UTC(2026, 9, 25, 0, 30, 0);
  await box.record({ run: RUN, sequence: 0 }, first);
  await box.record({ run: RUN, sequence: 1 }, first + 3_600_000);
  expect(await mp4()).toEqual(["20261025/20261025023000-3000.mp4", "20261025/20261025023001-3000.mp4"]);
  expect(await box.findings()).toEqual([]);
});

it("a segment planned before midnight that starts after it is filed under the new day", async () => {
  box = await TestBox.create("Asia/Shanghai");
  await box.start();
  const midnight = Date.UTC(2026, 5, 1, 16);
  box.clock.stepUtc(midnight - 1000 - box.clock.utcMs());
  const plan = box.store.planSegment({ camera: "gate", stream: "main", channel: 1, name: `${SERIAL}_1` }, { run: RUN, sequence: 0 });
  expect(plan.path).toContain("/20260601/");
  expect(plan.midnightsUtcMs).toEqual([midnight, midnight + 86_400_000]);
  await box.record({ run: RUN, sequence: 0 }, midnight);
  expect(await mp4()).toEqual(["20260602/20260602000000-3000.mp4"]);
  expect(await box.findings()).toEqual([]);
});
