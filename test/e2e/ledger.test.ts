import { afterEach, expect, it } from "vitest";
import type { LedgerItem } from "../../src/commands/ledger.ts";
import type { StateMs } from "../../src/ledger/types.ts";
import { startVirtualCamera, type VirtualCamera } from "../fakes/camera/camera.ts";
import { Box, sleepMs, until } from "./box.ts";
import { scan, segmentFiles } from "./segments.ts";

type Interval = Extract<LedgerItem, { kind: "interval" }>;

const running: { box: Box | null; camera: VirtualCamera | null } = { box: null, camera: null };
afterEach(async () => {
  await running.box?.end("SIGKILL");
  await running.camera?.stop();
});

/** Starts of fragments are drawn towards the arrival of their media, and each bound is rounded. */
const TOLERANCE_MS = 5;
const PICTURE_MS = 40;
/** How long each thing that is done to the box lasts. */
const WAIT_MS = 2500;

interface Run {
  readonly from: number;
  readonly to: number;
}

/** The stretches of media that the files of some channels hold, in order, by what the files say of themselves. */
async function recordedRuns(box: Box, channels: readonly number[]): Promise<Run[]> {
  const runs = new Map<string, Run>();
  for (const path of await segmentFiles(box.roots[0] ?? "")) {
    const { head, durationMs } = await scan(path);
    if (head === null || !channels.includes(head.channel)) continue;
    const [from, to] = [head.startUtcMs, head.startUtcMs + durationMs];
    const run = runs.get(head.run);
    runs.set(head.run, { from: Math.min(from, run?.from ?? from), to: Math.max(to, run?.to ?? to) });
  }
  return [...runs.values()].sort((a, b) => a.from - b.from);
}

function durable(box: Box, camera: string, count: number): Promise<true> {
  const from = box.log.length;
  const seen = () => box.log.slice(from).filter((line) => line.event === "fragment.durable" && line["camera"] === camera).length;
  return until(`${count} durable fragments of ${camera}`, async () => (seen() >= count ? true : null));
}

it("tells of an outage, a kill and a removal as they were, to the second, and the same in every zoom", async () => {
  const camera = await startVirtualCamera({ streams: ["gate", "yard"].map((name) => ({ name, video: "720p" as const })) });
  const box = await Box.create({ name: "ledger", segment: "3s", zone: "Asia/Kolkata" });
  Object.assign(running, { box, camera });
  await box.serve();
  for (const name of ["gate", "yard"]) await box.add(name, camera.url(name));
  await Promise.all([durable(box, "gate", 4), durable(box, "yard", 4)]);

  const outage = Date.now();
  const over = camera.inject("gate", { kind: "refused" });
  camera.inject("gate", { kind: "reset" });
  await sleepMs(WAIT_MS);
  over();
  await durable(box, "gate", 4);

  await box.end("SIGKILL");
  const killed = Date.now();
  await sleepMs(WAIT_MS);
  const started = Date.now();
  await box.serve();
  await Promise.all([durable(box, "gate", 4), durable(box, "yard", 4)]);

  const removed = Date.now();
  expect((await box.run("camera", "remove", "gate")).code).toBe(0);
  await sleepMs(WAIT_MS);
  const added = Date.now();
  await box.add("gate", camera.url("gate"));
  await durable(box, "gate", 4);

  const to = Date.now();
  const ask = (id: string, zoom: string) =>
    box.json<LedgerItem>("ledger", id, "--zoom", zoom, "--from", "-1h", "--to", new Date(to).toISOString());
  const exact = async (id: string) => (await ask(id, "exact")).filter((item) => item.kind === "interval");
  const gate = await exact("gate");
  const yard = await exact("yard");
  const causes = (items: readonly Interval[]) => items.map(({ state }) => state);
  const outages = ["camera-unreachable", "process-down", "not-planned"];
  expect(causes(gate)).toEqual(["not-planned", ...outages.flatMap((cause) => ["recorded", cause]), "recorded"]);
  expect(causes(yard)).toEqual(["not-planned", "recorded", "process-down", "recorded"]);

  // What each interval was, by what was done and by what the files hold.
  const within = (item: Interval | undefined, from: number, upTo: number) => {
    expect(item?.from).toBeLessThanOrEqual(from);
    expect(item?.to).toBeGreaterThanOrEqual(upTo);
  };
  const missing = gate.slice(1).filter(({ state }) => outages.includes(state));
  // The last picture that came is shown for its time.
  within(missing[0], outage + 2 * PICTURE_MS, outage + WAIT_MS);
  within(missing[1], killed, started);
  within(missing[2], removed + WAIT_MS / 2, added);
  // The camera that came back has a channel of its own, and is the same camera.
  for (const [items, channels] of [
    [gate, [1, 3]],
    [yard, [2]],
  ] as const) {
    const runs = await recordedRuns(box, channels);
    const recorded = items.filter(({ state }) => state === "recorded");
    expect(recorded).toHaveLength(runs.length);
    for (const [at, run] of runs.entries()) {
      expect(Math.abs((recorded[at]?.from ?? 0) - run.from)).toBeLessThanOrEqual(TOLERANCE_MS);
      // The last one goes on.
      if (at < runs.length - 1) expect(Math.abs((recorded[at]?.to ?? 0) - run.to)).toBeLessThanOrEqual(TOLERANCE_MS);
    }
    expect(items.at(-1)?.to).toBe(to);
  }

  const totals: StateMs[] = [];
  for (const zoom of ["exact", "1s", "1m", "1h", "1d"]) {
    const items = await ask("gate", zoom);
    const total = items.find((item) => item.kind === "total");
    const states = { ...total?.states };
    // Days and hours begin with the one of the first trace, not with the range.
    delete states["not-planned"];
    totals.push(states);
    const share = (total?.recordedMs ?? 0) / (total?.plannedMs ?? 0);
    expect(Math.abs((total?.share ?? 0) - share)).toBeLessThanOrEqual(1e-6);
  }
  expect(totals).toEqual(totals.map(() => totals[0]));
  expect(totals[0]?.recorded).toBe(gate.filter(({ state }) => state === "recorded").reduce((sum, item) => sum + item.to - item.from, 0));
  expect((await box.run("ledger")).stdout).toMatch(/^gate +main +\d{4}-\d\d-\d\d +\d\d\.\d\d % .*process-down \d/m);
}, 120_000);
