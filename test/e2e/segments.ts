import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { loadAddon } from "../../src/engine/loader.ts";
import type { SegmentScan } from "../../src/engine/types.ts";
import { runProgram } from "./box.ts";

/** Everything below a root that looks like a segment, closed or open, in name order. */
export async function segmentFiles(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && /\.mp4(\.open)?$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** Reads a segment with the product's own reader. */
export function scan(path: string): Promise<SegmentScan> {
  return loadAddon().files.scanSegment(path);
}

/** What ffprobe complains about; empty for a file that is right. */
export async function ffprobeComplaints(path: string): Promise<string> {
  const { stdout, stderr } = await runProgram("ffprobe", ["-v", "warning", "-i", path]);
  return stdout + stderr;
}

/** What a full decode with ffmpeg complains about, and the pictures it gave. */
export async function ffmpegDecode(path: string): Promise<{ complaints: string; frames: number }> {
  const { stdout, stderr } = await runProgram("ffmpeg", [
    "-v",
    "warning",
    "-nostdin",
    "-progress",
    "-",
    "-i",
    path,
    "-map",
    "0",
    "-fps_mode",
    "passthrough",
    "-f",
    "null",
    "-",
  ]);
  const frames = [...stdout.matchAll(/^frame=(\d+)$/gm)].at(-1)?.[1];
  return { complaints: stderr, frames: Number(frames ?? 0) };
}

/** Decodes a file's video with GStreamer; returns the pictures it gave and what it complained about. */
export async function gstreamerDecode(path: string): Promise<{ complaints: string; frames: number }> {
  const { code, stdout, stderr } = await runProgram("gst-launch-1.0", [
    "--no-position",
    "filesrc",
    `location=${path}`,
    "!",
    "qtdemux",
    "name=d",
    "d.video_0",
    "!",
    "queue",
    "!",
    "h264parse",
    "!",
    "avdec_h264",
    "!",
    "identity",
    "name=count",
    "silent=false",
    "!",
    "fakesink",
    "sync=false",
    "-v",
  ]);
  const frames = stdout.split("\n").filter((line) => line.includes("count: last-message = chain")).length;
  return { complaints: code === 0 ? stderr : `exit ${code}: ${stderr}`, frames };
}

/** When a packet is shown and decoded, and for how long it lasts. */
export interface PacketTimes {
  readonly ptsMs: number;
  readonly dtsMs: number;
  readonly durationMs: number;
}

/** Times of each packet of a track as ffprobe reads them, in file order; empty where there is no such track. */
export async function packetTimes(path: string, track: string): Promise<PacketTimes[]> {
  const fields = ["-select_streams", track, "-show_entries", "packet=pts_time,dts_time,duration_time", "-of", "csv=p=0"];
  const { stdout } = await runProgram("ffprobe", ["-v", "error", ...fields, path]);
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [ptsMs = Number.NaN, dtsMs = Number.NaN, durationMs = Number.NaN] = line.split(",").map((seconds) => Number(seconds) * 1000);
      return { ptsMs, dtsMs, durationMs };
    });
}
