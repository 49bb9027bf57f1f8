import { describe, expect, it } from "vitest";
import { RecorderError, toRecorderError } from "../../src/base/errors.ts";
import { silentLogger } from "../../src/base/log.ts";
import { Accounts } from "../../src/rtsp/accounts.ts";
import { Authenticator, chooseChallenge, parseChallenges } from "../../src/rtsp/auth.ts";
import { sessionEnd } from "../../src/rtsp/ends.ts";
import { parseMessage } from "../../src/rtsp/message.ts";
import { parseSdp } from "../../src/rtsp/sdp.ts";
import { runSession } from "../../src/rtsp/session.ts";
import { parseSession, parseTransport } from "../../src/rtsp/setup-headers.ts";
import { planTracks } from "../../src/rtsp/tracks.ts";
import { baseUrl, parseRtspUrl, resolveControl } from "../../src/rtsp/url.ts";
import { SimulatedClock } from "../fakes/clock.ts";
import { FakeTransport } from "../fakes/rtsp-transport.ts";
import { camera, fixture } from "./scripted-camera.ts";

const ROUNDS = 3000;

/** mulberry32: small, seeded, good enough to stir text. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const BITS = [
  "\r\n",
  "\n",
  "\r",
  "\0",
  " ",
  "\t",
  ":",
  ";",
  ",",
  "=",
  '"',
  "\\",
  "/",
  "?",
  "@",
  "[",
  "]",
  "-1",
  "99999999999",
  "é",
  "\ud800",
  "a=",
  "m=",
  "RTSP/1.0 ",
  "Digest ",
  "nonce=",
  "rtsp://",
];

/** A valid text with pieces cut out, doubled, swapped and put in. */
function stirred(text: string, next: () => number): string {
  let result = text;
  const edits = 1 + Math.floor(next() * 8);
  for (let i = 0; i < edits; i++) {
    const at = Math.floor(next() * (result.length + 1));
    const length = Math.floor(next() * 20);
    const piece =
      next() < 0.5 ? (BITS[Math.floor(next() * BITS.length)] ?? "") : result.slice(at, at + length).repeat(Math.floor(next() * 3));
    result = result.slice(0, at) + piece + result.slice(at + (next() < 0.5 ? length : 0));
  }
  return result;
}

function survives(work: () => void, input: string): void {
  const start = performance.now();
  try {
    work();
  } catch (error) {
    if (!(error instanceof RecorderError)) throw new Error(`${JSON.stringify(input)} threw ${String(error)}`, { cause: error });
  }
  const tookMs = performance.now() - start;
  if (tookMs > 300) throw new Error(`${JSON.stringify(input.slice(0, 200))} took ${tookMs} ms`);
}

const SDPS = [
  "hikvision-style_absolute-control",
  "dahua-style_relative-control",
  "tplink-style_broken-lines",
  "onvif-style_h265-backchannel",
].map(fixture);
const REPLY = `RTSP/1.0 401 Unauthorized\r\nCSeq: 2\r\nWWW-Authenticate: Digest realm="a, b", nonce="x", qop="auth,auth-int", stale=FALSE\r\nSession: 1;timeout=5\r\n\r\nbody`;
const CHALLENGE = 'Basic realm="x", Digest realm="IP \\"Camera\\"", nonce="abc", algorithm=SHA-256, qop="auth", opaque="", stale=true';

describe("stirred input never throws anything but RecorderError", () => {
  it("messages", () => {
    const next = random(1);
    for (let i = 0; i < ROUNDS; i++) {
      const text = stirred(REPLY, next);
      survives(() => parseMessage(text), text);
    }
  });

  it("descriptions", () => {
    const next = random(2);
    for (let i = 0; i < ROUNDS; i++) {
      const text = stirred(SDPS[i % SDPS.length] ?? "", next);
      survives(() => {
        const { setups } = planTracks(parseSdp(text));
        expect(setups.length).toBeLessThanOrEqual(2);
        for (const { track } of setups) {
          expect(track.payloadType).toBeLessThanOrEqual(127);
          expect(Number.isSafeInteger(track.clockRateHz) && track.clockRateHz > 0).toBe(true);
          expect(track.channels).toBeLessThanOrEqual(8);
        }
      }, text);
    }
  });

  it("challenges, and answers that hold no line break", () => {
    const next = random(3);
    for (let i = 0; i < ROUNDS; i++) {
      const text = stirred(CHALLENGE, next);
      survives(() => {
        const scheme = chooseChallenge(parseChallenges([text]));
        if (scheme === null) return;
        const authenticator = new Authenticator({ username: "u", password: "p" });
        authenticator.accept(scheme);
        authenticator.authorization("PLAY", "rtsp://c/");
      }, text);
    }
  });

  it("URLs and headers", () => {
    const next = random(4);
    for (let i = 0; i < ROUNDS; i++) {
      const url = stirred("rtsp://admin:pw@[fe80::1]:554/live?x=1", next);
      const header = stirred("RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=1234;timeout=60", next);
      survives(() => {
        parseSession(header);
        const { rtpChannel, rtcpChannel } = parseTransport(header, 0);
        expect(rtpChannel).toBeLessThanOrEqual(255);
        expect(rtcpChannel).toBeLessThanOrEqual(255);
        const control = resolveControl(baseUrl("rtsp://c/a", url, null), url);
        expect(control).not.toMatch(/[\r\n\0]/);
        parseRtspUrl(url);
      }, url);
    }
  });

  it("large senseless input costs little time", () => {
    for (const piece of [" ", "=", '"', "a", ",", "\\", "Digest ", "a=rtpmap:", "\r\n ", "\n", "@", "/", "x: y\n", '="', "a="]) {
      const text = piece.repeat(Math.floor(60_000 / piece.length));
      survives(() => parseMessage(`RTSP/1.0 200 OK\r\n${text}`), text);
      survives(() => parseMessage(text), text);
      survives(() => parseSdp(`m=${text}`), text);
      survives(() => parseSdp(`m=video 0 RTP/AVP 96\r\na=fmtp:96 ${text}`), text);
      survives(() => chooseChallenge(parseChallenges([text, `Digest ${text}`])), text);
      survives(() => chooseChallenge(parseChallenges(Array.from({ length: 16 }, () => `${text.slice(0, 8000)}"`))), text);
      survives(() => parseSdp(`m=video 0 RTP/AVP 96\na=fmtp:96 x=${`${text.slice(0, 16_000)}y\na=fmtp:96 x=`.repeat(4)}`), text);
      survives(() => parseTransport(text, 0), text);
      survives(() => parseSession(text), text);
      survives(() => baseUrl("rtsp://c/", text, text), text);
      survives(() => resolveControl("rtsp://c/", text), text);
      survives(() => parseRtspUrl(text), text);
    }
  });
});

it("a camera that answers stirred text ends each session with a named end and leaves nothing behind", async () => {
  const next = random(5);
  for (let i = 0; i < 300; i++) {
    const clock = new SimulatedClock();
    const inner = camera({ sdp: SDPS[i % SDPS.length] ?? "", credentials: { username: "u", password: "p" } });
    const transport = new FakeTransport(clock, (request, connection) => {
      const answer = inner.script(request, connection);
      if (typeof answer !== "string" || next() < 0.6) return answer;
      return `raw:${stirred(`RTSP/1.0 ${answer.replace("\r\n", `\r\nCSeq: ${request.cseq}\r\n`)}`, next)}`;
    });
    const abort = new AbortController();
    const session = runSession(
      {
        url: parseRtspUrl("rtsp://10.0.0.1/live"),
        credentials: { username: "u", password: "p" },
        transport,
        resolve: async () => ["10.0.0.2"],
        clock,
        log: silentLogger,
        accounts: new Accounts(clock),
        connectTimeoutMs: 1000,
        withAudio: true,
        onPlaying() {},
      },
      abort.signal,
    );
    await clock.advance(60_000);
    abort.abort();
    await clock.advance(2000);
    const { error } = await session;
    if (error !== null) expect(sessionEnd(toRecorderError(error)).code).not.toBe("internal");
    expect(clock.pendingTimers).toBe(0);
    expect(transport.connections.every(({ open }) => !open)).toBe(true);
  }
});
