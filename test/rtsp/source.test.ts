import { describe, expect, it } from "vitest";
import type { Logger } from "../../src/base/log.ts";
import { silentLogger } from "../../src/base/log.ts";
import { Accounts } from "../../src/rtsp/accounts.ts";
import { connectTimeoutMs, retryPauseMs } from "../../src/rtsp/backoff.ts";
import { StreamSource, type StreamSourceOptions } from "../../src/rtsp/source.ts";
import type { SourceState } from "../../src/rtsp/types.ts";
import { SimulatedClock } from "../fakes/clock.ts";
import { FakeTransport } from "../fakes/rtsp-transport.ts";
import { camera } from "./scripted-camera.ts";

const MINUTE_MS = 60_000;
const ENDPOINT = { url: "rtsp://10.0.0.5/live", username: "admin", password: "s3cret" };

function begin(server: FakeTransport["server"], more: Partial<StreamSourceOptions> = {}, clock = new SimulatedClock()) {
  const transport = new FakeTransport(clock, server);
  const states: SourceState[] = [];
  const source = new StreamSource({
    endpoint: ENDPOINT,
    transport,
    resolve: async () => [],
    clock,
    log: silentLogger,
    random: () => 0,
    onState: (state) => states.push(state),
    ...more,
  });
  source.start();
  return { source, transport, clock, states };
}

const words = (states: readonly SourceState[]): string[] => states.map(({ state }) => state);

describe("pauses", () => {
  it("grow with the outage from 0.5 s to 30 s and are only ever shortened at random", () => {
    expect([0, 20_000, 60_000, 600_000, 1_200_000, 86_400_000].map((outage) => retryPauseMs(outage, 0))).toEqual([
      500, 500, 1500, 15_000, 30_000, 30_000,
    ]);
    expect(retryPauseMs(0, 0.999)).toBe(350);
    expect(retryPauseMs(86_400_000, 0.999)).toBe(21_009);
  });

  it("leave a young outage no connection attempt that outlasts the camera's return", () => {
    expect(connectTimeoutMs(0)).toBe(2000);
    expect(connectTimeoutMs(120_000)).toBe(5000);
  });
});

describe("StreamSource", () => {
  it("goes from idle over connecting to playing, and back with stop", async () => {
    const { source, clock, states, transport } = begin(camera().script);
    expect(source.state).toEqual({ state: "connecting", attempt: 1 });
    await clock.advance(1000);
    expect(source.state).toEqual({ state: "playing", warnings: [] });
    await source.stop();
    await source.stop();
    expect(words(states)).toEqual(["connecting", "playing", "idle"]);
    expect(transport.connection.lastText).toMatch(/^TEARDOWN/);
    expect(clock.pendingTimers).toBe(0);
  });

  it("never gives up: a day of refused connections, at most 30 s apart, then plays", async () => {
    const { source, clock, transport, states } = begin("refused");
    await clock.advance(24 * 60 * MINUTE_MS);
    const times = transport.connects.map(({ atMonoMs }) => atMonoMs);
    const pauses = times.slice(1).map((at, index) => at - (times[index] ?? 0));
    expect(pauses.slice(0, 3)).toEqual([500, 500, 500]);
    expect(Math.max(...pauses)).toBe(30_000);
    expect(pauses.every((pause, index) => pause >= (pauses[index - 1] ?? 0))).toBe(true);
    const last = states.at(-1);
    expect(last).toMatchObject({ state: "waiting", attempt: times.length, end: { cause: "camera-unreachable", code: "refused" } });
    expect(last?.state === "waiting" && last.retryAtUtcMs - clock.utcMs()).toBeLessThanOrEqual(30_000);
    transport.server = camera().script;
    await clock.advance(31_000);
    expect(source.state.state).toBe("playing");
    await source.stop();
  });

  it.each(["refused", "unreachable", "hang"] as const)(
    "records again within 2 s of the return from a reboot (%s meanwhile)",
    async (outage) => {
      const waits: number[] = [];
      for (let outageMs = 1000; outageMs <= 61_000; outageMs += 3700) {
        const { source, clock, transport } = begin(camera().script);
        await clock.advance(20_000);
        transport.server = outage;
        transport.connection.drop("reset");
        await clock.advance(outageMs);
        transport.server = camera().script;
        const returned = clock.monoMs();
        while (source.state.state !== "playing") await clock.advance(50);
        waits.push(clock.monoMs() - returned);
        await source.stop();
      }
      // The kernel repeats a lost SYN after 1 s; the fake network does not, so an attempt under way is wasted whole.
      expect(Math.max(...waits)).toBeLessThanOrEqual(outage === "hang" ? 3600 : 2000);
    },
  );

  it("starts quickly again after media had flowed, and goes on growing when it had not", async () => {
    const { source, clock, transport, states } = begin("refused");
    await clock.advance(20 * MINUTE_MS);
    transport.server = camera().script;
    await clock.advance(30_000);
    expect(source.state.state).toBe("playing");
    await clock.advance(12_000);
    transport.server = "refused";
    transport.connection.drop("reset");
    await clock.advance(0);
    expect(states.at(-1)).toMatchObject({ state: "waiting", end: { code: "reset" } });
    expect(clock.nextTimerMs).toBe(500);
    await clock.advance(500);
    expect(states.findLast(({ state }) => state === "connecting")).toEqual({ state: "connecting", attempt: 1 });
    await source.stop();

    const flapping = begin(camera({ media: false }).script);
    await flapping.clock.advance(30 * MINUTE_MS);
    expect(flapping.states.findLast(({ state }) => state === "waiting")).toMatchObject({ end: { cause: "no-media" } });
    expect(words(flapping.states)).not.toContain("playing");
    expect(flapping.transport.connects.length).toBeLessThan(150);
    await flapping.source.stop();
  });

  it("retries refused credentials after 5, 10, 20, 30, 30 minutes", async () => {
    const device = camera({ credentials: { username: "admin", password: "other" } });
    const { source, clock, states } = begin(device.script);
    const tries: number[] = [];
    for (let minute = 0; minute < 100; minute++) {
      await clock.advance(MINUTE_MS);
      if (device.tries.count > tries.length) tries.push(minute + 1);
    }
    expect(tries).toEqual([1, 5, 15, 35, 65, 95]);
    expect(states.find(({ state }) => state === "waiting")).toMatchObject({ end: { cause: "auth-refused", code: "bad-password" } });
    expect(JSON.stringify(states)).not.toContain("s3cret");
    device.password = "s3cret";
    await clock.advance(31 * MINUTE_MS);
    expect(source.state.state).toBe("playing");
    await source.stop();
  });

  it("spends one try of a wrong password on a recorder box with 32 streams", async () => {
    const device = camera({ credentials: { username: "admin", password: "other" } });
    const clock = new SimulatedClock();
    const accounts = new Accounts(clock);
    const all = Array.from({ length: 32 }, (_, channel) =>
      begin(device.script, { accounts, random: Math.random, endpoint: { ...ENDPOINT, url: `rtsp://10.0.0.5/ch${channel}` } }, clock),
    );
    await clock.advance(MINUTE_MS);
    expect(device.tries.count).toBe(1);
    for (const { source } of all) expect(source.state).toMatchObject({ state: "waiting", end: { code: "bad-password" } });
    await clock.advance(5 * MINUTE_MS);
    expect(device.tries.count).toBe(2);
    device.password = "s3cret";
    await clock.advance(11 * MINUTE_MS);
    for (const { source } of all) expect(source.state.state).toBe("playing");
    expect(device.tries.refused).toBe(2);
    await Promise.all(all.map(({ source }) => source.stop()));
  });

  it("asks a camera that forbids only once a minute", async () => {
    const { source, clock, transport } = begin(camera({ answer: () => "403 Forbidden\r\n\r\n" }).script);
    await clock.advance(10 * MINUTE_MS);
    expect(transport.connects.length).toBeLessThanOrEqual(11);
    await source.stop();
  });

  it("records without sound after a camera broke down over it, and asks again after the next session", async () => {
    let broken = true;
    const device = camera({
      answer: ({ method, url }) => (broken && method === "SETUP" && url.endsWith("track2") ? { drop: "reset" } : undefined),
    });
    const { source, clock, transport, states } = begin(device.script);
    await clock.advance(20_000);
    expect(states.at(-1)).toMatchObject({ state: "playing", warnings: [expect.stringMatching(/sound is not recorded/)] });
    broken = false;
    transport.connection.drop("reset");
    await clock.advance(20_000);
    expect(states.at(-1)).toEqual({ state: "playing", warnings: [] });
    await source.stop();
  });

  it("names a URL nobody can play", async () => {
    const { source, clock, states } = begin("hang", { endpoint: { ...ENDPOINT, url: "rtsps://admin:s3cret@x/" } });
    await clock.advance(1000);
    expect(states[1]).toMatchObject({ state: "waiting", end: { cause: "stream-fault", code: "bad-url" } });
    expect(JSON.stringify(states)).not.toContain("s3cret");
    await source.stop();
  });

  it("stops at once while waiting", async () => {
    const { source, clock } = begin("refused");
    await clock.advance(10 * MINUTE_MS);
    expect(source.state.state).toBe("waiting");
    await source.stop();
    expect(source.state).toEqual({ state: "idle" });
    expect(clock.pendingTimers).toBe(0);
  });

  it("logs the same end once in ten minutes, a new one at once", async () => {
    const lines: unknown[] = [];
    const log: Logger = { ...silentLogger, warn: (event, fields) => lines.push([event, fields?.["code"]]) };
    const { source, clock, transport } = begin("refused", { log });
    await clock.advance(9 * MINUTE_MS);
    expect(lines).toEqual([["session.ended", "refused"]]);
    transport.server = "unreachable";
    await clock.advance(MINUTE_MS);
    expect(lines).toHaveLength(2);
    await clock.advance(15 * MINUTE_MS);
    expect(lines).toHaveLength(3);
    await source.stop();
  });

  it("logs two ends that take turns no more often", async () => {
    const lines: unknown[] = [];
    const log: Logger = { ...silentLogger, warn: (event, fields) => lines.push([event, fields?.["code"]]) };
    const { source, clock, transport } = begin("refused", { log });
    for (let turn = 0; turn < 9; turn++) {
      transport.server = turn % 2 === 0 ? "unreachable" : "refused";
      await clock.advance(MINUTE_MS);
    }
    expect(lines).toEqual([
      ["session.ended", "refused"],
      ["session.ended", "unreachable"],
    ]);
    await source.stop();
  });
});
