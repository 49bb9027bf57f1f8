import { stat } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startVirtualCamera, type VirtualCamera } from "../fakes/camera/camera.ts";
import { continuityProblems, type Recording, readRecording } from "../fakes/frames.ts";
import { Box, type ListedRow, until } from "./box.ts";
import { ENDING_PICTURES, inTurns } from "./fault-run.ts";
import { ffmpegDecode, ffprobeComplaints, gstreamerDecode, scan, segmentFiles } from "./segments.ts";

const SOUNDS = ["aac", "pcma", "pcmu", "none"] as const;
const SEGMENTS = 3;

interface RecordedFile {
  readonly path: string;
  readonly recording: Recording;
}

describe("four cameras recorded for half a minute", () => {
  let camera: VirtualCamera;
  let box: Box;
  let listed: ListedRow[];
  /** Pictures the camera had sent when recording was over. */
  let sentPictures: number[];
  const files = new Map<string, RecordedFile[]>();
  const name = (at: number): string => `cam${at + 1}`;

  beforeAll(async () => {
    camera = await startVirtualCamera({
      streams: SOUNDS.map((audio, at) => ({ name: name(at), audio, bitrateBps: audio === "none" ? 4_000_000 : 0, firstFrame: 1000 })),
    });
    box = await Box.create({ name: "record", segment: "10s" });
    await box.serve();
    for (const id of SOUNDS.keys()) await box.add(name(id), camera.url(name(id)));
    await until(
      "the fourth segment of each camera",
      async () => (SOUNDS.every((_, at) => box.logOf(name(at), "segment.opened").length > SEGMENTS) ? true : null),
      60_000,
    );
    await until(
      `${SEGMENTS} closed segments of each camera`,
      async () => {
        listed = await box.list();
        const closed = (id: string) => listed.filter((row) => row.kind === "segment" && row.camera === id && row.state === "closed");
        return SOUNDS.every((_, at) => closed(name(at)).length === SEGMENTS) ? true : null;
      },
      10_000,
    );
    expect(await box.end()).toBe(0);
    sentPictures = SOUNDS.map((_, at) => camera.clients(name(at))[0]?.counts?.frames ?? 0);
    for (const [at, sound] of SOUNDS.entries()) {
      const paths = (await segmentFiles(box.roots[0] ?? "")).filter((path) => path.includes(`/TEST0001_${at + 1}/`));
      const recorded = await Promise.all(paths.map(async (path) => ({ path, recording: await readRecording(path, sound) })));
      files.set(name(at), recorded);
    }
  }, 120_000);

  afterAll(async () => {
    await box.end("SIGKILL");
    await camera.stop();
  });

  it.each(SOUNDS.map((sound, at) => [sound, at] as const))(
    "has every picture and all sound, from PLAY on and over the loop (%s)",
    (_, at) => {
      const recordings = (files.get(name(at)) ?? []).map(({ recording }) => recording);
      expect(recordings).toHaveLength(SEGMENTS + 1);
      // The clip has 1500 pictures, so that all but the first ten seconds are in its second loop.
      expect(continuityProblems(recordings, { firstFrame: 1000 })).toEqual([]);
      expect(recordings.at(-1)?.frames.at(-1)?.loop).toBe(1);
    },
  );

  it("loses nothing that had come when it was told to stop", () => {
    for (const [at, sent] of sentPictures.entries()) {
      const last = files.get(name(at))?.at(-1)?.recording.frames.at(-1)?.number ?? -1;
      expect(1000 + sent - (last + 1)).toBeLessThanOrEqual(ENDING_PICTURES);
    }
  });

  it("makes files that players take without a word, to their last picture", async () => {
    await inTurns([...files.values()].flat(), 2, async ({ path, recording }) => {
      const pictures = recording.frames.length;
      expect({ path, said: await ffprobeComplaints(path) }).toEqual({ path, said: "" });
      expect({ path, ...(await ffmpegDecode(path)) }).toEqual({ path, complaints: "", frames: pictures });
      expect({ path, ...(await gstreamerDecode(path)) }).toEqual({ path, complaints: "", frames: pictures });
    });
  });

  it("cuts at the first key frame after ten seconds, seals and chains", async () => {
    for (const recorded of files.values()) {
      const scans = await Promise.all(recorded.map(({ path }) => scan(path)));
      expect(scans.map(({ sealed, problems }) => ({ sealed, problems }))).toEqual(scans.map(() => ({ sealed: true, problems: [] })));
      expect(scans.map(({ head }) => head?.sequence)).toEqual([0, 1, 2, 3]);
      expect(new Set(scans.map(({ head }) => head?.run)).size).toBe(1);
      for (const { durationMs } of scans.slice(0, SEGMENTS)) expect(Math.abs(durationMs - 10_000)).toBeLessThan(1);
    }
  });

  it("names files by their start in the site's zone and their length", async () => {
    for (const { path } of [...files.values()].flat()) {
      const { head, durationMs } = await scan(path);
      const [, stamp = "", length = ""] = /^(\d{14})-(\d+)\.mp4$/.exec(basename(path)) ?? [];
      const local = new Date((head?.startUtcMs ?? 0) + 8 * 3_600_000);
      expect(stamp).toBe(local.toISOString().slice(0, 19).replace(/\D/g, ""));
      expect(Math.abs(Number(length) - durationMs)).toBeLessThanOrEqual(1);
      expect(relative(box.roots[0] ?? "", path).split("/")[1]).toBe(stamp.slice(0, 8));
    }
  });

  it("lists what the files are", async () => {
    const rows = listed.filter((row) => row.kind === "segment" && row.state === "closed");
    expect(rows).toHaveLength(SOUNDS.length * SEGMENTS);
    for (const row of rows) {
      const path = join(box.roots[0] ?? "", relative(box.roots[0] ?? "", row.path ?? ""));
      expect(row.path).toBe(path);
      const { head, durationMs } = await scan(path);
      expect(row).toMatchObject({ stream: "main", run: head?.run, sequence: head?.sequence, bytes: (await stat(path)).size });
      expect(row.from).toBe(head?.startUtcMs);
      // The start of each fragment is drawn towards the arrival of its media by 500 ppm at most.
      expect(Math.abs(row.to - row.from - durationMs)).toBeLessThanOrEqual(1 + durationMs * 500e-6);
      const next = rows.find(({ run, sequence = 0 }) => run === row.run && sequence === (row.sequence ?? 0) + 1);
      expect(Math.abs((next?.from ?? row.to) - row.to)).toBeLessThanOrEqual(1);
    }
    expect(listed.filter((row) => row.kind === "run")).toHaveLength(SOUNDS.length);
    expect(listed.filter((row) => row.kind === "gap")).toEqual([]);
  });

  it("leaves nothing for check to find", async () => {
    expect(await box.run("check", "--deep")).toMatchObject({ code: 0, stderr: "" });
  });
});
