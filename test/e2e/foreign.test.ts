import { describe, expect, it } from "vitest";
import { Box, until } from "./box.ts";
import { type ForeignServer, startForeignServer } from "./foreign.ts";
import { ffmpegDecode, ffprobeComplaints, gstreamerDecode, packetTimes, segmentFiles } from "./segments.ts";

const SOURCES = {
  plain: { bFrames: 0, flags: ["--audio", "pcma"] },
  "b-frames": { bFrames: 2, flags: ["--audio", "aac"] },
  slices: { bFrames: 0, flags: ["--slices", "4", "--aggregate", "--audio", "pcmu"] },
  silent: { bFrames: 1, flags: ["--audio", "none", "--gop", "25"] },
} as const;
type SourceName = keyof typeof SOURCES;
const NAMES = Object.keys(SOURCES) as SourceName[];

const FRAME_MS = 40;
/** RTP ticks of 90 kHz are finer; the server rounds to its own clock. */
const FRAME_TOLERANCE_MS = 2;
describe("Debian's GStreamer RTSP server", () => {
  it("is recorded whole, also with B-frames", async () => {
    const box = await Box.create({ name: "foreign", segment: "6s" });
    const servers = new Map<SourceName, ForeignServer>();
    try {
      await box.serve();
      for (const name of NAMES) {
        const { bFrames, flags } = SOURCES[name];
        const server = await startForeignServer([...flags, "--b-frames", `${bFrames}`, "--size", "640x360", "--bitrate", "500"]);
        servers.set(name, server);
        await box.add(name, server.url);
      }
      await until(
        "two closed segments of each source",
        async () => (NAMES.every((name) => box.logOf(name, "segment.opened").length >= 3) ? true : null),
        60_000,
      );
      const numbers = new Map((await box.cameras()).map(({ id, streams }) => [id, streams[0]?.numbers]));
      const gaps = (await box.list()).filter((row) => row.kind === "gap");
      expect(await box.end()).toBe(0);
      expect(gaps).toEqual([]);
      const paths = await segmentFiles(box.roots[0] ?? "");
      for (const [at, name] of NAMES.entries()) {
        expect(numbers.get(name)).toMatchObject({ lostPackets: 0, malformedPackets: 0, timeJumps: 0, droppedFragments: 0 });
        const own = paths.filter((path) => path.includes(`/TEST0001_${at + 1}/`));
        expect(own).toHaveLength(3);
        for (const path of own) await examine(path, name, path === own.at(-1));
      }
      expect(await box.run("check", "--deep")).toMatchObject({ code: 0 });
    } finally {
      await box.end("SIGKILL");
      await Promise.all([...servers.values()].map((server) => server.stop()));
    }
  });
});

async function examine(path: string, name: SourceName, last: boolean): Promise<void> {
  const { bFrames } = SOURCES[name];
  const video = await packetTimes(path, "v:0");
  const shown = video.map(({ ptsMs }) => ptsMs).sort((a, b) => a - b);
  const steps = shown.slice(1).map((ptsMs, at) => ptsMs - (shown[at] ?? 0));
  // A picture comes before the B pictures that are shown before it: where the stream is cut off, these are still on their way.
  const steady = last ? steps.slice(0, steps.length - bFrames) : steps;
  const odd = steady.filter((stepMs) => Math.abs(stepMs - FRAME_MS) > FRAME_TOLERANCE_MS);
  expect({ name, path, odd }).toEqual({ name, path, odd: [] });
  const decoding = video.map(({ dtsMs }) => dtsMs);
  expect(decoding.every((dtsMs, at) => at === 0 || dtsMs > (decoding[at - 1] ?? 0))).toBe(true);
  expect(video.some(({ ptsMs, dtsMs }) => ptsMs !== dtsMs)).toBe(bFrames > 0);
  expect({ path, said: await ffprobeComplaints(path) }).toEqual({ path, said: "" });
  expect({ path, ...(await ffmpegDecode(path)) }).toEqual({ path, complaints: "", frames: video.length });
  expect({ path, ...(await gstreamerDecode(path)) }).toEqual({ path, complaints: "", frames: video.length });
  const sound = await packetTimes(path, "a:0");
  expect(sound.length > 0).toBe(name !== "silent");
  const broken = sound.filter(
    ({ ptsMs, durationMs }, at) => Math.abs((sound[at + 1]?.ptsMs ?? ptsMs + durationMs) - ptsMs - durationMs) > 1,
  );
  expect({ path, broken }).toEqual({ path, broken: [] });
}
