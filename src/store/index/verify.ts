import { basename, dirname, join } from "node:path";
import type { SegmentScan } from "../../engine/types.ts";
import type { StoredSegment } from "../catalog.ts";
import { parseStreamName } from "../paths.ts";
import type { FileSteps, SegmentId } from "../types.ts";

/** Whether the file under a segment's name is that segment, by header and size; a sentence on what is wrong, null if nothing is. */
export async function fileProblem(files: FileSteps, rootPath: string, segment: StoredSegment): Promise<string | null> {
  const { name, file, run, sequence, bytes } = segment;
  const [found] = await files.readSegments(join(rootPath, name, dirname(file)), [basename(file)]);
  if (found === undefined || "problem" in found) return found?.problem ?? "it cannot be read";
  const { serial, channel, stream } = found;
  const place = parseStreamName(name);
  if (
    found.run !== run ||
    found.sequence !== sequence ||
    serial !== place?.serial ||
    channel !== place.channel ||
    stream !== place.stream
  ) {
    return `it holds ${serial}_${channel} ${stream}, run ${found.run}, sequence ${found.sequence}; expected run ${run}, sequence ${sequence}`;
  }
  return found.bytes === bytes ? null : `it has ${found.bytes} bytes; it was sealed with ${bytes}`;
}

/** What a scan of a sealed file found wrong; null if its bytes are those that were sealed. */
export function damageOf(scan: SegmentScan, { run, sequence }: SegmentId): string | null {
  const [first, ...others] = scan.problems;
  if (first !== undefined) return others.length === 0 ? first : `${first}, and ${others.length} more`;
  if (scan.head === null) return "no whole header";
  if (!scan.sealed) return "the seal is gone";
  const { head } = scan;
  return head.run === run && head.sequence === sequence ? null : `holds sequence ${head.sequence} of run ${head.run}`;
}
