import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startVirtualCamera } from "./camera/camera.ts";
import { loadAudio, loadVideo } from "./camera/clip.ts";
import { continuityProblems, readRecording } from "./frames.ts";

const scratch = mkdtempSync(join(tmpdir(), "frames-test-"));
const whole = join(scratch, "whole.mov");

async function ffmpeg(...args: string[]): Promise<void> {
  const child = Bun.spawn(["ffmpeg", "-nostdin", "-v", "error", "-y", ...args], { stdin: "ignore", stderr: "inherit" });
  expect(await child.exited).toBe(0);
}

/** The recording once more, through a bitstream filter that damages it. */
async function damaged(name: string, ...filter: string[]): Promise<string[]> {
  const file = join(scratch, `${name}.mov`);
  await ffmpeg("-i", whole, "-c", "copy", ...filter, file);
  return continuityProblems([await readRecording(file, "aac")], { firstFrame: 0 });
}

beforeAll(async () => {
  const camera = await startVirtualCamera({ streams: [{ name: "cam1", audio: "aac" }] });
  await ffmpeg("-rtsp_transport", "tcp", "-i", camera.url("cam1"), "-t", "5", "-c", "copy", whole);
  await camera.stop();
}, 30_000);
afterAll(() => rmSync(scratch, { recursive: true }));

describe("clip", () => {
  it("has no two units of sound alike, or they would not name their place", () => {
    for (const kind of ["aac", "pcma", "pcmu"] as const) {
      const units = loadAudio(kind)?.units ?? [];
      expect(units.length).toBe(kind === "aac" ? 1875 : 3000);
      expect(new Set(units.map((unit) => Buffer.from(unit).toString("latin1"))).size).toBe(units.length);
    }
  });

  it("has an IDR picture every two seconds and no other", () => {
    for (const variant of ["1080p", "720p"] as const) {
      const types = loadVideo(variant).units.map((unit) => unit.map((nal) => (nal[0] ?? 0) & 31));
      expect(types.every((unit, index) => unit.length === 1 && unit[0] === (index % 50 === 0 ? 5 : 1))).toBe(true);
    }
  });
});

describe("continuityProblems", { timeout: 30_000 }, () => {
  it("has nothing to say about a whole recording", async () => {
    expect(continuityProblems([await readRecording(whole, "aac")], { firstFrame: 0 })).toEqual([]);
  });

  it("finds a missing first key frame", async () => {
    const problems = await damaged("late", "-copyinkf", "-bsf:v", "noise=drop=not(n)");
    expect(problems.join("\n")).toMatch(/begins with picture 1, which is no random access point\n.*picture 1 where 0 should be/);
  });

  it("finds one missing picture", async () => {
    expect((await damaged("hole", "-bsf:v", "noise=drop=eq(n\\,60)")).join("\n")).toContain("picture 61 where 60 should be");
  });

  it("finds changed bytes", async () => {
    expect((await damaged("noise", "-bsf:v", "noise=amount=-3000")).join("\n")).toContain("is not the clip's, bit for bit");
  });

  it("finds missing sound, within a file and between two", async () => {
    expect((await damaged("mute", "-bsf:a", "noise=drop=eq(n\\,40)")).join("\n")).toMatch(
      /after \d+ ticks the sound goes on at \d+ of the loop/,
    );
    const recording = await readRecording(whole, "aac");
    expect(continuityProblems([recording, recording]).join("\n")).toMatch(
      /picture 0 where \d+ should be[\s\S]*sound begins at tick 0 of the loop/,
    );
  });
});
