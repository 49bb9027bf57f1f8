import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { startVirtualCamera, type VirtualCamera } from "./camera/camera.ts";
import { RawClient } from "./camera/client.ts";
import type { AudioKind } from "./camera/clip.ts";
import type { Fault } from "./camera/faults.ts";
import type { VirtualCameraOptions } from "./camera/options.ts";
import { readStamp } from "./camera/stamp.ts";
import { continuityProblems, readRecording } from "./frames.ts";

const scratch = mkdtempSync(join(tmpdir(), "camera-test-"));
const cameras: VirtualCamera[] = [];
const clients: RawClient[] = [];

afterAll(async () => {
  for (const client of clients) client.close();
  for (const camera of cameras) await camera.stop();
  rmSync(scratch, { recursive: true });
});

async function start(options: VirtualCameraOptions = {}): Promise<VirtualCamera> {
  const camera = await startVirtualCamera(options);
  cameras.push(camera);
  return camera;
}

async function connect(camera: VirtualCamera, stream = "cam1"): Promise<RawClient> {
  const client = await new RawClient(`rtsp://127.0.0.1:${camera.port}/${stream}`).connect();
  clients.push(client);
  return client;
}

/** Runs a program; `output` has both streams. */
async function run(...command: string[]): Promise<{ readonly code: number; readonly output: string }> {
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  return { code, output: stdout + stderr };
}

const ffmpeg = (url: string, ...args: string[]) =>
  run("ffmpeg", "-nostdin", "-v", "warning", "-y", "-rtsp_transport", "tcp", "-i", url, ...args);

/** Stamps on a channel, `[number, …]` over loops. */
const pictures = (client: RawClient): number[] =>
  client.packets(0).flatMap((packet) => {
    const stamp = readStamp(packet.payload);
    return stamp === null ? [] : [stamp.loop * 1500 + stamp.frame];
  });

const inOrder = (numbers: readonly number[]): boolean => numbers.every((number, index) => number === (numbers[0] ?? 0) + index);

describe.concurrent("players", { timeout: 30_000 }, () => {
  it.each<[AudioKind, VirtualCameraOptions["streams"]]>([
    ["aac", [{ name: "cam1" }]],
    ["pcma", [{ name: "cam1", audio: "pcma", pacing: "spread", bitrateBps: 4_000_000 }]],
    ["pcmu", [{ name: "cam1", audio: "pcmu", parameterSets: "sdp-only" }]],
    ["none", [{ name: "cam1", audio: "none", parameterSets: "in-band-only", bitrateBps: 8_000_000 }]],
  ])("ffmpeg decodes video and %s without a word", async (_, streams = []) => {
    const camera = await start({ streams });
    expect(await ffmpeg(camera.url("cam1"), "-t", "2", "-f", "null", "-")).toEqual({ code: 0, output: "" });
  });

  it("ffprobe sees what the SDP declares", async () => {
    const camera = await start({ streams: [{ name: "cam1", video: "720p" }] });
    const entries = "stream=codec_name,width,height,r_frame_rate,sample_rate,channels";
    const { output } = await run(
      "ffprobe",
      "-v",
      "warning",
      "-rtsp_transport",
      "tcp",
      "-show_entries",
      entries,
      "-of",
      "csv=p=0",
      camera.url("cam1"),
    );
    expect(output).toBe("h264,1280,720,25/1\naac,32000,1,0/0\n");
  });

  it("GStreamer plays both tracks", async () => {
    const camera = await start({ streams: [{ name: "cam1", audio: "pcma" }] });
    const location = `location=${camera.url("cam1")}`;
    const video = "src. ! rtph264depay ! h264parse ! avdec_h264 ! fakesink name=v num-buffers=50".split(" ");
    const { code, output } = await run("gst-launch-1.0", "rtspsrc", "name=src", "protocols=tcp", location, ...video);
    expect(output).toContain("Got EOS");
    expect(code).toBe(0);
    const audio = "src. ! rtppcmadepay ! alawdec ! fakesink num-buffers=50".split(" ");
    expect((await run("gst-launch-1.0", "rtspsrc", "name=src", "protocols=tcp", location, ...audio)).output).toContain("Got EOS");
  });

  it.each<AudioKind>(["aac", "pcma", "pcmu"])("a recording with %s proves complete from the first key frame on", async (audio) => {
    const camera = await start({ streams: [{ name: "cam1", audio, bitrateBps: 1_000_000 }] });
    const file = join(scratch, `${audio}.mov`);
    expect((await ffmpeg(camera.url("cam1"), "-t", "4", "-c", "copy", file)).code).toBe(0);
    const recording = await readRecording(file, audio);
    expect(continuityProblems([recording], { firstFrame: 0 })).toEqual([]);
    expect(recording.frames.length).toBeGreaterThanOrEqual(99);
    expect(recording.frames.every((frame) => frame.variant === "1080p")).toBe(true);
    expect(Math.abs((recording.frames[0]?.sentUtcUs ?? 0) / 1000 - Date.now())).toBeLessThan(20_000);
  });

  it.each<AudioKind>(["aac", "pcma"])("time goes on over the end of the loop, %s too", async (audio) => {
    const camera = await start({ streams: [{ name: "cam1", audio, firstFrame: 1400 }] });
    const file = join(scratch, `seam-${audio}.mov`);
    expect((await ffmpeg(camera.url("cam1"), "-t", "6", "-c", "copy", file)).code).toBe(0);
    const recording = await readRecording(file, audio);
    expect(continuityProblems([recording], { firstFrame: 1400 })).toEqual([]);
    expect(recording.frames.at(-1)?.loop).toBe(1);
  });
});

describe("signalling", { timeout: 20_000 }, () => {
  it("answers the methods, and refuses what it does not offer", async () => {
    const camera = await start({ methods: ["OPTIONS", "DESCRIBE", "SETUP", "PLAY", "TEARDOWN"] });
    const client = await connect(camera);
    expect((await client.request("OPTIONS"))?.headers.get("public")).toEqual(["OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"]);
    expect((await client.request("GET_PARAMETER"))?.status).toBe(501);
    expect((await client.request("PLAY"))?.status).toBe(454);
    expect((await client.request("DESCRIBE", "-other"))?.status).toBe(404);
    expect((await client.request("SETUP", "/track1", ["Transport: RTP/AVP;unicast;client_port=5000-5001"]))?.status).toBe(461);
    expect(await client.play()).toBe(true);
    expect((await client.request("TEARDOWN"))?.status).toBe(200);
    expect(camera.clients("cam1")[0]?.requests.map(({ method, status }) => `${method} ${status}`)).toContain("TEARDOWN 200");
  });

  it("plays sound alone on the channels it is asked for", async () => {
    const camera = await start({ streams: [{ name: "cam1", audio: "pcmu", firstSequence: 65_530, firstTimestamp: 2 ** 32 - 320 }] });
    const client = await connect(camera);
    await client.request("SETUP", "/track2", ["Transport: RTP/AVP/TCP;unicast;interleaved=6-7"]);
    const play = await client.request("PLAY");
    expect(play?.headers.get("rtp-info")?.[0]).toMatch(/track2;seq=65530;rtptime=4294966976$/);
    await client.until(() => client.packets(6).length >= 10, 2000);
    expect([...new Set(client.frames.map((frame) => frame.channel))].sort()).toEqual([6, 7]);
    const packets = client.packets(6).slice(0, 10);
    expect(packets.map((packet) => packet.sequence)).toEqual([65530, 65531, 65532, 65533, 65534, 65535, 0, 1, 2, 3]);
    expect(packets.slice(0, 4).map((packet) => packet.timestamp)).toEqual([4294966976, 4294967136, 0, 160]);
  });

  it("sends sender reports at once and keeps the receiver's", async () => {
    const camera = await start({ streams: [{ name: "cam1", audio: "none" }] });
    const client = await connect(camera);
    await client.play();
    await client.until(() => client.packets(0).length > 10, 2000);
    const report = client.frames.find((frame) => frame.channel === 1)?.payload;
    const view = new DataView(report?.buffer ?? new ArrayBuffer(32));
    expect([view.getUint8(0), view.getUint8(1)]).toEqual([0x80, 200]);
    expect(view.getUint32(4)).toBe(client.packets(0)[0]?.ssrc);
    expect(view.getUint32(16)).toBe(client.packets(0)[0]?.timestamp);
    expect(Math.abs(view.getUint32(8) - 2_208_988_800 - Date.now() / 1000)).toBeLessThan(10);
    const rr = [0x81, 201, 0, 7, 0, 0, 0, 9, 0, 0, 0, 5, 64, 0xff, 0xff, 0xfe, 0, 1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 6];
    client.raw(Uint8Array.from([0x24, 1, 0, rr.length, ...rr]));
    await client.until(() => (camera.clients()[0]?.receiverReports.length ?? 0) > 0, 1000);
    expect(camera.clients()[0]?.receiverReports[0]).toMatchObject({
      ...{
        track: 1,
        ssrc: 5,
        fractionLost: 64,
        cumulativeLost: -2,
        highestSequence: 0x10002,
        jitterTicks: 3,
        lastSr: 4,
        delaySinceLastSr: 6,
      },
    });
  });

  it("drops a session that nobody keeps alive, with BYE", async () => {
    const camera = await start({ sessionTimeoutS: 1 });
    const [idle, kept] = [await connect(camera), await connect(camera)];
    await idle.play();
    await kept.play();
    for (let turn = 0; turn < 4; turn++) {
      await Bun.sleep(400);
      await kept.request("GET_PARAMETER");
    }
    expect([idle.closed, kept.closed]).toEqual(["end", "no"]);
    expect(camera.clients()[0]?.end).toBe("session-timeout");
    expect(idle.frames.at(-1)?.payload.at(-7)).toBe(203);
  });

  it("leaves out whole frames for a client that does not read, and only for that one", async () => {
    const camera = await start({ queueBytes: 200_000, streams: [{ name: "cam1", bitrateBps: 40_000_000, audio: "none" }] });
    const [stuck, reader] = [await connect(camera), await connect(camera)];
    await stuck.play();
    await reader.play();
    stuck.pause();
    await reader.until(() => (camera.clients()[0]?.counts?.droppedFrames ?? 0) > 5, 8000);
    const [first, second] = camera.clients();
    expect(first?.counts?.droppedFrames).toBeGreaterThan(5);
    expect(first?.queuedBytes).toBeLessThan(2_000_000);
    expect(second?.counts?.droppedFrames).toBe(0);
    expect(inOrder(pictures(reader))).toBe(true);
    stuck.resume();
    await stuck.until(() => !inOrder(pictures(stuck)), 3000);
    expect(stuck.strayBytes).toBe(0);
    expect(inOrder(pictures(stuck))).toBe(false);
  });
});

describe.concurrent("authentication", { timeout: 30_000 }, () => {
  it.each([
    ["basic" as const, false],
    ["digest-md5" as const, false],
    ["digest-md5" as const, true],
  ])("ffmpeg gets in by %s (qop %s), with spaces in the realm", async (scheme, qop) => {
    const camera = await start({ auth: { schemes: [scheme], realm: "IP Camera (C 1234)", password: "p@ss: word", qop } });
    expect(await ffmpeg(camera.url("cam1"), "-t", "1", "-f", "null", "-")).toEqual({ code: 0, output: "" });
    const refused = await ffmpeg(camera.url("cam1", { username: "admin", password: "wrong" }), "-t", "1", "-f", "null", "-");
    expect(refused.output).toContain("401 Unauthorized");
    expect(camera.clients().reduce((sum, client) => sum + client.refusedCredentials, 0)).toBe(1);
  });

  it("takes SHA-256 digests over the exact request uri alone", async () => {
    const camera = await start({ auth: { schemes: ["digest-sha256", "digest-md5"], realm: "a b", username: "u", password: "p" } });
    const client = await connect(camera);
    const challenge = await client.request("DESCRIBE");
    expect(challenge?.status).toBe(401);
    const [offer = "", second = ""] = challenge?.headers.get("www-authenticate") ?? [];
    expect(second).not.toContain("algorithm");
    const nonce = /nonce="(\w+)", algorithm=SHA-256, qop="auth"/.exec(offer)?.[1] ?? "";
    const hash = (text: string) => createHash("sha256").update(text).digest("hex");
    const answer = (uri: string) => {
      const response = hash(`${hash("u:a b:p")}:${nonce}:00000001:xyz:auth:${hash(`DESCRIBE:${uri}`)}`);
      const digest = `Digest username="u", realm="a b", nonce="${nonce}", uri="${uri}", algorithm=SHA-256, qop=auth, nc=00000001, cnonce="xyz"`;
      return client.request("DESCRIBE", "", [`Authorization: ${digest}, response="${response}"`]);
    };
    const uri = `rtsp://127.0.0.1:${camera.port}/cam1`;
    expect((await answer(`${uri}/`))?.status).toBe(401);
    expect((await answer(uri))?.status).toBe(200);
  });

  it("calls a nonce stale when it is", async () => {
    const camera = await start({
      auth: { schemes: ["digest-md5"], qop: false, realm: "r", username: "u", password: "p", nonceLifetimeMs: 50 },
    });
    const client = await connect(camera);
    const nonce = /nonce="(\w+)"/.exec((await client.request("DESCRIBE"))?.headers.get("www-authenticate")?.[0] ?? "")?.[1];
    await Bun.sleep(100);
    const uri = `rtsp://127.0.0.1:${camera.port}/cam1`;
    const hash = (text: string) => createHash("md5").update(text).digest("hex");
    const response = hash(`${hash("u:r:p")}:${nonce}:${hash(`DESCRIBE:${uri}`)}`);
    const digest = `Digest username="u", realm="r", nonce="${nonce}", uri="${uri}", response="${response}"`;
    const reply = await client.request("DESCRIBE", "", [`Authorization: ${digest}`]);
    expect(reply?.headers.get("www-authenticate")?.[0]).toContain("stale=true");
    expect(camera.clients()[0]?.refusedCredentials).toBe(0);
  });
});

describe("faults", { timeout: 20_000 }, () => {
  /** A client that has been playing for a moment. */
  async function playing(options: VirtualCameraOptions = {}): Promise<{ readonly camera: VirtualCamera; readonly client: RawClient }> {
    const camera = await start(options);
    const client = await connect(camera);
    expect(await client.play()).toBe(true);
    await client.until(() => pictures(client).length >= 5, 2000);
    return { camera, client };
  }

  it("silence: no media, answers, and the frames of the time are missing", async () => {
    const { camera, client } = await playing();
    const end = camera.inject("cam1", { kind: "silence" });
    await Bun.sleep(100);
    const before = client.frames.length;
    await Bun.sleep(300);
    expect(client.frames.length).toBe(before);
    expect((await client.request("GET_PARAMETER"))?.status).toBe(200);
    end();
    await client.until(() => client.frames.length > before + 20, 2000);
    expect(inOrder(pictures(client))).toBe(false);
    const sequences = client.packets(0).map((packet) => packet.sequence);
    expect(sequences.every((sequence, index) => sequence === (((sequences[0] ?? 0) + index) & 0xffff))).toBe(true);
  });

  it("half-open: neither media nor answers nor an end", async () => {
    const { camera, client } = await playing();
    camera.inject("cam1", { kind: "half-open" });
    await Bun.sleep(100);
    const before = client.receivedBytes;
    expect(await client.request("GET_PARAMETER", "", [], 300)).toBeNull();
    expect([client.receivedBytes, client.closed]).toEqual([before, "no"]);
    const late = await connect(camera);
    expect(await late.request("DESCRIBE", "", [], 200)).toBeNull();
  });

  it("reset and close end the connection, the next one is served", async () => {
    for (const kind of ["reset", "close"] as const) {
      const { camera, client } = await playing();
      camera.inject("cam1", { kind });
      await client.until(() => client.closed !== "no", 1000);
      expect(client.closed).toBe(kind === "reset" ? "reset" : "end");
      expect(await (await connect(camera)).play()).toBe(true);
    }
  });

  it("bye: RTCP BYE, then silence on an open socket", async () => {
    const { camera, client } = await playing({ streams: [{ name: "cam1", audio: "none" }] });
    camera.inject("cam1", { kind: "bye" });
    await Bun.sleep(200);
    expect(client.frames.at(-1)?.payload.at(-7)).toBe(203);
    expect(client.closed).toBe("no");
  });

  it("refused: nobody listens until it is cleared, who is connected stays", async () => {
    const { camera, client } = await playing();
    const end = camera.inject("cam1", { kind: "refused" });
    await expect(connect(camera)).rejects.toThrow();
    const before = client.frames.length;
    end();
    expect(await (await connect(camera)).play()).toBe(true);
    await client.until(() => client.frames.length > before + 5, 1000);
    expect(client.closed).toBe("no");
  });

  it.each<[Fault, number | null]>([
    [{ kind: "credentials-refused" }, 401],
    [{ kind: "not-found" }, 404],
    [{ kind: "redirect", location: "rtsp://127.0.0.1:1/else" }, 302],
    [{ kind: "hang", method: "DESCRIBE" }, null],
  ])("%o answers DESCRIBE with %s", async (fault, status) => {
    const camera = await start();
    camera.inject("cam1", fault);
    const reply = await (await connect(camera)).request("DESCRIBE", "", [], 300);
    expect(reply?.status ?? null).toBe(status);
    if (fault.kind === "redirect") expect(reply?.headers.get("location")).toEqual([fault.location]);
  });

  it("password-changed: the old one is refused", async () => {
    const camera = await start({ auth: { schemes: ["basic"], username: "u", password: "old" } });
    camera.inject("cam1", { kind: "password-changed", password: "new" });
    const client = await connect(camera);
    const basic = (password: string) => [`Authorization: Basic ${Buffer.from(`u:${password}`).toString("base64")}`];
    expect((await client.request("DESCRIBE", "", basic("old")))?.status).toBe(401);
    expect((await client.request("DESCRIBE", "", basic("new")))?.status).toBe(200);
  });

  it("descriptions without parameter sets, without video, and without sense", async () => {
    const camera = await start();
    const body = async (fault: Fault) => {
      const end = camera.inject("cam1", fault);
      const reply = await (await connect(camera)).request("DESCRIBE");
      end();
      return reply?.body ?? "";
    };
    expect(await body({ kind: "sdp-without-parameter-sets" })).toMatch(/m=video(?![\s\S]*sprop)/);
    expect(await body({ kind: "sdp-without-video" })).toMatch(/^(?![\s\S]*m=video)[\s\S]*m=audio/);
    expect(await body({ kind: "sdp-garbage" })).not.toContain("v=0");
    expect(await body({ kind: "silence" })).toMatch(/sprop-parameter-sets=\S+,\S+/);
  });

  it("parameter-change: the other size from the next IDR picture on, and back", async () => {
    const camera = await start({
      streams: [
        {
          name: "cam1",
          audio: "none",
          firstFrame: 40,
          parameterSets: "sdp-only",
          script: [{ when: { frame: 5 }, fault: { kind: "parameter-change" }, forMs: 1000 }],
        },
      ],
    });
    const client = await connect(camera);
    await client.play();
    await client.until(() => pictures(client).length > 65, 5000);
    const file = join(scratch, "change.h264");
    const units: Uint8Array[] = client.packets(0).flatMap(({ payload }) => ((payload[0] ?? 0) % 32 < 24 ? [payload] : []));
    await Bun.write(file, Buffer.concat(units.flatMap((unit) => [Uint8Array.of(0, 0, 0, 1), unit])));
    const sets = units.filter((unit) => (unit[0] ?? 0) % 32 === 7).map((unit) => Buffer.from(unit).toString("hex"));
    // Two key frames have come (50 and 100): the small one with its sets, then the first again, which brings its own as well.
    expect(new Set(sets).size).toBe(2);
    expect(inOrder(pictures(client))).toBe(true);
  });

  it("timestamp-jump: for three frames, then for good", async () => {
    const { camera, client } = await playing({ streams: [{ name: "cam1", audio: "none", firstTimestamp: 0 }] });
    camera.inject("cam1", { kind: "timestamp-jump", seconds: 7200, frames: 3 });
    const stamps = () => [...new Set(client.packets(0).map((packet) => packet.timestamp))];
    await client.until(
      () => stamps().filter((ticks) => ticks > 7200 * 90_000).length === 3 && (stamps().at(-1) ?? 0) < 7200 * 90_000,
      2000,
    );
    expect(stamps().filter((ticks) => ticks > 7200 * 90_000).length).toBe(3);
    camera.inject("cam1", { kind: "timestamp-jump", seconds: -60 });
    await client.until(() => (stamps().at(-1) ?? 0) > 2 ** 32 - 60 * 90_000, 1000);
    expect(stamps().at(-1)).toBeGreaterThan(2 ** 32 - 60 * 90_000);
    expect(inOrder(pictures(client))).toBe(true);
  });

  it("wrap: timestamps and sequence numbers", async () => {
    const camera = await start({ streams: [{ name: "cam1", audio: "none", bitrateBps: 4_000_000 }] });
    camera.inject("cam1", { kind: "wrap", afterSeconds: 0.4 });
    const client = await connect(camera);
    await client.play();
    await client.until(() => pictures(client).length > 15, 3000);
    const packets = client.packets(0);
    expect(packets[0]).toMatchObject({ sequence: 65436, timestamp: 2 ** 32 - 36_000 });
    expect(packets.at(100)?.sequence).toBe(0);
    expect(new Set(packets.map((packet) => packet.timestamp)).has(0)).toBe(true);
  });

  it("sequence-gap: packets of a frame that has begun are missing", async () => {
    const { camera, client } = await playing({ streams: [{ name: "cam1", audio: "none", bitrateBps: 4_000_000, firstSequence: 0 }] });
    camera.inject("cam1", { kind: "sequence-gap", packets: 3 });
    const before = client.packets(0).length;
    await client.until(() => client.packets(0).length > before + 40, 2000);
    const sequences = client.packets(0).map((packet) => packet.sequence);
    const gaps = sequences.flatMap((sequence, index) => (index > 0 && sequence !== (sequences[index - 1] ?? 0) + 1 ? [index] : []));
    expect(gaps.map((index) => (sequences[index] ?? 0) - (sequences[index - 1] ?? 0))).toEqual([4]);
    expect(readStamp(client.packets(0)[(gaps[0] ?? 0) - 1]?.payload ?? new Uint8Array())).not.toBeNull();
  });

  it("ssrc-change and duplicates", async () => {
    const { camera, client } = await playing({ streams: [{ name: "cam1", audio: "none" }] });
    camera.inject("cam1", { kind: "ssrc-change" });
    await client.until(() => new Set(client.packets(0).map((packet) => packet.ssrc)).size === 2, 1000);
    expect(new Set(client.packets(0).map((packet) => packet.ssrc)).size).toBe(2);
    camera.inject("cam1", { kind: "duplicates" });
    await Bun.sleep(300);
    const last = client.packets(0).slice(-8);
    const sequences = last.map((packet) => packet.sequence);
    expect(new Set(sequences).size).toBeLessThanOrEqual(5);
  });

  it("garbage between frames, and nothing else than garbage", async () => {
    const { camera, client } = await playing({ streams: [{ name: "cam1", audio: "none" }] });
    expect(client.strayBytes).toBe(0);
    const end = camera.inject("cam1", { kind: "garbage", bytes: 40 });
    await client.until(() => client.strayBytes > 0, 2000);
    expect(client.strayBytes).toBeGreaterThan(0);
    end();
    camera.inject("cam1", { kind: "garbage-only" });
    const sent = camera.clients()[0]?.counts?.packets;
    const before = client.receivedBytes;
    await Bun.sleep(300);
    expect(camera.clients()[0]?.counts?.packets).toBe(sent);
    expect(client.receivedBytes - before).toBeGreaterThan(3000);
  });

  it("malformed-rtp: broken packets beside a stream that is whole", async () => {
    const { camera, client } = await playing({ streams: [{ name: "cam1", audio: "none" }] });
    camera.inject("cam1", { kind: "malformed-rtp" });
    const before = pictures(client).length;
    await client.until(() => pictures(client).length > before + 10, 2000);
    expect(inOrder(pictures(client))).toBe(true);
    expect(client.frames.some((frame) => frame.channel === 0 && frame.payload.length === 0)).toBe(true);
    expect(client.frames.some((frame) => frame.channel === 200)).toBe(true);
    expect(client.frames.some((frame) => frame.channel === 0 && (frame.payload[0] ?? 0x80) >> 6 === 1)).toBe(true);
  });

  it("malformed-rtsp, http-reply and binary-banner: no reply that could be understood", async () => {
    for (const kind of ["malformed-rtsp", "http-reply", "binary-banner"] as const) {
      const camera = await start();
      camera.inject("cam1", { kind });
      const client = await connect(camera);
      expect(Number.isNaN((await client.request("DESCRIBE", "", [], 200))?.status ?? Number.NaN)).toBe(true);
      expect(client.receivedBytes).toBeGreaterThan(50);
    }
  });

  it("no-media: PLAY is answered, and that is all", async () => {
    const camera = await start();
    camera.inject("cam1", { kind: "no-media" });
    const client = await connect(camera);
    expect(await client.play()).toBe(true);
    await Bun.sleep(300);
    expect(client.frames.length).toBe(0);
  });
});

describe("process of its own", () => {
  it("says where it is, obeys its stdin, ends on SIGTERM", async () => {
    const main = new URL("./camera/main.ts", import.meta.url).pathname;
    const child = Bun.spawn([process.execPath, main, "--streams", "2", "--audio", "none,pcma", "--prefix", "door"], {
      stdin: "pipe",
      stdout: "pipe",
    });
    const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const hello = JSON.parse((await lines.read()).value ?? "") as { readonly port: number; readonly urls: Record<string, string> };
    expect(hello.urls).toEqual({ door1: `rtsp://127.0.0.1:${hello.port}/door1`, door2: `rtsp://127.0.0.1:${hello.port}/door2` });
    child.stdin.write('{"stream":"door1","fault":{"kind":"not-found"}}\n');
    await child.stdin.flush();
    expect((await lines.read()).value).toBe('{"ok":true}\n');
    const client = await new RawClient(hello.urls["door1"] ?? "").connect();
    clients.push(client);
    expect((await client.request("DESCRIBE"))?.status).toBe(404);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  });

  it("refuses options that cannot be, all of them named", async () => {
    const main = new URL("./camera/main.ts", import.meta.url).pathname;
    const { code, output } = await run(process.execPath, main, "--audio", "mp3");
    expect(code).toBe(2);
    expect(output).toContain('--audio is "mp3", allowed are none, aac, pcma, pcmu, unknown');
  });
});
