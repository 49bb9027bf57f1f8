/** `./build.sh prove demo [--seconds N]`: runs the demo, then judges every file it left by ffprobe, ffmpeg, GStreamer and picture by picture. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { DEMO_CAMERAS } from "../demo/cameras.ts";
import { ffmpegDecode, ffprobeComplaints, gstreamerDecode, scan, segmentFiles } from "../e2e/segments.ts";
import { continuityProblems, readRecording, soundOffsetMs } from "../fakes/frames.ts";
import { conclude, numberFlags, progress } from "./proof.ts";

const REPOSITORY = join(import.meta.dirname, "..", "..");
const GROUP_PICTURES = 50;

const { seconds } = numberFlags({ seconds: 130 });
const demo = spawnSync(process.execPath, [join(REPOSITORY, "test", "demo", "demo.ts"), "--seconds", String(seconds)], {
  stdio: ["ignore", process.stderr.fd, process.stderr.fd],
});

const cameras: Record<string, unknown> = {};
let holds = demo.status === 0;
for (const [at, { id, options }] of DEMO_CAMERAS.entries()) {
  const stream = options.streams?.[0];
  const paths = (await segmentFiles(join(REPOSITORY, "var", "demo", "recordings"))).filter((path) => path.includes(`/DEMO0001_${at + 1}/`));
  const problems: string[] = [];
  const recordings = [];
  let [ffmpegPictures, gstreamerPictures, fragments] = [0, 0, 0];
  for (const path of paths) {
    const recording = await readRecording(path, stream?.audio ?? "none");
    recordings.push(recording);
    const scanned = await scan(path);
    const ffmpeg = await ffmpegDecode(path);
    const gstreamer = await gstreamerDecode(path);
    fragments += scanned.fragments.length;
    ffmpegPictures += ffmpeg.frames;
    gstreamerPictures += gstreamer.frames;
    const said = [
      await ffprobeComplaints(path),
      ffmpeg.complaints,
      gstreamer.complaints,
      ...scanned.problems,
      scanned.sealed ? "" : "not sealed",
    ];
    problems.push(...said.filter((text) => text !== "").map((text) => `${path}: ${text}`));
    progress(`${path}: ${recording.frames.length} pictures, ${ffmpeg.frames} by ffmpeg, ${gstreamer.frames} by GStreamer`);
  }
  // A client is let in at its first picture; recording starts at the first key frame from there on.
  const firstFrame = Math.ceil((stream?.firstFrame ?? 0) / GROUP_PICTURES) * GROUP_PICTURES;
  problems.push(...continuityProblems(recordings, { firstFrame }));
  const pictures = recordings.reduce((sum, { frames }) => sum + frames.length, 0);
  if (pictures !== ffmpegPictures || pictures !== gstreamerPictures) problems.push("not every picture decodes");
  holds &&= problems.length === 0 && pictures > 0;
  cameras[id] = {
    files: paths.length,
    fragments,
    pictures,
    ffmpegPictures,
    gstreamerPictures,
    first: recordings[0]?.frames[0]?.number,
    last: recordings.at(-1)?.frames.at(-1)?.number,
    soundOffsetMs: recordings[0] === undefined ? null : soundOffsetMs(recordings[0]),
    problems,
  };
}
conclude({ holds, seconds, demoExitCode: demo.status, cameras });
