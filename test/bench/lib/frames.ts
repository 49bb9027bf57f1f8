import { CLIP_FPS } from "../../fakes/camera/clip.ts";
import { continuityProblems, readRecording } from "../../fakes/frames.ts";
import { BENCH_AUDIO } from "./subject.ts";

/** What files hold, of what the cameras sent. */
export interface FrameCheck {
  /** Pictures in the files, all cameras together. */
  readonly recorded: number;
  /** Most pictures any camera had sent beyond the last one recorded when its connection ended. */
  readonly tail: number;
  /** Everything that speaks against "no frame lost"; empty if nothing does. */
  readonly problems: readonly string[];
}

/** Pictures that may be on their way when a recorder is ended. */
const MAX_TAIL_FRAMES = CLIP_FPS;
/** Files are taken apart by ffmpeg; two at a time are enough for two cores. */
const WORKERS = 2;

/** Proves picture by picture that files hold all that was sent, from the first key frame after PLAY; sound included. */
export async function checkFrames(
  files: ReadonlyMap<string, readonly string[]>,
  sentFrames: ReadonlyMap<string, number>,
): Promise<FrameCheck> {
  const problems: string[] = [];
  let recorded = 0;
  let tail = 0;
  const cameras = [...sentFrames];
  const work = async () => {
    for (let next = cameras.shift(); next !== undefined; next = cameras.shift()) {
      const [camera, sent] = next;
      const recordings = [];
      for (const path of files.get(camera) ?? []) recordings.push(await readRecording(path, BENCH_AUDIO));
      const found = recordings.reduce((sum, { frames }) => sum + frames.length, 0);
      recorded += found;
      tail = Math.max(tail, sent - found);
      if (sent - found > MAX_TAIL_FRAMES) problems.push(`${camera}: ${found} pictures recorded of ${sent} sent`);
      problems.push(...continuityProblems(recordings, { firstFrame: 0 }).map((problem) => `${camera}: ${problem}`));
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, work));
  return { recorded, tail, problems };
}
