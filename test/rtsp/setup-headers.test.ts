import { describe, expect, it } from "vitest";
import { parseMethods, parseSession, parseTransport } from "../../src/rtsp/setup-headers.ts";

describe("parseSession", () => {
  it.each([
    ["12345678;timeout=30", { id: "12345678", timeoutS: 30 }],
    [" 12345678 ; timeout = 90 ;x=y", { id: "12345678", timeoutS: 90 }],
    ["abc", { id: "abc", timeoutS: 60 }],
    ["abc;timeout=0", { id: "abc", timeoutS: 60 }],
    ["abc;timeout=-1", { id: "abc", timeoutS: 60 }],
    ["abc;timeout=1", { id: "abc", timeoutS: 4 }],
    ["abc;timeout=999999", { id: "abc", timeoutS: 3600 }],
    [";timeout=5", null],
    [null, null],
  ])("%s", (value, expected) => expect(parseSession(value)).toEqual(expected));

  it("bounds the id", () => expect(parseSession("x".repeat(5000))?.id).toHaveLength(256));
});

describe("parseTransport", () => {
  const interleaved = { interleaved: true, rtpChannel: 2, rtcpChannel: 3, ssrc: null };
  it.each([
    ["RTP/AVP/TCP;unicast;interleaved=2-3", interleaved],
    ["RTP/AVP/TCP;unicast;interleaved=6-7;ssrc=4D1C0A2B", { interleaved: true, rtpChannel: 6, rtcpChannel: 7, ssrc: 0x4d1c0a2b }],
    ["RTP/AVP/TCP; unicast; Interleaved = 4 - 5 ; ssrc= 1A ", { interleaved: true, rtpChannel: 4, rtcpChannel: 5, ssrc: 0x1a }],
    ["RTP/AVP/TCP;interleaved=8", { interleaved: true, rtpChannel: 8, rtcpChannel: 9, ssrc: null }],
    ["RTP/AVP/TCP;unicast;ssrc=12345678901", interleaved],
    ["RTP/AVP/TCP;unicast;interleaved=700-701", interleaved],
    [null, interleaved],
    ["RTP/AVP;unicast;client_port=4588-4589;server_port=6256-6257", { ...interleaved, interleaved: false }],
  ])("%s", (value, expected) => expect(parseTransport(value, 2)).toEqual(expected));
});

it("reads Public loosely", () => {
  expect([...parseMethods(["OPTIONS, describe,  GET_PARAMETER", "PLAY"])]).toEqual(["OPTIONS", "DESCRIBE", "GET_PARAMETER", "PLAY"]);
});
