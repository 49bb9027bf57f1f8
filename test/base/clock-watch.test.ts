import { beforeEach, describe, expect, it } from "vitest";
import { type ClockMove, ClockWatch, type ClockWatchOptions, type Heartbeat, STAND_MS } from "../../src/base/clock-watch.ts";
import { silentLogger } from "../../src/base/log.ts";
import { SimulatedClock, SimulatedHost } from "../fakes/clock.ts";

const NOW = Date.UTC(2026, 10, 28, 20);
const HOUR = 3_600_000;
const YEAR = 365 * 24 * HOUR;

let time: SimulatedClock;
let host: SimulatedHost;
let alarm: string | null;
let moves: ClockMove[];
let beats: Heartbeat[];

beforeEach(() => {
  time = new SimulatedClock(0);
  host = new SimulatedHost(time, NOW);
  alarm = null;
  moves = [];
  beats = [];
});

function watching(changes: Partial<ClockWatchOptions> = {}, newestUtcMs = 0): ClockWatch {
  return new ClockWatch(
    {
      wall: host,
      clock: host.clock,
      boot: "boot-1",
      rtc: false,
      trust: "auto",
      last: beats.at(-1) ?? null,
      beat: (beat) => void beats.push(beat),
      alarms: {
        raise: (_code, _subject, detail) => {
          alarm = detail;
        },
        clear: () => {
          alarm = null;
        },
      },
      log: silentLogger,
      ...changes,
    },
    newestUtcMs,
  );
}

async function started(changes: Partial<ClockWatchOptions> = {}, newestUtcMs = 0): Promise<ClockWatch> {
  const watch = watching(changes, newestUtcMs);
  await watch.follow({ prepare: async ({ recorded }) => recorded?.byMs ?? 0, moved: async (move) => void moves.push(move) });
  await watch.start();
  return watch;
}

/** How far the wall clock is from the host's. */
const awayMs = () => host.utcMs() - Math.floor(host.host().utcMs);

describe("what is believed at the start", () => {
  it.each<[string, Partial<ClockWatchOptions>, boolean, number, boolean]>([
    ["nothing speaks for it", {}, false, NOW, false],
    ["an RTC", { rtc: true }, false, NOW, true],
    ["synchronised", {}, true, NOW, true],
    ["the configuration vouches for it", { trust: "always" }, false, NOW, true],
    ["an RTC that lost its time", { rtc: true }, false, Date.UTC(2000), false],
    ["1970, whoever vouches for it", { trust: "always", rtc: true }, true, 60_000, false],
  ])("%s", async (_case, changes, synchronised, utcMs, trusted) => {
    host.setHost(utcMs);
    host.synchronised = synchronised;
    const watch = await started(changes);
    expect(watch.trusted).toBe(trusted);
    expect(alarm === null).toBe(trusted);
    expect(awayMs()).toBe(0);
    await watch.stop();
    expect(time.pendingTimers).toBe(0);
  });

  it("an RTC that is behind the last heartbeat is not, unless it is synchronised", async () => {
    await (await started({ rtc: true })).stop();
    host.reboot(NOW - HOUR);
    const watch = await started({ rtc: true, boot: "boot-2" });
    expect(watch.trusted).toBe(false);
    expect(host.utcMs()).toBeGreaterThan(NOW);
    expect(alarm).toContain("is before");
    host.synchronised = true;
    await time.advance(1000);
    expect(watch.trusted).toBe(true);
    await watch.stop();
  });
});

describe("a clock that was never trusted", () => {
  it("goes on from the heartbeat, and behind what was recorded since", async () => {
    const first = await started({ trust: "always" });
    await time.advance(60_000);
    await first.stop();
    const lastUtcMs = host.utcMs();
    host.reboot(5000);
    const watch = watching({ boot: "boot-2" }, lastUtcMs - HOUR);
    expect(host.utcMs()).toBe(lastUtcMs + 10_000);
    watch.notBefore(lastUtcMs + 40_000);
    expect(host.utcMs()).toBe(lastUtcMs + 40_000);
    watch.notBefore(lastUtcMs);
    expect(host.utcMs()).toBe(lastUtcMs + 40_000);
  });

  it("moves at once to the first time that somebody sets, with what it recorded", async () => {
    host.setHost(60_000);
    const watch = await started();
    await time.advance(90_000);
    expect(watch.trusted).toBe(false);
    host.setHost(NOW);
    await time.advance(1000);
    expect(watch.trusted).toBe(true);
    expect(alarm).toBeNull();
    expect(host.steps).toBe(1);
    expect(awayMs()).toBe(0);
    const byMs = NOW - 150_000;
    expect(moves).toEqual([
      {
        fromUtcMs: 151_000,
        toUtcMs: NOW + 1000,
        fromOffsetMs: 30_000,
        toOffsetMs: 30_000 + byMs,
        recorded: { sinceUtcMs: 60_000, byMs },
      },
    ]);
    expect(beats.at(-1)).toMatchObject({ trusted: true, shiftMs: byMs, untrustedSinceUtcMs: null, knownUtcMs: NOW + 1000 });
    await watch.stop();
  });

  it("is only noted as right where it was", async () => {
    const watch = await started();
    await time.advance(5000);
    host.synchronised = true;
    await time.advance(1000);
    expect(watch.trusted).toBe(true);
    expect(host.steps).toBe(0);
    expect(moves).toHaveLength(1);
    expect(moves[0]?.toUtcMs).toBe(moves[0]?.fromUtcMs);
    await watch.stop();
  });

  it("stays where what must be durable first is not, and tries again", async () => {
    host.setHost(60_000);
    const watch = watching();
    let refusals = 2;
    await watch.follow({
      prepare: async ({ recorded }) => {
        refusals -= 1;
        if (refusals >= 0) throw new Error("disk");
        return recorded?.byMs ?? 0;
      },
      moved: async (move) => void moves.push(move),
    });
    await watch.start();
    host.setHost(NOW);
    await time.advance(2000);
    expect(watch.trusted).toBe(false);
    expect(beats.at(-1)).toMatchObject({ trusted: false, shiftMs: 0 });
    await time.advance(1000);
    expect(watch.trusted).toBe(true);
    expect(moves).toHaveLength(1);
    await watch.stop();
  });

  it("tells the next process of a move only once what was recorded has moved", async () => {
    host.setHost(60_000);
    let done = () => {};
    const watch = watching();
    await watch.follow({ prepare: async () => 7, moved: () => new Promise((resolve) => (done = resolve)) });
    await watch.start();
    host.setHost(NOW);
    await time.advance(5000);
    expect(watch.trusted).toBe(true);
    expect(beats.at(-1)).toMatchObject({ trusted: false, untrustedSinceUtcMs: 60_000, shiftMs: 0 });
    done();
    await time.advance(1000);
    expect(beats.at(-1)).toMatchObject({ trusted: true, untrustedSinceUtcMs: null, shiftMs: 7 });
    await watch.stop();
  });

  it("goes on over a restart of the process within the boot, and then the time comes", async () => {
    host.setHost(60_000);
    const first = await started();
    await time.advance(5000);
    await first.stop();
    await time.advance(20_000);
    const second = await started();
    expect(host.utcMs()).toBe(85_000);
    expect(second.trusted).toBe(false);
    await time.advance(1000);
    await second.stop();
    host.setHost(NOW);
    await time.advance(4000);
    const third = await started();
    expect(third.trusted).toBe(true);
    expect(host.utcMs()).toBe(NOW + 4000);
    expect(moves).toMatchObject([{ fromUtcMs: 90_000, toUtcMs: NOW + 4000, recorded: { sinceUtcMs: 60_000, byMs: NOW - 86_000 } }]);
    expect(beats.at(-1)).toMatchObject({ trusted: true, shiftMs: NOW - 86_000 });
    await third.stop();
    const fourth = await started();
    expect(moves).toHaveLength(1);
    await fourth.stop();
  });
});

describe("a trusted clock", () => {
  it.each([HOUR, -HOUR, 10 * YEAR])("believes a step by %i ms when it has stood for five minutes", async (stepMs) => {
    const watch = await started({ trust: "always" });
    await time.advance(10_000);
    host.setHost(host.host().utcMs + stepMs);
    await time.advance(STAND_MS);
    expect(awayMs()).toBe(-stepMs);
    await time.advance(1000);
    expect(awayMs()).toBe(0);
    expect(host.steps).toBe(1);
    expect(moves).toEqual([expect.objectContaining({ recorded: null })]);
    expect((moves[0]?.toUtcMs ?? 0) - (moves[0]?.fromUtcMs ?? 0)).toBe(stepMs);
    expect(beats.at(-1)?.shiftMs).toBe(0);
    await watch.stop();
  });

  it("forgets a step that is taken back, and waits anew for another", async () => {
    const watch = await started({ trust: "always" });
    host.setHost(host.host().utcMs + HOUR);
    await time.advance(200_000);
    host.setHost(host.host().utcMs - HOUR);
    await time.advance(STAND_MS + 2000);
    expect(moves).toEqual([]);
    host.setHost(host.host().utcMs + HOUR);
    await time.advance(200_000);
    host.setHost(host.host().utcMs + HOUR);
    await time.advance(200_000);
    expect(moves).toEqual([]);
    await watch.stop();
  });

  it.each([
    ["ten years back", -10 * YEAR, "always"],
    ["an hour back by itself", -HOUR, "auto"],
  ] as const)("does not follow the host %s, and says so", async (_case, stepMs, trust) => {
    const watch = await started({ trust, rtc: true });
    host.setHost(host.host().utcMs + stepMs);
    await time.advance(2 * STAND_MS);
    expect(awayMs()).toBe(-stepMs);
    expect(alarm).toContain("is not followed");
    expect(moves).toEqual([]);
    host.setHost(host.utcMs());
    await time.advance(1000);
    expect(alarm).toBeNull();
    await watch.stop();
  });

  it("follows drift without a step, however far it gets", async () => {
    const watch = await started({ trust: "always" });
    for (let hour = 0; hour < 12; hour += 1) {
      host.setHost(host.host().utcMs - 1500);
      await time.advance(1000);
    }
    expect(awayMs()).toBe(0);
    expect(host.steps).toBe(0);
    expect(moves).toEqual([]);
    await watch.stop();
  });

  it("waits for a step that came while the process was stopped as for any other", async () => {
    const first = await started({ trust: "always" });
    await time.advance(10_000);
    await first.stop();
    host.setHost(host.host().utcMs - HOUR);
    await time.advance(10_000);
    const second = await started({ trust: "always" });
    expect(host.utcMs()).toBe(NOW + 20_000);
    await time.advance(STAND_MS);
    expect(awayMs()).toBe(0);
    expect(moves).toHaveLength(1);
    await second.stop();
  });
});
