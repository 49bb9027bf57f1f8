import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseSdp } from "../../src/rtsp/sdp.ts";
import { planTracks, type TrackPlan } from "../../src/rtsp/tracks.ts";

const SPS = "Z0IAKeKQFAe2AtwEBAaQeJEV";
const PPS = "aM48gA==";

function plan(fixture: string): TrackPlan {
  return planTracks(parseSdp(readFileSync(new URL(`../fixtures/rtsp/${fixture}.sdp`, import.meta.url), "utf8")));
}

const video = (lines: string): string => `v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n${lines}`;
const audio = (lines: string): string => `${video("")}m=audio 0 RTP/AVP 97\r\n${lines}`;

describe("cameras", () => {
  it("Hikvision style: absolute control, PCMA with a static type", () => {
    const { setups, warnings } = plan("hikvision-style_absolute-control");
    expect(warnings).toEqual([]);
    expect(setups).toEqual([
      {
        control: "rtsp://192.168.1.64:554/Streaming/Channels/101/trackID=1",
        track: { codec: "h264", clockRateHz: 90_000, channels: 0, payloadType: 96, config: [SPS, PPS], aac: null },
      },
      {
        control: "rtsp://192.168.1.64:554/Streaming/Channels/101/trackID=2",
        track: { codec: "pcma", clockRateHz: 8000, channels: 1, payloadType: 8, config: [], aac: null },
      },
    ]);
  });

  it("Dahua style: relative control, AAC, metadata left alone", () => {
    const { setups, warnings, described } = plan("dahua-style_relative-control");
    expect(warnings).toEqual([]);
    expect(setups[1]?.track).toEqual({
      codec: "aac",
      clockRateHz: 16_000,
      channels: 1,
      payloadType: 97,
      config: ["FAg="],
      aac: { sizeLength: 13, indexLength: 3, indexDeltaLength: 3 },
    });
    expect(described.map(({ kind }) => kind)).toEqual(["video", "audio", "application"]);
    expect(described[0]?.framesPerSecond).toBe(25);
  });

  it("TP-Link style: no o=, several s=, broken c= and m=, blanks, bare line feeds, Annex B and garbage among parameter sets", () => {
    const { setups, warnings, described } = plan("tplink-style_broken-lines");
    expect(warnings).toEqual([]);
    expect(setups).toEqual([
      { control: "track1", track: { codec: "h264", clockRateHz: 90_000, channels: 0, payloadType: 96, config: [SPS, PPS], aac: null } },
      { control: "track2", track: { codec: "pcmu", clockRateHz: 8000, channels: 1, payloadType: 0, config: [], aac: null } },
    ]);
    expect(described[0]?.framesPerSecond).toBe(15);
  });

  it("unknown video beside known sound: the second offered payload type is taken, the way back to the camera is not", () => {
    const { setups, warnings, described } = plan("onvif-style_h265-backchannel");
    expect(setups.map(({ track }) => [track.codec, track.payloadType])).toEqual([["pcmu", 0]]);
    expect(warnings).toEqual(["video is not recorded: its codec is H265, recorded is H264"]);
    expect(described.map(({ setup }) => setup !== null)).toEqual([false, true, false]);
  });
});

describe("parseSdp", () => {
  it("refuses what is no SDP", () => {
    for (const text of ["<html></html>", "", "\0\0\0", "hello world"]) {
      expect(() => parseSdp(text)).toThrow(expect.objectContaining({ code: "CAMERA_STREAM_FAULT", context: { end: "no-sdp" } }));
    }
  });

  it("is bounded", () => {
    expect(parseSdp("m=video 0 RTP/AVP 96\n".repeat(500)).media).toHaveLength(32);
    expect(parseSdp(`m=video 0 RTP/AVP 96\n${"a=rtpmap:96 X/1\n".repeat(100_000)}`).media).toHaveLength(1);
  });
});

describe("planTracks", () => {
  it("takes H.264 without parameter sets", () => {
    expect(planTracks(parseSdp(video(""))).setups[0]?.track.config).toEqual([]);
  });

  it("takes sendonly tracks when the camera marks everything so", () => {
    const { setups } = planTracks(parseSdp(`${video("a=sendonly\r\n")}m=audio 0 RTP/AVP 8\r\na=sendonly\r\n`));
    expect(setups.map(({ track }) => track.codec)).toEqual(["h264", "pcma"]);
  });

  it("reads channels from the AudioSpecificConfig where rtpmap is silent", () => {
    const lines = "a=rtpmap:97 mpeg4-generic/48000\r\na=fmtp:97 mode=AAC-hbr; config=1190\r\n";
    expect(planTracks(parseSdp(audio(lines))).setups[1]?.track).toMatchObject({
      channels: 2,
      aac: { sizeLength: 13, indexLength: 3, indexDeltaLength: 3 },
    });
  });

  it.each([
    ["a=rtpmap:97 G726-32/8000\r\n", /codec is G726-32/],
    ["a=rtpmap:97 OPUS/48000/2\r\n", /codec is OPUS/],
    ["", /does not say what payload type 97 is/],
    ["a=rtpmap:97 MPEG4-GENERIC/16000\r\na=fmtp:97 mode=AAC-hbr\r\n", /no readable AudioSpecificConfig/],
    ["a=rtpmap:97 MPEG4-GENERIC/16000\r\na=fmtp:97 config=14zz\r\n", /no readable AudioSpecificConfig/],
    ["a=rtpmap:97 MPEG4-GENERIC/16000\r\na=fmtp:97 mode=CELP-cbr;config=1408\r\n", /mode celp-cbr/],
    ["a=rtpmap:97 MPEG4-GENERIC\r\na=fmtp:97 config=1408\r\n", /clock rate is 0 Hz/],
    ["a=rtpmap:97 PCMA/8000/99\r\n", /99 channels/],
  ])("says why sound is left out: %s", (lines, message) => {
    const { setups, warnings } = planTracks(parseSdp(audio(lines)));
    expect(setups.map(({ track }) => track.codec)).toEqual(["h264"]);
    expect(warnings).toEqual([expect.stringMatching(message)]);
  });

  it("refuses interleaved H.264 and a second video track", () => {
    expect(planTracks(parseSdp(video("a=fmtp:96 packetization-mode=2\r\n"))).warnings[0]).toMatch(/interleaved mode/);
    expect(planTracks(parseSdp(video("m=video 0 RTP/AVP 98\r\na=rtpmap:98 H264/90000\r\n"))).warnings[0]).toMatch(/second video track/);
  });
});
