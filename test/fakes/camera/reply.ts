/** What the camera answers. */
export interface Reply {
  /** Code and reason. */
  readonly status: string;
  readonly headers?: readonly string[];
  readonly body?: string;
}

/** Path of an RTSP URL, without its query; control names may stand behind the query. */
export function pathOf(uri: string): string {
  const [, path = "/", , behind = ""] = /^rtsp:\/\/[^/?]*(\/[^?]*)?(\?[^/]*(\/.*)?)?$/i.exec(uri) ?? [];
  return path.replace(/\/$/, "") + behind;
}

/** The text of a reply to the request with this CSeq (RFC 2326 7). */
export function formatReply(reply: Reply, cseq: string): string {
  const body = reply.body ?? "";
  const length = body === "" ? [] : [`Content-Length: ${Buffer.byteLength(body, "latin1")}`];
  return [`RTSP/1.0 ${reply.status}`, `CSeq: ${cseq}`, ...(reply.headers ?? []), ...length, "", body].join("\r\n");
}

/** A reply that no parser may accept as it stands, one way after the other. */
export function malformReply(text: string, turn: number): string {
  const ways = [
    () => text.replace("RTSP/1.0 200", "RTSP/1.0 2x0"),
    () => text.replace(/CSeq: .*\r\n/, ""),
    () => text.replace(/CSeq: (.*)\r\n/, "CSeq: -$1x\r\n"),
    () => text.replace("\r\n\r\n", "\r\nContent-Length: 99999999999\r\n\r\n"),
    () => text.replace("\r\n", `\r\nX-Long: ${"x".repeat(100_000)}\r\n`),
    () => text.replace("RTSP/1.0", "\u0000\u0001\u0002"),
  ];
  return (ways[turn % ways.length] ?? (() => text))();
}
