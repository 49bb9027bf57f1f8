import { describe, expect, it } from "vitest";
import { baseUrl, parseRtspUrl, redirectTarget, resolveControl } from "../../src/rtsp/url.ts";

describe("parseRtspUrl", () => {
  it("splits user info off and keeps path and query exactly", () => {
    expect(parseRtspUrl("rtsp://admin:p%40ss@10.0.0.5:8554/cam/realmonitor?channel=1&subtype=0&x=%2f")).toEqual({
      url: "rtsp://10.0.0.5:8554/cam/realmonitor?channel=1&subtype=0&x=%2f",
      host: "10.0.0.5",
      port: 8554,
      username: "admin",
      password: "p@ss",
    });
  });

  it("takes the last @ of the authority, and one in the path for what it is", () => {
    expect(parseRtspUrl("rtsp://admin:a@b@cam/x@y")).toMatchObject({
      url: "rtsp://cam/x@y",
      host: "cam",
      username: "admin",
      password: "a@b",
    });
    expect(parseRtspUrl("rtsp://cam?user=a@b")).toMatchObject({ url: "rtsp://cam?user=a@b", host: "cam", port: 554, username: null });
    expect(parseRtspUrl("rtsp://admin@cam/")).toMatchObject({ username: "admin", password: null });
    expect(parseRtspUrl("rtsp://a:100%@cam/")).toMatchObject({ password: "100%" });
  });

  it("reads IPv6", () => {
    expect(parseRtspUrl("rtsp://[fe80::1]:554/a")).toMatchObject({ host: "fe80::1", port: 554, url: "rtsp://[fe80::1]:554/a" });
  });

  it.each([
    ["rtsps://cam/", /scheme is "rtsps", only rtsp is supported/],
    ["http://cam/", /scheme is "http"/],
    ["cam/live", /does not begin with rtsp:\/\/host/],
    ["rtsp://", /no host/],
    ["rtsp://u:secret@/x", /no host/],
    ["rtsp://u:secret@cam:99999/x", /port is 99999, allowed are 1 to 65535/],
    ["rtsp://u:secret@cam:0/x", /port is 0/],
    ["rtsp://u:secret@[::zz]/x", /not an IPv6 address/],
    ["rtsp://fe80::1/x", /host is not a name/],
    ["rtsp://cam/a b", /blanks or control characters/],
    ["rtsp://cam/a\r\nX: y", /blanks or control characters/],
    [`rtsp://cam/${"a".repeat(3000)}`, /2048 are allowed/],
  ])("refuses %s by name and without secrets", (text, message) => {
    expect(() => parseRtspUrl(text)).toThrow(expect.objectContaining({ code: "INPUT_INVALID", message: expect.stringMatching(message) }));
    expect(() => parseRtspUrl(text)).not.toThrow(/secret/);
  });
});

describe("baseUrl", () => {
  const request = "rtsp://10.0.0.5:8554/live?x=1";
  it.each([
    ["Content-Base first", "rtsp://10.0.0.5/base/", "rtsp://10.0.0.5/location", "rtsp://10.0.0.5/base/"],
    ["then Content-Location", null, "rtsp://10.0.0.5/location", "rtsp://10.0.0.5/location"],
    ["then the request URL", null, null, request],
    ["scheme missing", "10.0.0.5:8554/live/", null, "rtsp://10.0.0.5:8554/live/"],
    ["scheme doubled", "rtsp://rtsp://10.0.0.5/live/", null, "rtsp://10.0.0.5/live/"],
    ["path alone", "/live/", null, "rtsp://10.0.0.5:8554/live/"],
    ["raw IPv6", "rtsp://fe80::1/live/", null, "rtsp://fe80::1/live/"],
    ["user info echoed", "rtsp://admin:pw@10.0.0.5/live/", null, "rtsp://10.0.0.5/live/"],
    ["senseless, falls through", "live stream", "rtsp://10.0.0.5/l/", "rtsp://10.0.0.5/l/"],
    ["another scheme, falls through", "http://10.0.0.5/", null, request],
    ["empty, falls through", "", null, request],
  ])("%s", (_, contentBase, contentLocation, expected) => {
    expect(baseUrl(request, contentBase, contentLocation)).toBe(expected);
  });
});

describe("resolveControl", () => {
  it.each([
    ["rtsp://c/live/", "trackID=1", "rtsp://c/live/trackID=1"],
    ["rtsp://c/live", "trackID=1", "rtsp://c/live/trackID=1"],
    ["rtsp://c/live", "/trackID=1", "rtsp://c/live/trackID=1"],
    ["rtsp://c/live/", "/trackID=1", "rtsp://c/live/trackID=1"],
    ["rtsp://c/live/", "/live/track1", "rtsp://c/live/track1"],
    ["rtsp://c/cam/realmonitor?channel=1&subtype=0", "trackID=0", "rtsp://c/cam/realmonitor?channel=1&subtype=0/trackID=0"],
    ["rtsp://c/cam/realmonitor?channel=1&subtype=0/", "trackID=0", "rtsp://c/cam/realmonitor?channel=1&subtype=0/trackID=0"],
    ["rtsp://c/live", "?ctype=video", "rtsp://c/live?ctype=video"],
    ["rtsp://c/live/", "*", "rtsp://c/live/"],
    ["rtsp://c/live/", null, "rtsp://c/live/"],
    ["rtsp://c/live/", "rtsp://10.9.9.9/other/track1", "rtsp://10.9.9.9/other/track1"],
    ["rtsp://c/live/", "rtsp://rtsp://c/live/track1", "rtsp://c/live/track1"],
    ["rtsp://c/live/", "track 1\u0007", "rtsp://c/live/track%201"],
  ])("%s with %s", (base, control, expected) => {
    expect(resolveControl(base, control)).toBe(expected);
  });
});

describe("redirectTarget", () => {
  it("takes absolute and rooted targets", () => {
    expect(redirectTarget("rtsp://c:99/a", "rtsp://d/b")).toBe("rtsp://d/b");
    expect(redirectTarget("rtsp://c:99/a", "/b")).toBe("rtsp://c:99/b");
    expect(redirectTarget("rtsp://c:99/a", "b")).toBeNull();
    expect(redirectTarget("rtsp://c:99/a", null)).toBeNull();
  });
});
