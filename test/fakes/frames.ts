/**
 * Reads recordings of the virtual camera back without our own reader: ffmpeg takes the files apart, and what comes out is compared with
 * the committed clip. Video is proved picture by picture: the stamp names it, its slices must be those of the clip. Sound is proved by
 * content, since no two stretches of the clip sound alike: what is recorded must be a stretch of the loop without a break.
 */
import {
  type AudioKind,
  CLIP_FPS,
  CLIP_FRAMES,
  loadAudio,
  loadVideo,
  splitAdts,
  splitAnnexB,
  VIDEO_VARIANTS,
  type VideoVariant,
} from "./camera/clip.ts";
import { type FrameStamp, readStamp } from "./camera/stamp.ts";

/** One access unit of a file. */
export interface RecordedFrame extends FrameStamp {
  /** Pictures since the start of the client's timeline: `loop` and `frame` in one number. */
  readonly number: number;
  /** It has an IDR slice. */
  readonly randomAccess: boolean;
  /** The variant whose slices it has, bit for bit; null if something is missing or changed. */
  readonly variant: VideoVariant | null;
}

/** A place where recorded sound does not go on as the clip does. */
export interface SoundBreak {
  /** Ticks from the start of the file's sound. */
  readonly atTicks: number;
  /** Where in the loop it should be, and where it is; null is nowhere. */
  readonly expectedTicks: number | null;
  readonly foundTicks: number | null;
}

/** The sound of a file. */
export interface RecordedSound {
  readonly clockRateHz: number;
  /** Ticks of one loop of the clip. */
  readonly loopTicks: number;
  /** Where in the loop it begins; null if it is not the clip's. */
  readonly startTicks: number | null;
  readonly durationTicks: number;
  readonly breaks: readonly SoundBreak[];
}

/** What one file holds, in file order. */
export interface Recording {
  readonly path: string;
  readonly frames: readonly RecordedFrame[];
  /** Pictures that no stamp announces. */
  readonly unstampedPictures: number;
  /** Presentation time of each packet by track, seconds, in file order. */
  readonly videoPtsS: readonly number[];
  readonly soundPtsS: readonly number[];
  readonly sound: RecordedSound | null;
}

/** Takes a file apart. `audio` is what the camera sent. */
export async function readRecording(path: string, audio: AudioKind = "none"): Promise<Recording> {
  // -copyinkf: a file that begins in the middle of a group must show it.
  const video = await run([
    "ffmpeg",
    "-i",
    path,
    "-map",
    "0:v:0",
    "-c",
    "copy",
    "-copyinkf",
    "-bsf:v",
    "h264_mp4toannexb",
    "-f",
    "h264",
    "-",
  ]);
  const { frames, unstampedPictures } = framesOf(video);
  const videoPtsS = await packetTimes(path, "v:0");
  if (audio === "none") return { path, frames, unstampedPictures, videoPtsS, soundPtsS: [], sound: null };
  const format = { aac: "adts", pcma: "alaw", pcmu: "mulaw", unknown: "data" }[audio];
  const sound = await run(["ffmpeg", "-i", path, "-map", "0:a:0", "-c", "copy", "-f", format, "-"]);
  return {
    path,
    frames,
    unstampedPictures,
    videoPtsS,
    soundPtsS: await packetTimes(path, "a:0"),
    sound: soundOf(sound, audio),
  };
}

/**
 * What speaks against these files being one run without a hole, in order; empty if nothing does. Each file begins with a random access
 * point; pictures count up by one through all files; presentation times never stand still or run back, and step as the pictures do; sound
 * goes on within files and from one to the next; and sound and pictures of the clip lie together.
 */
export function continuityProblems(recordings: readonly Recording[], expected: { readonly firstFrame?: number } = {}): string[] {
  const problems: string[] = [];
  let next = expected.firstFrame ?? null;
  let nextSoundTicks: number | null = null;
  for (const recording of recordings) {
    const say = (problem: string) => problems.push(`${recording.path}: ${problem}`);
    const { frames, sound, videoPtsS } = recording;
    const first = frames[0];
    if (first === undefined) {
      say("no picture has a stamp");
      continue;
    }
    if (!first.randomAccess) say(`begins with picture ${first.number}, which is no random access point`);
    if (recording.unstampedPictures > 0) say(`${recording.unstampedPictures} pictures without a stamp`);
    for (const frame of frames) {
      if (next !== null && frame.number !== next) say(`picture ${frame.number} where ${next} should be`);
      if (frame.variant === null) say(`picture ${frame.number} is not the clip's, bit for bit`);
      next = frame.number + 1;
    }
    if (videoPtsS.length !== frames.length) say(`${videoPtsS.length} video packets hold ${frames.length} pictures`);
    videoPtsS.forEach((ptsS, index) => {
      const stepMs = (ptsS - (videoPtsS[index - 1] ?? ptsS - 1 / CLIP_FPS)) * 1000;
      if (Math.abs(stepMs - 1000 / CLIP_FPS) > 2) say(`presentation time steps by ${stepMs.toFixed(1)} ms before picture ${index}`);
    });
    if (sound === null) continue;
    if (sound.startTicks === null) {
      say("the sound is not the clip's");
      continue;
    }
    if (nextSoundTicks !== null && sound.startTicks !== nextSoundTicks) {
      say(`sound begins at tick ${sound.startTicks} of the loop, the file before ended at ${nextSoundTicks}`);
    }
    for (const { atTicks, expectedTicks, foundTicks } of sound.breaks) {
      say(`after ${atTicks} ticks the sound goes on at ${foundTicks} of the loop, not ${expectedTicks}`);
    }
    nextSoundTicks = (sound.startTicks + sound.durationTicks) % sound.loopTicks;
    const offsetMs = soundOffsetMs(recording);
    if (offsetMs !== null && Math.abs(offsetMs) > 200) say(`sound lies ${offsetMs.toFixed(0)} ms beside the pictures`);
  }
  return problems;
}

/** How much later the file presents the clip's sound than its pictures; null without one of the two. */
export function soundOffsetMs({ frames, sound, videoPtsS, soundPtsS }: Recording): number | null {
  const [first, videoPts, soundPts] = [frames[0], videoPtsS[0], soundPtsS[0]];
  if (first === undefined || videoPts === undefined || soundPts === undefined || sound?.startTicks == null) return null;
  const loopS = CLIP_FRAMES / CLIP_FPS;
  const offsetS = soundPts - sound.startTicks / sound.clockRateHz - (videoPts - first.frame / CLIP_FPS);
  // The two may stand on different sides of the loop's seam.
  return (offsetS - Math.round(offsetS / loopS) * loopS) * 1000;
}

function framesOf(annexB: Uint8Array): Pick<Recording, "frames" | "unstampedPictures"> {
  const frames: RecordedFrame[] = [];
  let unstampedPictures = 0;
  let stamp: FrameStamp | null = null;
  let slices: Uint8Array[] = [];
  const close = () => {
    if (stamp === null) return;
    const { frame } = stamp;
    const variant = VIDEO_VARIANTS.find((name) => sameUnits(slices, loadVideo(name).units[frame] ?? [])) ?? null;
    const randomAccess = slices.some((slice) => ((slice[0] ?? 0) & 31) === 5);
    frames.push({ ...stamp, number: stamp.loop * CLIP_FRAMES + frame, randomAccess, variant });
  };
  for (const nal of splitAnnexB(annexB)) {
    const type = (nal[0] ?? 0) & 31;
    const next = readStamp(nal);
    if (next !== null) {
      close();
      stamp = next;
      slices = [];
    } else if (type >= 1 && type <= 5) {
      // The top bit of the first payload byte is set where first_mb_in_slice is 0 (ITU-T H.264 7.3.3): a picture begins.
      if (((nal[1] ?? 0) & 0x80) !== 0 && (stamp === null || slices.length > 0)) {
        // It lost its stamp on the way; the picture before ends here all the same.
        unstampedPictures++;
        close();
        stamp = null;
        slices = [];
      }
      slices.push(nal);
    }
  }
  close();
  return { frames, unstampedPictures };
}

function soundOf(bytes: Uint8Array, kind: AudioKind): RecordedSound | null {
  const clip = loadAudio(kind);
  if (clip === null) return null;
  const { clockRateHz, unitTicks } = clip;
  const loopTicks = unitTicks * clip.units.length;
  // G.711 is compared in stretches of 10 ms, so that no packet size of the recorder matters; the last one may be shorter.
  const pieceTicks = kind === "aac" ? unitTicks : 80;
  const pieces = kind === "aac" ? splitAdts(bytes) : stretches(bytes, pieceTicks);
  const loop = Buffer.concat(clip.units);
  const key = (unit: Uint8Array) => Buffer.from(unit).toString("latin1");
  const aacPlaces = new Map(kind === "aac" ? clip.units.map((unit, index) => [key(unit), index * unitTicks]) : []);
  const twice = Buffer.concat([loop, loop]);
  const find = (piece: Uint8Array): number | null => {
    if (kind === "aac") return aacPlaces.get(key(piece)) ?? null;
    const at = twice.indexOf(piece);
    return at < 0 ? null : at % loopTicks;
  };
  const isAt = (piece: Uint8Array, ticks: number): boolean =>
    kind === "aac" ? aacPlaces.get(key(piece)) === ticks : twice.subarray(ticks, ticks + piece.length).equals(piece);
  const breaks: SoundBreak[] = [];
  let startTicks: number | null = null;
  let next: number | null = null;
  let atTicks = 0;
  for (const [index, piece] of pieces.entries()) {
    const ticks = kind === "aac" ? unitTicks : piece.length;
    if (next === null || !isAt(piece, next)) {
      const found = find(piece);
      if (index === 0) startTicks = found;
      else breaks.push({ atTicks, expectedTicks: next, foundTicks: found });
      next = found;
    }
    atTicks += ticks;
    if (next !== null) next = (next + ticks) % loopTicks;
  }
  return { clockRateHz, loopTicks, startTicks, durationTicks: atTicks, breaks };
}

function stretches(bytes: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => bytes.subarray(index * size, (index + 1) * size));
}

function sameUnits(left: readonly Uint8Array[], right: readonly Uint8Array[]): boolean {
  return left.length === right.length && left.every((unit, index) => Buffer.compare(unit, right[index] ?? new Uint8Array()) === 0);
}

async function packetTimes(path: string, track: string): Promise<number[]> {
  const args = ["ffprobe", "-select_streams", track, "-show_entries", "packet=pts_time", "-of", "csv=p=0", path];
  const text = new TextDecoder().decode(await run(args));
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => Number.parseFloat(line));
}

/** Output of a program of the ffmpeg family; throws with its complaints if it fails. */
async function run([program = "", ...args]: string[]): Promise<Uint8Array> {
  const quiet = program === "ffmpeg" ? ["-nostdin", "-v", "error"] : ["-v", "error"];
  const child = Bun.spawn([program, ...quiet, ...args], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [output, complaints, code] = await Promise.all([
    new Response(child.stdout).bytes(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`${program} ended with ${code}: ${complaints.trim()}`);
  return output;
}
