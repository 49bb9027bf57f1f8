import { describe, expect, it } from "vitest";
import { silentLogger } from "../../src/base/log.ts";
import { Accounts } from "../../src/rtsp/accounts.ts";
import { sessionEnd } from "../../src/rtsp/ends.ts";
import { type Playing, runSession, type SessionOptions } from "../../src/rtsp/session.ts";
import type { SessionEnd } from "../../src/rtsp/types.ts";
import { parseRtspUrl } from "../../src/rtsp/url.ts";
import { SimulatedClock, settle } from "../fakes/clock.ts";
import { FakeTransport } from "../fakes/rtsp-transport.ts";
import { type CameraSettings, camera, challenge, fixture, H264_SDP } from "./scripted-camera.ts";

const URL_TEXT = "rtsp://cam.local:8554/live?ch=1";
const ACCOUNT = { username: "admin", password: "s3cret" };

function begin(server: FakeTransport["server"], more: Partial<SessionOptions> = {}, clock = new SimulatedClock()) {
  const transport = new FakeTransport(clock, server);
  const abort = new AbortController();
  const playing: Playing[] = [];
  const result = runSession(
    {
      url: parseRtspUrl(URL_TEXT),
      credentials: null,
      transport,
      resolve: async () => ["10.0.0.5"],
      clock,
      log: silentLogger,
      accounts: new Accounts(clock),
      connectTimeoutMs: 2000,
      withAudio: true,
      onPlaying: (now) => playing.push(now),
      ...more,
    },
    abort.signal,
  );
  return { transport, clock, abort, playing, result };
}

/** Runs a session that must end by itself within `withinMs`; nothing may be left behind. */
async function endOf(server: FakeTransport["server"], more: Partial<SessionOptions> = {}, withinMs = 30_000): Promise<SessionEnd> {
  const { result, clock, transport } = begin(server, more);
  await clock.advance(withinMs);
  const { error } = await result;
  if (error === null) throw new Error("the session was not ended by an error");
  expect(clock.pendingTimers).toBe(0);
  expect(transport.connections.every(({ open }) => !open)).toBe(true);
  expect(error.message).not.toMatch(/s3cret/);
  return sessionEnd(error);
}

const withAnswer = (answer: CameraSettings["answer"], more: CameraSettings = {}) => camera({ ...more, ...(answer && { answer }) }).script;

describe("the way to media", () => {
  it("asks in order, announces the tracks before PLAY, keeps alive and says goodbye", async () => {
    const { transport, clock, abort, playing, result } = begin(camera({ methods: "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER" }).script);
    await clock.advance(20_000);
    const { connection } = transport;
    expect(transport.connects).toMatchObject([{ address: "10.0.0.5", port: 8554, timeoutMs: 2000 }]);
    expect(connection.methods()).toEqual(["OPTIONS", "DESCRIBE", "SETUP", "SETUP", "PLAY"]);
    expect(connection.playedAfter).toBe(4);
    expect(connection.requests.map(({ cseq }) => cseq)).toEqual([1, 2, 3, 4, 5]);
    expect(connection.requests.map(({ url }) => url)).toEqual([
      URL_TEXT,
      URL_TEXT,
      `${URL_TEXT}/track1`,
      `${URL_TEXT}/track2`,
      `${URL_TEXT}/`,
    ]);
    expect(connection.requests[3]?.headers.get("session")).toBe("a1b2c3");
    expect(connection.requests[3]?.headers.get("transport")).toBe("RTP/AVP/TCP;unicast;interleaved=2-3");
    expect(connection.tracks).toMatchObject([
      { codec: "h264", payloadType: 96, rtpChannel: 0, rtcpChannel: 1, ssrc: 1 },
      { codec: "pcma", payloadType: 8, rtpChannel: 2, rtcpChannel: 3, ssrc: 2 },
    ]);
    expect(connection.keepalives).toMatchObject([{ firstCseq: 6, intervalMs: 30_000 }]);
    expect(connection.keepalives[0]?.template).toMatch(
      /^GET_PARAMETER rtsp:\/\/cam.local:8554\/live\?ch=1\/ RTSP\/1.0\r\nCSeq: \{cseq\}\r\n(.*\r\n)*Session: a1b2c3\r\n\r\n$/,
    );
    expect(playing).toMatchObject([{ server: "Scripted/1.0", warnings: [] }]);

    abort.abort();
    await settle();
    expect(await result).toMatchObject({ error: null, brokeOnAudio: false });
    expect(connection.lastText).toMatch(/^TEARDOWN rtsp:\/\/cam.local:8554\/live\?ch=1\/ RTSP\/1.0\r\nCSeq: \d+\r\n/);
    expect(connection.lastText).toContain("Session: a1b2c3\r\n");
    expect(clock.pendingTimers).toBe(0);
  });

  it("takes OPTIONS for the keepalive where GET_PARAMETER is not offered, and half the time-out", async () => {
    const { transport, clock, abort } = begin(camera({ session: "x ; timeout = 20" }).script);
    await clock.advance(100);
    expect(transport.connection.keepalives).toMatchObject([{ intervalMs: 10_000 }]);
    expect(transport.connection.keepalives[0]?.template).toMatch(/^OPTIONS /);
    abort.abort();
  });

  it("plays Hikvision-style and Dahua-style presentations by their own control rules", async () => {
    const hik = begin(camera({ sdp: fixture("hikvision-style_absolute-control") }).script);
    await hik.clock.advance(100);
    expect(hik.transport.connection.requests.slice(2).map(({ url }) => url)).toEqual([
      "rtsp://192.168.1.64:554/Streaming/Channels/101/trackID=1",
      "rtsp://192.168.1.64:554/Streaming/Channels/101/trackID=2",
      "rtsp://192.168.1.64:554/Streaming/Channels/101/",
    ]);
    hik.abort.abort();

    const url = parseRtspUrl("rtsp://10.0.0.7/cam/realmonitor?channel=1&subtype=0");
    const dahua = begin(camera({ sdp: fixture("dahua-style_relative-control"), contentBase: `${url.url}/`, credentials: ACCOUNT }).script, {
      url,
      credentials: ACCOUNT,
    });
    await dahua.clock.advance(100);
    expect(dahua.transport.connection.requests.filter(({ method }) => method === "SETUP").map((request) => request.url)).toEqual([
      `${url.url}/trackID=0`,
      `${url.url}/trackID=1`,
    ]);
    expect(dahua.transport.connection.keepalives).toHaveLength(1);
    dahua.abort.abort();
  });

  it("follows the server's choice of channels, new session ids, and OPTIONS refused", async () => {
    let setups = 0;
    const { transport, clock, abort } = begin(
      withAnswer(({ method }) => {
        if (method === "OPTIONS") return "405 Method Not Allowed\r\n\r\n";
        if (method !== "SETUP") return undefined;
        setups += 1;
        return `200 OK\r\nSession: id${setups};timeout=30\r\nTransport: RTP/AVP/TCP;unicast;interleaved=${setups * 10}-${setups * 10 + 1}\r\n\r\n`;
      }),
    );
    await clock.advance(100);
    expect(transport.connection.tracks.map(({ rtpChannel, rtcpChannel }) => [rtpChannel, rtcpChannel])).toEqual([
      [10, 11],
      [20, 21],
    ]);
    expect(transport.connection.requests.at(-1)?.headers.get("session")).toBe("id2");
    expect(transport.connection.keepalives).toMatchObject([{ intervalMs: 15_000 }]);
    abort.abort();
  });

  it("ignores 1xx and replies to other requests, and accepts one without CSeq", async () => {
    const { transport, clock, abort } = begin(
      withAnswer(({ method, cseq }, connection) => {
        if (method !== "DESCRIBE") return undefined;
        connection.say(`RTSP/1.0 100 Continue\r\nCSeq: ${cseq}\r\n\r\n`);
        connection.say("RTSP/1.0 404 Not Found\r\nCSeq: 77\r\n\r\n");
        return `raw:RTSP/1.0 200 OK\r\n\r\n${H264_SDP}`;
      }),
    );
    await clock.advance(100);
    expect(transport.connection.methods().at(-1)).toBe("PLAY");
    abort.abort();
  });

  it("tries every address of a name", async () => {
    const clock = new SimulatedClock();
    const transport = new FakeTransport(clock, "refused");
    const good = new FakeTransport(clock, camera().script);
    const { abort } = begin(
      "hang",
      {
        resolve: async () => ["10.0.0.1", "fe80::1", "10.0.0.3"],
        transport: {
          connect: (address, ...rest) => (address === "10.0.0.3" ? good : transport).connect(address, ...rest),
        },
      },
      clock,
    );
    await clock.advance(100);
    expect(transport.connects.map(({ address }) => address)).toEqual(["10.0.0.1", "fe80::1"]);
    expect(good.connection.methods()).toContain("PLAY");
    abort.abort();
  });
});

describe("sound never stops video", () => {
  const refuseSound = (answer: string | null) =>
    withAnswer(({ method, url }) => (method === "SETUP" && url.endsWith("track2") ? answer : undefined));

  it.each([
    ["refused", "404 Not Found\r\n\r\n", /sound is not recorded: the camera answered SETUP with 404/],
    ["over UDP", "200 OK\r\nTransport: RTP/AVP;unicast;client_port=1-2\r\n\r\n", /answered SETUP with RTP\/AVP/],
    ["on the video's channel", "200 OK\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n", /the same channel 0/],
    ["unanswered", null, /did not answer SETUP within 5 s/],
  ])("%s", async (_, answer, warning) => {
    const { transport, clock, abort, playing } = begin(refuseSound(answer));
    await clock.advance(6000);
    expect(transport.connection.tracks.map(({ codec }) => codec)).toEqual(["h264"]);
    expect(playing[0]?.warnings).toEqual([expect.stringMatching(warning)]);
    abort.abort();
  });

  it("says when the connection broke over it, and leaves it out when told", async () => {
    const { result, clock } = begin(
      withAnswer(({ method, url }) => (method === "SETUP" && url.endsWith("track2") ? { drop: "reset" } : undefined)),
    );
    await clock.advance(100);
    expect(await result).toMatchObject({ brokeOnAudio: true, error: { code: "CAMERA_UNREACHABLE" } });

    const second = begin(camera().script, { withAudio: false });
    await second.clock.advance(100);
    expect(second.transport.connection.methods().filter((method) => method === "SETUP")).toHaveLength(1);
    expect(second.playing[0]?.warnings).toEqual([expect.stringMatching(/broke down when sound was asked for/)]);
    second.abort.abort();
  });
});

describe("named ends", () => {
  it.each<[string, FakeTransport["server"], SessionEnd["cause"], string, RegExp]>([
    ["unreachable", "unreachable", "camera-unreachable", "unreachable", /10\.0\.0\.5 port 8554/],
    ["refused", "refused", "camera-unreachable", "refused", /refused/],
    ["silent host", "hang", "camera-unreachable", "connect-timeout", /10\.0\.0\.5/],
    ["not RTSP", () => "raw:HTTP/1.1 400 Bad Request\r\n\r\n", "stream-fault", "not-rtsp", /HTTP\/1\.1 400 Bad Request/],
    ["not RTSP by framing", () => ({ drop: "framing" }), "stream-fault", "not-rtsp", /not RTSP/],
    [
      "malformed reply",
      withAnswer(({ method }) => (method === "SETUP" ? "raw:RTSP/9 what\r\n\r\n" : undefined)),
      "stream-fault",
      "malformed-reply",
      /RTSP\/9 what/,
    ],
    ["no reply", () => null, "stream-fault", "no-reply", /did not answer OPTIONS within 5 s/],
    [
      "closed early",
      withAnswer(({ method }) => (method === "DESCRIBE" ? { drop: "closed-by-peer" } : undefined)),
      "stream-fault",
      "closed-early",
      /before PLAY/,
    ],
    [
      "not found",
      withAnswer(({ method }) => (method === "DESCRIBE" ? "404 Stream Not Found\r\n\r\n" : undefined)),
      "stream-fault",
      "rejected",
      /DESCRIBE with 404 Stream Not Found/,
    ],
    [
      "server error",
      withAnswer(({ method }) => (method === "PLAY" ? "500 Oops\r\n\r\n" : undefined)),
      "stream-fault",
      "rejected",
      /PLAY with 500 Oops/,
    ],
    ["no body", withAnswer(({ method }) => (method === "DESCRIBE" ? "200 OK\r\n\r\n" : undefined)), "stream-fault", "no-sdp", /no body/],
    ["no SDP", camera({ sdp: "<html>login</html>" }).script, "stream-fault", "no-sdp", /no SDP/],
    ["sound only", camera({ sdp: "v=0\r\nm=audio 0 RTP/AVP 8\r\n" }).script, "stream-fault", "sdp-without-video", /no video, only audio/],
    ["no media at all", camera({ sdp: "v=0\r\ns=x\r\n" }).script, "stream-fault", "sdp-without-video", /no video and no other media/],
    [
      "unknown codec only",
      camera({ sdp: "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H265/90000\r\n" }).script,
      "stream-fault",
      "no-supported-codec",
      /codec is H265/,
    ],
    [
      "TCP refused",
      withAnswer(({ method }) => (method === "SETUP" ? "461 Unsupported Transport\r\n\r\n" : undefined)),
      "stream-fault",
      "transport-refused",
      /461/,
    ],
    [
      "garbage",
      withAnswer(({ method }) => (method === "PLAY" ? { drop: "framing" } : undefined)),
      "stream-fault",
      "garbage",
      /neither RTSP nor/,
    ],
    [
      "too large",
      withAnswer(({ method }) => (method === "DESCRIBE" ? { drop: "message-too-large" } : undefined)),
      "stream-fault",
      "malformed-reply",
      /larger than allowed/,
    ],
    [
      "no media",
      camera({ media: false }).script,
      "no-media",
      "media-silence",
      /accepted PLAY and sent no media for 5\.0 s, 5 s are allowed/,
    ],
    ["no reply to PLAY", withAnswer(({ method }) => (method === "PLAY" ? null : undefined)), "stream-fault", "no-reply", /PLAY within 5 s/],
    ["password missing", camera({ credentials: ACCOUNT }).script, "auth-refused", "password-missing", /none is set/],
    [
      "forbidden",
      withAnswer(({ method }) => (method === "DESCRIBE" ? "403 Forbidden\r\n\r\n" : undefined)),
      "auth-refused",
      "forbidden",
      /403 Forbidden/,
    ],
    [
      "flooded with requests",
      withAnswer(({ method }, connection) => {
        if (method === "DESCRIBE") for (let i = 0; i < 60; i++) connection.say(`OPTIONS * RTSP/1.0\r\nCSeq: ${i}\r\n\r\n`);
        return method === "DESCRIBE" ? null : undefined;
      }),
      "stream-fault",
      "request-flood",
      /more than 50 requests within 10 s/,
    ],
    ["redirected without a target", withAnswer(() => "302 Moved\r\n\r\n"), "stream-fault", "redirect-refused", /without saying where/],
    [
      "redirected to rtsps",
      withAnswer(() => "302 Moved\r\nLocation: rtsps://x/\r\n\r\n"),
      "stream-fault",
      "redirect-refused",
      /scheme is "rtsps"/,
    ],
    [
      "redirected in circles",
      withAnswer(() => "301 Moved\r\nLocation: rtsp://cam.local:8554/live\r\n\r\n"),
      "stream-fault",
      "redirect-loop",
      /6 times, 5 are allowed/,
    ],
  ])("%s", async (_, server, cause, code, detail) => {
    expect(await endOf(server)).toEqual({ cause, code, detail: expect.stringMatching(detail) });
  });

  it("DNS: an error, no address, no answer", async () => {
    const failing = await endOf("hang", { resolve: () => Promise.reject(new Error("ENOTFOUND cam.local")) });
    expect(failing).toMatchObject({
      cause: "camera-unreachable",
      code: "dns-failed",
      detail: expect.stringMatching(/cam\.local.*ENOTFOUND/),
    });
    expect(await endOf("hang", { resolve: async () => [] })).toMatchObject({
      code: "dns-failed",
      detail: expect.stringMatching(/no address/),
    });
    expect(await endOf("hang", { resolve: () => new Promise(() => {}) })).toMatchObject({
      code: "dns-failed",
      detail: expect.stringMatching(/within 5 s/),
    });
  });

  it("asks no resolver about a numeric host", async () => {
    const end = await endOf("refused", { url: parseRtspUrl("rtsp://[fe80::1]/"), resolve: () => Promise.reject(new Error("asked")) });
    expect(end).toMatchObject({ code: "refused", detail: expect.stringMatching(/fe80::1/) });
  });
});

describe("while playing", () => {
  it.each([
    ["closed-by-peer", "closed-by-camera"],
    ["reset", "reset"],
    ["send-blocked", "send-blocked"],
    ["framing", "garbage"],
  ] as const)("%s ends as %s", async (cause, code) => {
    const { transport, clock, result } = begin(camera().script);
    await clock.advance(20_000);
    transport.connection.drop(cause);
    await settle();
    const { error, recordableMs } = await result;
    expect(error && sessionEnd(error).code).toBe(code);
    expect(recordableMs).toBeGreaterThan(18_000);
    expect(clock.pendingTimers).toBe(0);
  });

  it("trusts media, not the socket: 5 s of silence end the session with TEARDOWN, 4 s do not", async () => {
    const { transport, clock, result } = begin(camera().script);
    await clock.advance(10_000);
    transport.connection.stopMedia();
    await clock.advance(4500);
    expect(transport.connection.open).toBe(true);
    transport.connection.startMedia();
    await clock.advance(10_000);
    transport.connection.stopMedia();
    await clock.advance(5100);
    const { error } = await result;
    expect(error && sessionEnd(error)).toEqual({
      cause: "no-media",
      code: "media-silence",
      detail: expect.stringMatching(/no media came for 5\.0 s, 5 s are allowed; before, it flowed for 2\d\.\d s/),
    });
    expect(transport.connection.lastText).toMatch(/^TEARDOWN /);
  });

  it("is not fooled by the media of the connection before", async () => {
    const { transport, clock, result } = begin(
      withAnswer(
        ({ method }, connection) => {
          // What the stream still says of its former run, until the engine begins the new one a tick after PLAY.
          if (method === "OPTIONS") connection.mediaMonoMs = 5_000_000;
          if (method === "PLAY") connection.mediaMonoMs = 0;
          return undefined;
        },
        { media: false },
      ),
    );
    await clock.advance(5100);
    expect((await result).error?.code).toBe("CAMERA_NO_MEDIA");
    expect(transport.connection.open).toBe(false);
  });

  it("ends a stream of packets without a key frame after a minute, and does not call it healthy", async () => {
    const script = withAnswer(
      ({ method }, connection) => {
        if (method === "PLAY") connection.startMedia(Number.POSITIVE_INFINITY);
        return undefined;
      },
      { media: false },
    );
    const { clock, result, playing } = begin(script);
    await clock.advance(59_000);
    expect(playing).toHaveLength(1);
    await clock.advance(2000);
    const { error, recordableMs } = await result;
    expect(error && sessionEnd(error)).toEqual({
      cause: "stream-fault",
      code: "no-key-frame",
      detail: expect.stringMatching(/no key frame came for 60\.\d s/),
    });
    expect(recordableMs).toBe(0);
  });

  it("bears key frames that are 40 s apart, and a drought of less than four such intervals", async () => {
    const { transport, clock, result } = begin(
      withAnswer(
        ({ method }, connection) => {
          if (method === "PLAY") connection.startMedia(1000);
          return undefined;
        },
        { media: false },
      ),
    );
    await clock.advance(200_000);
    transport.connection.startMedia(Number.POSITIVE_INFINITY);
    await clock.advance(115_000);
    expect(transport.connection.open).toBe(true);
    await clock.advance(60_000);
    const { error } = await result;
    expect(error && sessionEnd(error).code).toBe("no-key-frame");
  });

  it("goes on when media comes but no reply to PLAY", async () => {
    const { transport, clock, abort, playing } = begin(
      withAnswer(({ method }, connection) => {
        if (method !== "PLAY") return undefined;
        connection.startMedia();
        return null;
      }),
    );
    await clock.advance(10_000);
    expect(playing[0]?.warnings).toEqual(["the camera sends media but did not answer PLAY"]);
    expect(transport.connection.open).toBe(true);
    abort.abort();
  });

  it("answers the server's requests", async () => {
    const { transport, clock, result } = begin(camera().script);
    await clock.advance(1000);
    const { connection } = transport;
    for (const [cseq, method] of ["OPTIONS", "ANNOUNCE", "SET_PARAMETER", "GET_PARAMETER", "PAUSE"].entries()) {
      connection.say(`${method} * RTSP/1.0\r\nCSeq: ${cseq}\r\nSession: a1b2c3\r\n\r\n`);
    }
    await settle();
    expect(connection.replies.map((reply) => reply.split("\r\n").slice(0, 3).join("|"))).toEqual([
      "RTSP/1.0 200 OK|CSeq: 0|Session: a1b2c3",
      "RTSP/1.0 200 OK|CSeq: 1|Session: a1b2c3",
      "RTSP/1.0 200 OK|CSeq: 2|Session: a1b2c3",
      "RTSP/1.0 200 OK|CSeq: 3|Session: a1b2c3",
      "RTSP/1.0 501 Not Implemented|CSeq: 4|Session: a1b2c3",
    ]);
    connection.say("TEARDOWN * RTSP/1.0\r\nCSeq: 9\r\n\r\n");
    await settle();
    const { error } = await result;
    expect(error && sessionEnd(error).code).toBe("ended-by-camera");
  });

  it("puts up with a few senseless messages, not with many", async () => {
    const { transport, clock, result } = begin(camera().script);
    await clock.advance(1000);
    for (let i = 0; i < 16; i++) transport.connection.say("what?\r\n\r\n");
    await settle();
    expect(transport.connection.open).toBe(true);
    transport.connection.say("what?\r\n\r\n");
    await settle();
    const { error } = await result;
    expect(error && sessionEnd(error).code).toBe("malformed-reply");
  });
});

describe("keepalive failures that the engine passes up", () => {
  it("falls back to OPTIONS, and ends when the session is lost", async () => {
    const { transport, clock, result } = begin(camera({ methods: "OPTIONS, GET_PARAMETER" }).script);
    await clock.advance(31_000);
    const { connection } = transport;
    connection.say("RTSP/1.0 405 Method Not Allowed\r\nCSeq: 6\r\n\r\n");
    await settle();
    expect(connection.keepalives.map(({ template }) => template.split(" ")[0])).toEqual(["GET_PARAMETER", "OPTIONS"]);
    expect(connection.keepalives[1]?.firstCseq).toBeGreaterThan(7);
    connection.say("RTSP/1.0 454 Session Not Found\r\nCSeq: 9\r\n\r\n");
    await settle();
    const { error } = await result;
    expect(error && sessionEnd(error).code).toBe("session-lost");
  });

  it("signs again at once with the fresh nonce", async () => {
    const device = camera({ methods: "OPTIONS, GET_PARAMETER", credentials: ACCOUNT });
    const { transport, clock, abort } = begin(device.script, { credentials: ACCOUNT });
    await clock.advance(31_000);
    const { connection } = transport;
    expect(connection.keepalives[0]?.template).toMatch(/nonce="nonce-1".*nc=0000000\d/);
    device.nonce = "nonce-2";
    connection.say(`RTSP/1.0 ${challenge("digest", "nonce-2", ", stale=true")}`);
    await settle();
    expect(connection.methods().at(-1)).toBe("GET_PARAMETER");
    expect(connection.keepalives).toHaveLength(2);
    expect(connection.keepalives[1]?.template).toMatch(/nonce="nonce-2".*nc=00000002/);
    expect(device.tries.refused).toBe(0);
    abort.abort();
  });

  it("does not repeat refused credentials: media goes on without them", async () => {
    const device = camera({ methods: "OPTIONS, GET_PARAMETER", credentials: ACCOUNT });
    const { transport, clock, abort } = begin(device.script, { credentials: ACCOUNT });
    await clock.advance(31_000);
    const { connection } = transport;
    device.password = "changed";
    device.nonce = "nonce-2";
    connection.say(`RTSP/1.0 ${challenge("digest", "nonce-2")}`);
    await settle();
    expect(device.tries.refused).toBe(1);
    expect(connection.keepalives.at(-1)?.template).toMatch(/^OPTIONS /);
    expect(connection.keepalives.at(-1)?.template).not.toMatch(/Authorization/);
    connection.say(`RTSP/1.0 ${challenge("digest", "nonce-3")}`);
    await clock.advance(60_000);
    expect(device.tries.refused).toBe(1);
    expect(connection.open).toBe(true);
    abort.abort();
  });
});

describe("logging in", () => {
  it.each(["digest", "basic", "both"] as const)("with %s", async (auth) => {
    const device = camera({ credentials: ACCOUNT, auth });
    const { transport, clock, abort } = begin(device.script, { credentials: ACCOUNT });
    await clock.advance(1000);
    expect(transport.connection.methods()).toEqual(["OPTIONS", "DESCRIBE", "DESCRIBE", "SETUP", "SETUP", "PLAY"]);
    expect(device.tries).toEqual({ count: 4, refused: 0 });
    const used = transport.connection.requests.at(-1)?.headers.get("authorization") ?? "";
    expect(used).toMatch(auth === "basic" ? /^Basic / : /^Digest .*nc=00000004/);
    abort.abort();
    await settle();
    expect(transport.connection.lastText).toContain("Authorization: ");
  });

  it("sends a wrong password once", async () => {
    const device = camera({ credentials: ACCOUNT });
    const end = await endOf(device.script, { credentials: { username: "admin", password: "wrong" } });
    expect(end).toEqual({ cause: "auth-refused", code: "bad-password", detail: expect.stringMatching(/refused user name or password/) });
    expect(device.tries).toEqual({ count: 1, refused: 1 });
  });

  it("sends a wrong password once to a camera that makes a nonce for each reply", async () => {
    let nonce = 0;
    let tries = 0;
    const end = await endOf(
      withAnswer(({ method, headers }) => {
        if (method === "OPTIONS") return undefined;
        if (headers.has("authorization")) tries += 1;
        return challenge("digest", `n${nonce++}`);
      }),
      { credentials: ACCOUNT },
    );
    expect(end.code).toBe("bad-password");
    expect(tries).toBe(1);
  });

  it("follows a camera with one nonce for each request, stale or not said", async () => {
    for (const more of [", stale=true", ""]) {
      let nonce = 0;
      const script = withAnswer(({ method, headers }) => {
        if (method === "OPTIONS") return undefined;
        if (headers.get("authorization")?.includes(`nonce="n${nonce}"`)) {
          nonce += 1;
          return undefined;
        }
        return challenge("digest", `n${nonce}`, more);
      });
      const { transport, clock, abort } = begin(script, { credentials: ACCOUNT });
      await clock.advance(1000);
      expect(transport.connection.methods().at(-1)).toBe("PLAY");
      expect(transport.connection.keepalives).toHaveLength(1);
      abort.abort();
    }
  });

  it("gives up on a camera that calls every fresh nonce stale", async () => {
    let nonce = 0;
    const end = await endOf(
      withAnswer(({ method }) => (method === "OPTIONS" ? undefined : challenge("digest", `n${nonce++}`, ", stale=true"))),
      { credentials: ACCOUNT },
    );
    expect(end).toMatchObject({ cause: "auth-refused", code: "nonce-refused" });
  });

  it("names a way to log in that is not spoken, and never falls back to Basic", async () => {
    const end = await endOf(
      withAnswer(
        () =>
          '401 Unauthorized\r\nWWW-Authenticate: Digest realm="x", nonce="n", algorithm=SHA-512\r\nWWW-Authenticate: Basic realm="x"\r\n\r\n',
      ),
      { credentials: ACCOUNT },
    );
    expect(end).toEqual({ cause: "auth-refused", code: "auth-unsupported", detail: expect.stringMatching(/offers digest SHA-512, basic/) });
  });
});

describe("redirects", () => {
  it("follows to another server, without the password", async () => {
    const seen: string[] = [];
    const device = camera({
      credentials: ACCOUNT,
      answer: ({ method, url, headers }) => {
        seen.push(`${url} ${headers.has("authorization")}`);
        if (method !== "DESCRIBE" || url.startsWith("rtsp://other/")) return undefined;
        return headers.has("authorization") ? "302 Found\r\nLocation: rtsp://other/live\r\n\r\n" : challenge("digest", "nonce-1");
      },
    });
    const end = await endOf(device.script, { credentials: ACCOUNT });
    expect(end.code).toBe("password-missing");
    expect(seen.filter((line) => line.includes("other"))).toEqual(["rtsp://other/live false", "rtsp://other/live false"]);
  });

  it("follows on the same host and port, with the password", async () => {
    const device = camera({
      credentials: ACCOUNT,
      answer: ({ method, url }) =>
        method === "DESCRIBE" && url === URL_TEXT ? "301 Moved\r\nLocation: rtsp://CAM.local:8554/new\r\n\r\n" : undefined,
    });
    const { transport, clock, abort } = begin(device.script, { credentials: ACCOUNT });
    await clock.advance(1000);
    expect(transport.connects).toHaveLength(2);
    expect(transport.connections[0]?.open).toBe(false);
    expect(transport.connection.methods().at(-1)).toBe("PLAY");
    abort.abort();
  });
});

describe("aborting", () => {
  it("does not wait for a connection under way, and closes it when it comes", async () => {
    const clock = new SimulatedClock();
    const good = new FakeTransport(clock, camera().script);
    let arrive = () => {};
    const { abort, result } = begin(
      "hang",
      {
        transport: {
          connect: async (...call) => {
            await new Promise<void>((resolve) => {
              arrive = resolve;
            });
            return good.connect(...call);
          },
        },
      },
      clock,
    );
    await settle();
    abort.abort();
    expect(await result).toMatchObject({ error: null });
    arrive();
    await settle();
    expect(good.connection.open).toBe(false);
    expect(good.connection.requests).toEqual([]);
  });

  it.each(["OPTIONS", "DESCRIBE", "SETUP", "PLAY"])("ends in the middle of %s", async (stuck) => {
    const { abort, result, clock, transport } = begin(withAnswer(({ method }) => (method === stuck ? null : undefined)));
    await clock.advance(100);
    abort.abort();
    expect(await result).toMatchObject({ error: null, brokeOnAudio: false });
    expect(transport.connection.open).toBe(false);
    expect(clock.pendingTimers).toBe(0);
  });
});
