import { sleepMs } from "../../e2e/box.ts";
import type { Expectation } from "./judge.ts";
import type { Site, SiteOptions } from "./site.ts";

const HOUR_MS = 3_600_000;
const YEAR_MS = 365.25 * 24 * HOUR_MS;
const NOW = () => Date.now();
/** A host without RTC begins here. */
const EPOCH_MS = 1000;
/** ClockWatch believes a step of a trusted clock after five minutes; so long a case may take beside. */
const STANDS_MS = 330_000;

export interface ClockCase {
  readonly name: string;
  /** It waits for a step to have stood for minutes. */
  readonly long: boolean;
  readonly site: () => Omit<SiteOptions, "name">;
  /** Lets things happen; what must be true in the end. The service runs when it resolves. */
  run(site: Site): Promise<Expectation>;
}

async function begin(site: Site, seconds: number): Promise<void> {
  await site.serve();
  await site.addCamera();
  await site.record(seconds);
}

/** A step of a trusted clock: media before it keeps its times, media after it has those of the new clock. */
function step(name: string, site: ClockCase["site"], byMs: number, states: readonly string[]): ClockCase {
  return {
    name,
    long: true,
    site,
    async run(at) {
      const before = at.offsetMs;
      await begin(at, 10);
      const after = await at.set(Date.now() + before + byMs);
      await at.event("clock.moved", STANDS_MS);
      await at.record(8);
      return { offsetsMs: [before, after], states };
    },
  };
}

export const CLOCK_CASES: readonly ClockCase[] = [
  {
    name: "right clock, an outage of the camera, a kill",
    long: false,
    site: () => ({ utcMs: NOW() }),
    async run(site) {
      await begin(site, 6);
      await site.camera.ask({ fault: { kind: "refused" } });
      await site.camera.ask({ fault: { kind: "reset" } });
      await sleepMs(3000);
      await site.camera.ask({ clear: "refused" });
      await site.record(6);
      await site.box.end("SIGKILL");
      await sleepMs(2000);
      await site.serve();
      await site.record(6);
      return { offsetsMs: [site.offsetMs], states: ["recorded", "camera-unreachable", "recorded", "process-down", "recorded"] };
    },
  },
  {
    name: "no RTC: 1970, then the time arrives",
    long: false,
    site: () => ({ utcMs: EPOCH_MS, trust: "auto" }),
    async run(site) {
      await begin(site, 10);
      const offset = await site.set(NOW());
      await site.event("clock.moved", 20_000);
      await site.record(8);
      return { offsetsMs: [offset], states: ["recorded"] };
    },
  },
  {
    name: "no RTC: 1970, killed, then the time arrives",
    long: false,
    site: () => ({ utcMs: EPOCH_MS, trust: "auto" }),
    async run(site) {
      await begin(site, 6);
      await site.box.end("SIGKILL");
      await sleepMs(2000);
      await site.serve();
      await site.record(6);
      const offset = await site.set(NOW());
      await site.event("clock.moved", 20_000);
      await site.record(6);
      return { offsetsMs: [offset], states: ["recorded", "process-down", "recorded"] };
    },
  },
  {
    name: "no RTC: killed in 1970, started when the time is known",
    long: false,
    site: () => ({ utcMs: EPOCH_MS, trust: "auto" }),
    async run(site) {
      await begin(site, 6);
      await site.box.end("SIGKILL");
      const offset = await site.set(NOW());
      await sleepMs(1000);
      await site.serve();
      await site.record(8);
      return { offsetsMs: [offset], states: ["recorded", "process-down", "recorded"] };
    },
  },
  {
    name: "no RTC: power lost, 1970 again, then the time arrives",
    long: false,
    site: () => ({ utcMs: EPOCH_MS, trust: "auto" }),
    async run(site) {
      await begin(site, 6);
      const offset = await site.set(NOW());
      await site.event("clock.moved", 20_000);
      await site.record(6);
      await site.box.end("SIGKILL");
      await site.boot();
      await site.set(EPOCH_MS);
      // Longer than the newest heartbeat is taken to be behind: what comes next must not end up before it.
      await sleepMs(12_000);
      const from = site.box.log.length;
      await site.serve();
      await site.record(6);
      await site.set(Date.now() + offset);
      await site.box
        .next(({ event }) => event === "clock.moved", 20_000)
        .catch(async (error: unknown) => {
          if (!site.box.log.slice(from).some(({ event }) => event === "clock.moved")) throw error;
        });
      await site.record(6);
      return { offsetsMs: [offset, site.offsetMs], states: ["recorded", "power-lost", "recorded"] };
    },
  },
  {
    name: "a time that cannot be believed: ten years ago",
    long: false,
    site: () => ({ utcMs: NOW(), trust: "always" }),
    async run(site) {
      const before = site.offsetMs;
      await begin(site, 6);
      await site.set(Date.UTC(2016, 0, 1));
      await site.record(10);
      return { offsetsMs: [before], states: ["recorded"] };
    },
  },
  {
    name: "a time that cannot be believed: an hour back without NTP",
    long: false,
    site: () => ({ utcMs: EPOCH_MS, trust: "auto" }),
    async run(site) {
      await begin(site, 4);
      const offset = await site.set(NOW());
      await site.event("clock.moved", 20_000);
      await site.record(4);
      await site.set(Date.now() - HOUR_MS);
      await site.record(8);
      return { offsetsMs: [offset], states: ["recorded"] };
    },
  },
  {
    name: "midnight of the site",
    long: false,
    site: () => ({ zone: "Asia/Shanghai", utcMs: Date.UTC(2026, 10, 28, 15, 59, 50) }),
    async run(site) {
      await begin(site, 20);
      return { offsetsMs: [site.offsetMs], states: ["recorded"] };
    },
  },
  {
    name: "daylight saving ends",
    long: false,
    site: () => ({ zone: "Europe/Berlin", utcMs: Date.UTC(2026, 9, 25, 0, 59, 50) }),
    async run(site) {
      await begin(site, 20);
      return { offsetsMs: [site.offsetMs], states: ["recorded"] };
    },
  },
  {
    name: "daylight saving ends: the same wall times twice",
    long: false,
    site: () => ({ zone: "Europe/Berlin", utcMs: Date.UTC(2026, 9, 25, 0, 30, 0) }),
    async run(site) {
      await begin(site, 8);
      const before = site.offsetMs;
      await site.box.end("SIGTERM");
      await site.boot();
      const after = await site.set(Date.UTC(2026, 9, 25, 1, 30, 0));
      await site.serve();
      await site.record(8);
      return { offsetsMs: [before, after], states: ["recorded", "process-down", "recorded"] };
    },
  },
  {
    name: "daylight saving begins",
    long: false,
    site: () => ({ zone: "Europe/Berlin", utcMs: Date.UTC(2027, 2, 28, 0, 59, 50) }),
    async run(site) {
      await begin(site, 20);
      return { offsetsMs: [site.offsetMs], states: ["recorded"] };
    },
  },
  step("an hour forward", () => ({ utcMs: NOW() }), HOUR_MS, ["recorded", "clock-step", "recorded"]),
  step("an hour back", () => ({ utcMs: NOW() }), -HOUR_MS, ["recorded"]),
  step("ten years forward", () => ({ utcMs: NOW() }), 10 * YEAR_MS, ["recorded", "clock-step", "recorded"]),
  step("ten years back", () => ({ utcMs: NOW() + 10 * YEAR_MS }), -10 * YEAR_MS, ["recorded"]),
  {
    name: "an hour forward while stopped",
    long: true,
    site: () => ({ utcMs: NOW() }),
    async run(site) {
      const before = site.offsetMs;
      await begin(site, 6);
      await site.box.end("SIGTERM");
      const after = await site.set(Date.now() + before + HOUR_MS);
      await sleepMs(2000);
      await site.serve();
      await site.event("clock.moved", STANDS_MS);
      await site.record(8);
      return { offsetsMs: [before, after], states: ["recorded", "process-down", "recorded", "clock-step", "recorded"] };
    },
  },
  {
    name: "the camera's clock shows nonsense for a frame, is set back by three seconds, then by an hour",
    long: false,
    site: () => ({ utcMs: NOW() }),
    async run(site) {
      await begin(site, 6);
      await site.camera.ask({ fault: { kind: "timestamp-jump", seconds: 86_400, frames: 1 } });
      await site.record(4);
      await site.camera.ask({ fault: { kind: "timestamp-jump", seconds: -3 } });
      await site.record(4);
      await site.camera.ask({ fault: { kind: "timestamp-jump", seconds: -3600 } });
      await site.record(4);
      return { offsetsMs: [site.offsetMs], states: ["recorded"] };
    },
  },
  {
    name: "the camera's clock 2 % fast, for four minutes",
    long: true,
    site: () => ({ utcMs: NOW(), driftPpm: 20_000 }),
    async run(site) {
      await begin(site, 240);
      return { offsetsMs: [site.offsetMs], states: ["recorded"] };
    },
  },
  {
    name: "the camera's clock 2 % slow, for four minutes",
    long: true,
    site: () => ({ utcMs: NOW(), driftPpm: -20_000 }),
    async run(site) {
      await begin(site, 240);
      return { offsetsMs: [site.offsetMs], states: ["recorded"] };
    },
  },
];
