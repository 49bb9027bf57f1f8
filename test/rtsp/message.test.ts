import { describe, expect, it } from "vitest";
import { RecorderError } from "../../src/base/errors.ts";
import { cseqOf, excerpt, parseMessage, serializeReply, serializeRequest } from "../../src/rtsp/message.ts";

describe("parseMessage", () => {
  it("reads a reply as the RFC writes it", () => {
    const reply = parseMessage("RTSP/1.0 200 OK\r\nCSeq: 7\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\nrest");
    expect(reply).toMatchObject({ kind: "reply", status: 200, reason: "OK", body: "v=0\r\n\r\nrest" });
    expect(cseqOf(reply)).toBe(7);
    expect(reply.headers.get("content-type")).toBe("application/sdp");
  });

  it("tolerates line feeds alone, blanks, odd case, folding, leading blank lines and senseless lines", () => {
    const reply = parseMessage(
      '\r\n\nrtsp/1.0  401   Unauthorized \ncseq :  3 \nWWW-AUTHENTICATE:Digest realm="a",\n  nonce="b"\n<html>\nServer:\n\nbody',
    );
    expect(reply).toMatchObject({ kind: "reply", status: 401, reason: "Unauthorized", body: "body" });
    expect(cseqOf(reply)).toBe(3);
    expect(reply.headers.get("www-authenticate")).toBe('Digest realm="a", nonce="b"');
    expect(reply.headers.get("server")).toBe("");
  });

  it("keeps repeated fields apart and does without a reason", () => {
    const reply = parseMessage("RTSP/1.0 401\r\nWWW-Authenticate: Basic realm=x\r\nWWW-Authenticate: Digest realm=y\r\n\r\n");
    expect(reply.headers.all("www-authenticate")).toEqual(["Basic realm=x", "Digest realm=y"]);
    expect(reply).toMatchObject({ status: 401, reason: "" });
  });

  it("reads a request of the server", () => {
    const request = parseMessage("SET_PARAMETER rtsp://c/live RTSP/1.0\r\nCSeq: 1\r\n\r\nping");
    expect(request).toMatchObject({ kind: "request", method: "SET_PARAMETER", url: "rtsp://c/live", body: "ping" });
  });

  it.each([
    ["HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n"],
    ["a banner", "220 ProFTPD ready\r\n"],
    ["nothing", ""],
    ["a short status", "RTSP/1.0 20 OK\r\n\r\n"],
    ["a request without version", "OPTIONS *\r\n\r\n"],
  ])("names %s as no RTSP", (_, text) => {
    expect(() => parseMessage(text)).toThrow(expect.objectContaining({ code: "CAMERA_NOT_RTSP" }));
  });

  it("bounds what it keeps", () => {
    const many = parseMessage(`RTSP/1.0 200 OK\r\n${"X: 1\r\n".repeat(1000)}\r\n`);
    expect(many.headers.all("x")).toHaveLength(128);
    expect(() => parseMessage(`RTSP/1.0 200 OK\r\nX: ${"y".repeat(200_000)}\r\n\r\n`)).toThrow(RecorderError);
  });

  it("ignores a CSeq that is no number", () => {
    expect(cseqOf(parseMessage("RTSP/1.0 200 OK\r\nCSeq: x\r\n\r\n"))).toBeNull();
    expect(cseqOf(parseMessage("RTSP/1.0 200 OK\r\n\r\n"))).toBeNull();
  });
});

describe("serialising", () => {
  it("writes requests and replies, leaves out what is null, and lets no value begin a line", () => {
    expect(
      serializeRequest("SETUP", "rtsp://c/1", 2, [
        ["Session", "a\r\nEvil: 1"],
        ["Authorization", null],
      ]),
    ).toBe("SETUP rtsp://c/1 RTSP/1.0\r\nCSeq: 2\r\nSession: aEvil: 1\r\n\r\n");
    expect(serializeReply(501, "Not Implemented", null)).toBe("RTSP/1.0 501 Not Implemented\r\n\r\n");
  });

  it("shows what a peer said in one clean, short line", () => {
    expect(excerpt("a\u0000b\r\n\u001b[31m")).toBe("a·b···[31m");
    expect(excerpt("x".repeat(100))).toHaveLength(61);
  });
});
