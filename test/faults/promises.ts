import type { LogLine } from "../e2e/box.ts";
import { ffprobeComplaints, scan } from "../e2e/segments.ts";
import { readRecording } from "../fakes/frames.ts";

/** Run and sequence: what a segment is known by, wherever its file is. */
export const segmentKey = (run: string, sequence: number): string => `${run}/${sequence}`;

/** Fragments that the log reported durable, by segment. Whatever happens later, its file holds at least so many. */
export function promisedFragments(log: readonly LogLine[]): Map<string, number> {
  const promised = new Map<string, number>();
  for (const line of log) {
    if (line.event !== "fragment.durable") continue;
    const key = segmentKey(String(line["run"]), Number(line["sequence"]));
    promised.set(key, Math.max(promised.get(key) ?? 0, Number(line["fragments"])));
  }
  return promised;
}

/** A segment's file as our reader and a player see it. */
export interface ExaminedFile {
  readonly path: string;
  readonly key: string;
  readonly channel: number;
  readonly fragments: number;
  readonly fromUtcMs: number;
  readonly toUtcMs: number;
  /** What speaks against the file; empty for a whole one. */
  readonly complaints: readonly string[];
  /** Numbers of the first and the last picture by their stamps; null without pictures. */
  readonly pictures: {
    readonly first: number;
    readonly last: number;
    readonly firstSentUtcMs: number;
    readonly lastSentUtcMs: number;
  } | null;
}

/** Reads a closed segment whole: every checksum, ffprobe's opinion, and every picture with its stamp. */
export async function examineFile(path: string): Promise<ExaminedFile> {
  const [{ head, fragments, durationMs, problems, sealed }, said, { frames }] = await Promise.all([
    scan(path),
    ffprobeComplaints(path),
    readRecording(path),
  ]);
  const complaints = [...problems, ...(said === "" ? [] : [said]), ...(sealed ? [] : ["not sealed"])];
  const [first, last] = [frames[0], frames.at(-1)];
  if (first === undefined || last === undefined) complaints.push("no picture has a stamp");
  frames.forEach((frame, index) => {
    const before = frames[index - 1];
    if (before !== undefined && frame.number !== before.number + 1) complaints.push(`picture ${frame.number} follows ${before.number}`);
    if (frame.variant === null) complaints.push(`picture ${frame.number} is not the clip's, bit for bit`);
  });
  if (first !== undefined && !first.randomAccess) complaints.push(`begins with picture ${first.number}, which is no random access point`);
  const fromUtcMs = head?.startUtcMs ?? Number.NaN;
  return {
    path,
    key: head === null ? path : segmentKey(head.run, head.sequence),
    channel: head?.channel ?? 0,
    fragments: fragments.length,
    fromUtcMs,
    toUtcMs: fromUtcMs + durationMs,
    complaints,
    pictures:
      first === undefined || last === undefined
        ? null
        : {
            first: first.number,
            last: last.number,
            firstSentUtcMs: first.sentUtcUs / 1000,
            lastSentUtcMs: last.sentUtcUs / 1000,
          },
  };
}

/** Promises that the files do not keep, as sentences. */
export function brokenPromises(promised: ReadonlyMap<string, number>, files: readonly ExaminedFile[]): string[] {
  const held = new Map(files.map((file) => [file.key, file.fragments]));
  return [...promised].flatMap(([key, count]) => {
    const holds = held.get(key) ?? 0;
    return holds < count ? [`${key}: ${holds} of ${count} fragments`] : [];
  });
}
