import { describe, expect, it } from "vitest";
import { silentLogger } from "../../src/base/log.ts";
import type { ConnectionHandlers, EngineStream, StreamHandlers } from "../../src/engine/engine.ts";
import type { TrackDescription } from "../../src/media/types.ts";
import { probeCamera } from "../../src/recording/probe.ts";
import { SimulatedClock, settle } from "../fakes/clock.ts";
import { FakeConnection } from "../fakes/rtsp-transport.ts";
import { type CameraSettings, camera, fixture } from "../rtsp/scripted-camera.ts";

const TRACKS: readonly TrackDescription[] = [
  { kind: "video", codec: "h264", clockRateHz: 90_000, channels: 0, width: 1920, height: 1080 },
  { kind: "audio", codec: "aac", clockRateHz: 16_000, channels: 1, width: null, height: null },
];

interface Sent {
  /** Frames a second that arrive, and that the timestamps claim. */
  readonly fps: number;
  readonly stampedFps: number;
  readonly gopMs: number;
  readonly videoBps: number;
  readonly audioBps: number;
  readonly extra?: Readonly<Record<string, number>>;
  /** Arrival jitter of a frame, ms. */
  readonly jitterMs?: (frame: number) => number;
}

const STEADY: Sent = { fps: 25, stampedFps: 25, gopMs: 2000, videoBps: 4_000_000, audioBps: 32_000 };

/** An engine with one stream whose counters follow from what the camera "sends" once PLAY was called. */
function fakeEngine(clock: SimulatedClock, settings: CameraSettings, sent: Sent) {
  const closed: number[] = [];
  let playedMonoMs: number | null = null;
  let connection: FakeConnection | null = null;
  const numbers = (): Record<string, number> => {
    const elapsedMs = playedMonoMs === null || settings.media === false ? 0 : clock.monoMs() - playedMonoMs;
    if (elapsedMs <= 0) return {};
    const frames = Math.floor((elapsedMs * sent.fps) / 1000) + 1;
    const gops = Math.floor(elapsedMs / sent.gopMs) + 1;
    const arrivalMs = (playedMonoMs ?? 0) + ((frames - 1) * 1000) / sent.fps + (sent.jitterMs?.(frames) ?? 0);
    return {
      video_units: frames,
      audio_units: sent.audioBps > 0 ? frames : 0,
      random_access_units: gops,
      last_gop_ticks: gops > 1 ? sent.gopMs * 90 : 0,
      video_bytes: (elapsedMs * sent.videoBps) / 8000,
      audio_bytes: (elapsedMs * sent.audioBps) / 8000,
      last_video_ticks: ((frames - 1) * 90_000) / sent.stampedFps,
      last_video_arrival_us: arrivalMs * 1000,
      last_media_mono_ms: clock.monoMs(),
      ...sent.extra,
    };
  };
  const openStream = (_: unknown, handlers: StreamHandlers): EngineStream => ({
    id: 1,
    connect(_address, _port, _timeoutMs, up: ConnectionHandlers) {
      const now = new FakeConnection(camera(settings).script, up, clock);
      connection = now;
      queueMicrotask(() => up.onConnected());
      return {
        send: (text) => now.send(text),
        play: (tracks) => {
          now.play(tracks);
          playedMonoMs = clock.monoMs();
          if (settings.media === false) return;
          handlers.onMedia({ kind: "media", connection: 1, stream: 1, tracks: TRACKS, startUtcMs: 0 });
        },
        keepalive: (...call) => now.keepalive(...call),
        disconnect: (text) => now.disconnect(text),
      };
    },
    ticket() {},
    stopRecording() {},
    tap: () => ({ nextSequence: 0, lapped: false, init: new Uint8Array(), fragments: [] }),
    numbers,
    close: () => closed.push(1),
  });
  return { openStream, closed, connection: () => connection };
}

function probe(settings: CameraSettings, sent: Sent = STEADY, watchMs = 20_000) {
  const clock = new SimulatedClock();
  const engine = fakeEngine(clock, settings, sent);
  const abort = new AbortController();
  const report = probeCamera({
    engine,
    endpoint: { url: "rtsp://10.0.0.5/live", username: "admin", password: "s3cret" },
    resolve: async () => [],
    clock,
    log: silentLogger,
    transport: "auto",
    watchMs,
    signal: abort.signal,
  });
  return { report, clock, engine, abort };
}

async function reportOf(settings: CameraSettings, sent?: Partial<Sent>, watchMs = 20_000) {
  const { report, clock, engine } = probe(settings, { ...STEADY, ...sent }, watchMs);
  await clock.advance(watchMs + 2000);
  const result = await report;
  expect(engine.closed).toHaveLength(1);
  expect(engine.connection()?.lastText).toMatch(/^TEARDOWN/);
  expect(clock.pendingTimers).toBe(0);
  return result;
}

const DAHUA: CameraSettings = { sdp: fixture("dahua-style_relative-control") };

describe("probeCamera", () => {
  it("says what a good camera sends, and finds nothing wrong", async () => {
    const report = await reportOf(DAHUA);
    expect(report).toMatchObject({
      url: "rtsp://10.0.0.5/live",
      server: "Scripted/1.0",
      watchedMs: 20_000,
      declaredFramesPerSecond: 25,
      measuredFramesPerSecond: 25,
      keyFrameIntervalMs: 2000,
      lostPackets: 0,
      findings: [],
    });
    expect(report.videoBitsPerSecond).toBeCloseTo(4_000_000, -3);
    expect(report.audioBitsPerSecond).toBeCloseTo(32_000, -2);
    expect(report.tracks).toEqual([
      { ...TRACKS[0], payloadType: 96, supported: true, encodingName: "H264" },
      { ...TRACKS[1], payloadType: 97, supported: true, encodingName: "MPEG4-GENERIC" },
    ]);
  });

  it("finds coarse key frames and a frame rate that is not the declared one", async () => {
    const { findings, measuredFramesPerSecond } = await reportOf(DAHUA, { fps: 21, gopMs: 10_000 });
    expect(measuredFramesPerSecond).toBeCloseTo(21, 1);
    expect(findings).toContain("key frame every 10 s: seeking will be coarse");
    expect(findings).toContain("declares 25 fps, sends 21");
    expect(findings).toContainEqual(expect.stringMatching(/media clock is 16 % slow/));
  });

  it("measures a clock through jitter, and says nothing when watched too short", async () => {
    const jitterMs = (frame: number): number => ((frame * 7919) % 50) + 5;
    const fast = await reportOf(DAHUA, { stampedFps: 25 / 1.01, jitterMs }, 60_000);
    expect(fast.clockDriftPpm).toBeGreaterThan(8500);
    expect(fast.clockDriftPpm).toBeLessThan(11_500);
    expect(fast.findings).toEqual([expect.stringMatching(/media clock is (0\.9|1|1\.1) % fast/)]);
    const steady = await reportOf(DAHUA, { jitterMs }, 60_000);
    expect(steady.clockDriftPpm ?? 0).toBeLessThan(1000);
    expect(steady.findings).toEqual([]);
    expect((await reportOf(DAHUA, { jitterMs }, 4000)).clockDriftPpm).toBeNull();
  });

  it("names codecs that are not recorded, silent sound, and what went wrong on the way", async () => {
    const g726 = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\nm=audio 0 RTP/AVP 97\r\na=rtpmap:97 G726-32/8000\r\n";
    const report = await reportOf({ sdp: g726 }, { extra: { lost_packets: 3, time_jumps: 1 } });
    expect(report.tracks[1]).toMatchObject({ supported: false, codec: null, encodingName: "G726-32" });
    expect(report.audioBitsPerSecond).toBeNull();
    expect(report.findings).toEqual([
      "sound is not recorded: its codec is G726-32, recorded are MPEG4-GENERIC (AAC), PCMA and PCMU",
      "lost 3 packets on the way",
      "the timestamps jumped 1 time",
    ]);
    expect((await reportOf(DAHUA, { audioBps: 0 })).findings).toEqual(["sound is declared, but none came"]);
  });

  it("says that no key frame came", async () => {
    const { findings, keyFrameIntervalMs } = await reportOf(DAHUA, { extra: { random_access_units: 0, last_gop_ticks: 0 } }, 8000);
    expect(keyFrameIntervalMs).toBeNull();
    expect(findings).toContain("no key frame came within 8 s: recording cannot begin before one");
  });

  it.each([
    ["without media", { media: false }, "CAMERA_NO_MEDIA"],
    ["with a wrong password", { credentials: { username: "admin", password: "other" } }, "CAMERA_AUTH_REFUSED"],
    ["without video", { sdp: "v=0\r\nm=audio 0 RTP/AVP 8\r\n" }, "CAMERA_STREAM_FAULT"],
  ] as const)("rejects a camera %s by name", async (_, settings, code) => {
    const { report, clock, engine } = probe(settings);
    const outcome = expect(report).rejects.toMatchObject({ code });
    await clock.advance(10_000);
    await outcome;
    expect(engine.closed).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it("ends at once when it is no longer wanted", async () => {
    const { report, clock, engine, abort } = probe(DAHUA);
    const outcome = expect(report).rejects.toThrow("enough");
    await clock.advance(3000);
    abort.abort(new Error("enough"));
    await settle();
    await outcome;
    expect(engine.closed).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it("refuses a URL that is none", async () => {
    const clock = new SimulatedClock();
    const engine = fakeEngine(clock, {}, STEADY);
    const options = {
      engine,
      resolve: async () => [],
      clock,
      log: silentLogger,
      transport: "tcp" as const,
      watchMs: 1,
      signal: new AbortController().signal,
    };
    await expect(probeCamera({ ...options, endpoint: { url: "rtsps://x/", username: null, password: null } })).rejects.toMatchObject({
      code: "INPUT_INVALID",
    });
    expect(engine.closed).toHaveLength(0);
  });
});
