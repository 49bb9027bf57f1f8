import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/** What the files of one channel come to, by their names and sizes alone. */
export interface Recorded {
  readonly segments: number;
  readonly durationMs: number;
  readonly bytes: number;
}

const SEGMENT_NAME = /^\d{14}-(\d+)\.mp4$/;

/**
 * Reads `<root>/<serial>_<channel>/<day>/<start>-<durationMs>.mp4`. Asks the disk, not the recorder, so that the summary is a second opinion.
 * @returns totals by the name of the channel's folder
 */
export function readRecordings(root: string): Map<string, Recorded> {
  const totals = new Map<string, Recorded>();
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    const durationMs = Number(SEGMENT_NAME.exec(entry.name)?.[1] ?? Number.NaN);
    if (!entry.isFile() || Number.isNaN(durationMs)) continue;
    const folder = entry.parentPath.slice(join(root, "/").length).split("/")[0] ?? "";
    const before = totals.get(folder) ?? { segments: 0, durationMs: 0, bytes: 0 };
    totals.set(folder, {
      segments: before.segments + 1,
      durationMs: before.durationMs + durationMs,
      bytes: before.bytes + statSync(join(entry.parentPath, entry.name)).size,
    });
  }
  return totals;
}
