import { describe, expect, it } from "vitest";

const server = new URL("./foreign/gst-rtsp-server.py", import.meta.url).pathname;
/** Starts the server, hands over its URL and ends it. */
async function serving<Result>(args: readonly string[], use: (url: string) => Promise<Result>): Promise<Result> {
  const child = Bun.spawn([server, ...args], { stdin: "ignore", stdout: "pipe", env: { ...process.env, CAMERA_PASSWORD: "secret" } });
  try {
    const line = (await child.stdout.getReader().read()).value ?? new Uint8Array();
    return await use((JSON.parse(new TextDecoder().decode(line)) as { readonly url: string }).url);
  } finally {
    child.kill("SIGTERM");
    await child.exited;
  }
}

async function probe(url: string): Promise<string> {
  const entries = ["-show_entries", "stream=codec_name,width,has_b_frames,sample_rate", "-of", "csv=p=0"];
  const child = Bun.spawn(["ffprobe", "-v", "error", "-rtsp_transport", "tcp", ...entries, url], { stdout: "pipe", stderr: "pipe" });
  return (await new Response(child.stdout).text()) + (await new Response(child.stderr).text());
}

describe("GStreamer's RTSP server", { timeout: 30_000 }, () => {
  it("sends B-frames with AAC", async () => {
    expect(await serving(["--b-frames", "2", "--audio", "aac"], probe)).toBe("h264,1280,2\naac,48000\n");
  });

  it("sends several slices in aggregation packets with PCMA", async () => {
    expect(await serving(["--slices", "4", "--aggregate", "--audio", "pcma"], probe)).toBe("h264,1280,0\npcm_alaw,8000\n");
  });

  it("asks for a password", async () => {
    const args = ["--audio", "none", "--username", "viewer"];
    expect(await serving(args, probe)).toContain("401 Unauthorized");
    expect(await serving(args, (url) => probe(url.replace("rtsp://", "rtsp://viewer:secret@")))).toBe("h264,1280,0\n");
  });
});
