import { describe, expect, test } from "vitest";
import { displayUrl, splitCameraUrl } from "../../src/config/camera-url.ts";

describe("splitting", () => {
  test.each([
    ["rtsp://10.0.0.1/ch1", "rtsp://10.0.0.1/ch1", null, null],
    ["rtsp://cam.local:8554", "rtsp://cam.local:8554", null, null],
    ["rtsp://admin@10.0.0.1/", "rtsp://10.0.0.1/", "admin", null],
    ["rtsp://admin:@10.0.0.1/", "rtsp://10.0.0.1/", "admin", ""],
    ["rtsp://admin:s3cret@10.0.0.1:554/a?b=c&d", "rtsp://10.0.0.1:554/a?b=c&d", "admin", "s3cret"],
    ["rtsp://admin:p%40s%2Fs@10.0.0.1/", "rtsp://10.0.0.1/", "admin", "p@s/s"],
    ["rtsp://admin:p@ss:w%@10.0.0.1/", "rtsp://10.0.0.1/", "admin", "p@ss:w%"],
    ["rtsp://u:p@[fe80::1]:554/x", "rtsp://[fe80::1]:554/x", "u", "p"],
    ["RTSP://Host/Path%20X/?q=a@b", "RTSP://Host/Path%20X/?q=a@b", null, null],
  ])("%s", (text, url, username, password) => expect(splitCameraUrl(text)).toEqual({ url, username, password }));

  test.each([
    ["http://10.0.0.1/", 'scheme "http" is not supported; allowed: rtsp'],
    ["rtsps://10.0.0.1/", 'scheme "rtsps" is not supported; allowed: rtsp'],
    ["10.0.0.1/ch1", "must begin with rtsp://"],
    ["rtsp://", "no valid host"],
    ["rtsp:///path", "no valid host"],
    ["rtsp://host:0/", "port must be from 1 to 65535; got 0"],
    ["rtsp://host:70000/", "port must be from 1 to 65535; got 70000"],
    ["rtsp://host/a b", "spaces"],
    ["rtsp://host/\r\nX: y", "spaces, control"],
    ["rtsp://host/#x", '"#"'],
    ["rtsp://:pw@host/", "empty user name"],
    [`rtsp://host/${"x".repeat(1100)}`, "at most 1024"],
  ])("%s is refused", (text, message) => expect(splitCameraUrl(text)).toEqual({ problem: expect.stringContaining(message) }));

  test("no message repeats a password", () => {
    for (const text of [
      "http://u:hunter2@h/",
      "rtsp://u:hunter2/x@h/",
      "rtsp://u:hunter2@h:0/",
      "rtsp://u:hunter2@h/ ",
      "rtsp://u:hunter2#@h/",
    ]) {
      expect(JSON.stringify(splitCameraUrl(text))).not.toContain("hunter2");
    }
  });
});

test("credentials in path and query are hidden", () => {
  expect(displayUrl("rtsp://h/user=admin&password=abc&channel=1&stream=0.sdp?")).toBe(
    "rtsp://h/user=admin&password=***&channel=1&stream=0.sdp?",
  );
  expect(displayUrl("rtsp://h/user=admin_password=abc_channel=1")).not.toContain("abc");
  expect(displayUrl("rtsp://h/ch1?token=q1&pwd=q2")).toBe("rtsp://h/ch1?token=***&pwd=***");
  expect(displayUrl("rtsp://h/bypass=1?compass=2")).toBe("rtsp://h/bypass=1?compass=2");
});
