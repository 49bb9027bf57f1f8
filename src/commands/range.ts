import * as z from "zod";
import { type Problem, RecorderError } from "../base/errors.ts";
import type { TimeRange } from "../media/types.ts";
import type { CommandContext } from "./context.ts";
import { MOMENT_FORMS, parseMoment } from "./moment.ts";

/** A bound of a range as people type it. */
export const momentInput = z.string().max(64).nullable().default(null);

/** Bounds where none are given; the start may depend on the end. */
export interface DefaultRange {
  fromUtcMs(toUtcMs: number): number;
  readonly toUtcMs: number;
}

/** Reads both bounds; rejects with all that is wrong with them. */
export function parseRange(from: string | null, to: string | null, context: CommandContext, otherwise: DefaultRange): TimeRange {
  const problems: Problem[] = [];
  const read = (path: string, text: string): number | null => {
    const utcMs = parseMoment(text, context.config.zone, context.clock.utcMs());
    if (utcMs === null) problems.push({ path, message: `is not a time: ${JSON.stringify(text)}; allowed: ${MOMENT_FORMS}` });
    return utcMs;
  };
  const given = { from: from === null ? null : read("from", from), to: to === null ? null : read("to", to) };
  // Without an end, what begins in the future ends right after: there is nothing yet.
  const toUtcMs = given.to ?? Math.max(otherwise.toUtcMs, (given.from ?? 0) + 1);
  const fromUtcMs = given.from ?? otherwise.fromUtcMs(toUtcMs);
  if (problems.length === 0 && fromUtcMs >= toUtcMs) problems.push({ path: "to", message: "must be later than from" });
  const [first] = problems;
  if (first !== undefined) throw new RecorderError("INPUT_INVALID", `${first.path} ${first.message}`, {}, { problems });
  return { fromUtcMs, toUtcMs };
}

/** An empty answer about a camera that never existed would hide a typing error. */
export async function requireKnown(context: CommandContext, id: string): Promise<void> {
  const { document } = await context.desired.read();
  if (document.cameras.some((camera) => camera.id === id)) return;
  throw new RecorderError("NOT_FOUND", `there is no camera "${id}", and nothing of it is recorded in that time`, { camera: id });
}
