import type { TrackDescription } from "../media/types.ts";
import type { Playing } from "../rtsp/session.ts";
import type { DescribedTrack } from "../rtsp/tracks.ts";
import type { ProbeReport } from "./types.ts";

const BURST_MS = 1000;
/** Below this span arrival jitter drowns any clock's drift. */
const MIN_DRIFT_SPAN_MS = 3000;
/** Uncertainty of one least-delayed arrival: half a tick of the engine and a quiet network. */
const ARRIVAL_ERROR_MS = 30;
/** A drift worth a sentence: a segment of a minute would be 60 ms off. */
const NOTABLE_DRIFT_PPM = 1000;
/** Part by which measured and declared frame rate may differ. */
const FRAME_RATE_TOLERANCE = 0.07;
const COARSE_GOP_MS = 5000;

/** The engine's numbers for the stream at one instant. */
export interface StreamSample {
  readonly monoMs: number;
  readonly numbers: Readonly<Record<string, number>>;
}

type Measured = Omit<ProbeReport, "url" | "server">;

/** What the samples of a watched stream say; pure. `sent`: tracks as the engine found them in the media, empty before a key frame. */
export function measure(playing: Playing, sent: readonly TrackDescription[], samples: readonly StreamSample[], watchMs: number): Measured {
  const last = samples.at(-1)?.numbers ?? {};
  const clockRateHz = playing.tracks.find(({ codec }) => codec === "h264")?.clockRateHz ?? 0;
  const declared = playing.described.find(({ setup }) => setup?.track.codec === "h264")?.framesPerSecond ?? null;
  const gopTicks = value(last, "last_gop_ticks");
  const hasVideo = clockRateHz > 0;
  const keyFrameIntervalMs = gopTicks > 0 && hasVideo ? Math.round((gopTicks * 1000) / clockRateHz) : null;
  const report = {
    tracks: playing.described.flatMap((track) => trackOf(track, sent)),
    watchedMs: watchMs,
    declaredFramesPerSecond: declared,
    measuredFramesPerSecond: hasVideo ? frameRate(samples) : null,
    keyFrameIntervalMs,
    videoBitsPerSecond: hasVideo ? bitRate(samples, "video_bytes") : null,
    audioBitsPerSecond: playing.tracks.some(({ codec }) => codec !== "h264") ? bitRate(samples, "audio_bytes") : null,
    clockDriftPpm: hasVideo ? clockDrift(samples, clockRateHz) : null,
    lostPackets: value(last, "lost_packets"),
  };
  return { ...report, findings: findings(report, playing, last) };
}

/** Metadata and the like (ONVIF "application" tracks) are nothing a recorder promises. */
function trackOf(track: DescribedTrack, sent: readonly TrackDescription[]): Measured["tracks"] {
  const { kind, clockRateHz, payloadType, encodingName, setup } = track;
  if (kind !== "video" && kind !== "audio") return [];
  const codec = setup?.track.codec ?? null;
  const found = sent.find((candidate) => candidate.codec === codec);
  const channels = setup?.track.channels ?? track.channels;
  const size = { width: found?.width ?? null, height: found?.height ?? null };
  return [{ kind, codec, clockRateHz, channels, ...size, payloadType, supported: setup !== null, encodingName }];
}

/** Complete frames over the time they arrived in, so that a camera that stamps 25 and sends 21 shows 21. */
function frameRate(samples: readonly StreamSample[]): number | null {
  const points = samples.filter(({ numbers }) => value(numbers, "video_units") > 0);
  // What was waiting in the camera comes in a burst after PLAY.
  const steady = points.filter(({ monoMs }) => monoMs - (points[0]?.monoMs ?? 0) >= BURST_MS);
  const [first, last] = [steady[0], steady.at(-1)];
  if (first === undefined || last === undefined) return null;
  const seconds = (value(last.numbers, "last_video_arrival_us") - value(first.numbers, "last_video_arrival_us")) / 1_000_000;
  const units = value(last.numbers, "video_units") - value(first.numbers, "video_units");
  return seconds >= 1 ? Math.round((units / seconds) * 100) / 100 : null;
}

function bitRate(samples: readonly StreamSample[], name: string): number | null {
  const [first, last] = [samples[0], samples.at(-1)];
  if (first === undefined || last === undefined || last.monoMs <= first.monoMs) return null;
  return Math.round(((value(last.numbers, name) - value(first.numbers, name)) * 8000) / (last.monoMs - first.monoMs));
}

/**
 * Media time against arrival between the least-delayed frames of the first and the last third: delay only ever makes a frame late, so
 * the earliest ones tell the clocks apart. Null when the error would hide the drift.
 */
function clockDrift(samples: readonly StreamSample[], clockRateHz: number): number | null {
  const points = samples
    .filter(({ numbers }) => value(numbers, "video_units") > 0 && value(numbers, "time_jumps") === 0)
    .map(({ numbers }) => ({
      mediaMs: (value(numbers, "last_video_ticks") * 1000) / clockRateHz,
      arrivalMs: value(numbers, "last_video_arrival_us") / 1000,
    }));
  const third = Math.floor(points.length / 3);
  const early = leastDelayed(points.slice(0, third));
  const late = leastDelayed(points.slice(points.length - third));
  if (early === null || late === null || late.arrivalMs - early.arrivalMs < MIN_DRIFT_SPAN_MS) return null;
  const spanMs = late.arrivalMs - early.arrivalMs;
  const ppm = Math.round(((late.mediaMs - early.mediaMs) / spanMs - 1) * 1_000_000);
  const errorPpm = Math.round((2 * ARRIVAL_ERROR_MS * 1_000_000) / spanMs);
  return Math.abs(ppm) > errorPpm || errorPpm <= NOTABLE_DRIFT_PPM ? ppm : null;
}

function leastDelayed<P extends { mediaMs: number; arrivalMs: number }>(points: readonly P[]): P | null {
  let best: P | null = null;
  for (const point of points) {
    if (best === null || point.arrivalMs - point.mediaMs < best.arrivalMs - best.mediaMs) best = point;
  }
  return best;
}

/** What looks wrong, a sentence each; the session's own warnings first. */
function findings(report: Omit<Measured, "findings">, playing: Playing, last: StreamSample["numbers"]): readonly string[] {
  const found = [...playing.warnings];
  const seconds = Math.round(report.watchedMs / 1000);
  const hasVideo = playing.tracks.some(({ codec }) => codec === "h264");
  const hasAudio = playing.tracks.some(({ codec }) => codec !== "h264");
  const { declaredFramesPerSecond: declared, measuredFramesPerSecond: measured, keyFrameIntervalMs: gopMs, clockDriftPpm: ppm } = report;

  if (hasVideo && value(last, "random_access_units") === 0) {
    found.push(`no key frame came within ${seconds} s: recording cannot begin before one`);
  } else if (gopMs !== null && gopMs >= COARSE_GOP_MS) {
    found.push(`key frame every ${rounded(gopMs / 1000)} s: seeking will be coarse`);
  } else if (hasVideo && gopMs === null && report.watchedMs >= COARSE_GOP_MS) {
    found.push(`no second key frame within ${seconds} s: seeking will be coarse`);
  }
  if (declared !== null && measured !== null && Math.abs(measured - declared) > declared * FRAME_RATE_TOLERANCE) {
    found.push(`declares ${rounded(declared)} fps, sends ${rounded(measured)}`);
  }
  if (hasAudio && value(last, "audio_units") === 0) found.push("sound is declared, but none came");
  if (ppm !== null && Math.abs(ppm) >= NOTABLE_DRIFT_PPM) {
    found.push(`the camera's media clock is ${rounded(Math.abs(ppm) / 10_000)} % ${ppm > 0 ? "fast" : "slow"}`);
  }
  const counted = (name: string, sentence: (count: number) => string): void => {
    const count = value(last, name);
    if (count > 0) found.push(sentence(count));
  };
  counted("lost_packets", (count) => `lost ${plural(count, "packet")} on the way`);
  counted("malformed_packets", (count) => `sent ${plural(count, "packet")} that could not be read`);
  counted("ignored_packets", (count) => `sent ${plural(count, "packet")} of an unannounced payload type`);
  counted("discarded_units", (count) => `${plural(count, "frame")} came incomplete and would not be recorded`);
  counted("time_jumps", (count) => `the timestamps jumped ${plural(count, "time")}`);
  counted("outliers", (count) => `${plural(count, "frame")} had a senseless timestamp`);
  return found;
}

const plural = (count: number, word: string): string => `${count} ${word}${count === 1 ? "" : "s"}`;

const rounded = (number: number): string => String(Math.round(number * 10) / 10);

function value(numbers: StreamSample["numbers"], name: string): number {
  return numbers[name] ?? 0;
}
