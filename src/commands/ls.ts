import * as z from "zod";
import { type Problem, RecorderError } from "../base/errors.ts";
import { cameraIdSchema } from "../config/desired.ts";
import { GAP_CAUSES, STREAM_KINDS } from "../media/types.ts";
import type { TimelineRow } from "../store/types.ts";
import type { StreamCommand } from "./command.ts";
import type { CommandContext } from "./context.ts";
import { MOMENT_FORMS, parseMoment } from "./moment.ts";
import { timelinePages } from "./timeline-pages.ts";

const moment = z.string().max(64).nullable().default(null);

const input = z.strictObject({
  camera: cameraIdSchema.nullable().default(null),
  stream: z.enum(STREAM_KINDS).nullable().default(null),
  from: moment.describe(`start: ${MOMENT_FORMS}; local to the site where no offset is given. Default: the beginning`),
  to: moment.describe("end, in the same forms. Default: now"),
});

const place = {
  camera: z.string(),
  stream: z.enum(STREAM_KINDS),
  from: z.int().describe("UTC milliseconds"),
  to: z.int().describe("UTC milliseconds, exclusive"),
};

const item = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("segment"),
    ...place,
    path: z.string(),
    bytes: z.int(),
    state: z.enum(["open", "closed", "deleting"]),
    run: z.string(),
    sequence: z.int(),
  }),
  z.object({
    kind: z.literal("run"),
    ...place,
    run: z.string(),
    clockTrusted: z.boolean(),
    endCause: z.string().nullable().describe("null while it goes on"),
  }),
  z.object({
    kind: z.literal("gap"),
    ...place,
    cause: z.enum(GAP_CAUSES),
    detail: z.string().nullable(),
    open: z.boolean().describe("true while it goes on; `to` is then the time of the answer"),
  }),
]);
export type LsItem = z.output<typeof item>;

/** Segments, runs and gaps that overlap a time range, oldest start first. */
export const ls: StreamCommand<typeof input, typeof item> = {
  kind: "stream",
  name: "ls",
  summary: "List what is recorded, and what is missing and why",
  route: { method: "GET", path: "/timeline", status: 200 },
  input,
  item,
  async *run(context, { camera, stream, from, to }, signal) {
    const range = parseRange(from, to, context);
    let rows = 0;
    for await (const page of timelinePages(context.timeline, { camera, stream, range }, signal)) {
      rows += page.length;
      yield page.map(lsItem);
    }
    if (rows === 0 && camera !== null) await requireKnown(context, camera);
  },
};

/** An empty answer about a camera that never existed would hide a typing error. */
async function requireKnown(context: CommandContext, id: string): Promise<void> {
  const { document } = await context.desired.read();
  if (document.cameras.some((camera) => camera.id === id)) return;
  throw new RecorderError("NOT_FOUND", `there is no camera "${id}", and nothing of it is recorded in that time`, { camera: id });
}

function parseRange(from: string | null, to: string | null, context: CommandContext): { fromUtcMs: number; toUtcMs: number } {
  const nowUtcMs = context.clock.utcMs();
  const problems: Problem[] = [];
  const read = (path: string, text: string | null, otherwise: number): number => {
    if (text === null) return otherwise;
    const utcMs = parseMoment(text, context.config.zone, nowUtcMs);
    if (utcMs === null) problems.push({ path, message: `is not a time: ${JSON.stringify(text)}; allowed: ${MOMENT_FORMS}` });
    return utcMs ?? otherwise;
  };
  const fromUtcMs = read("from", from, 0);
  // The millisecond that is running belongs to what is listed by default.
  const toUtcMs = read("to", to, Math.max(nowUtcMs + 1, fromUtcMs + 1));
  if (problems.length === 0 && fromUtcMs >= toUtcMs) problems.push({ path: "to", message: "must be later than from" });
  const [first] = problems;
  if (first !== undefined) throw new RecorderError("INPUT_INVALID", `${first.path} ${first.message}`, {}, { problems });
  return { fromUtcMs, toUtcMs };
}

function lsItem(row: TimelineRow): LsItem {
  const common = { camera: row.camera, stream: row.stream, from: row.fromUtcMs, to: row.toUtcMs };
  switch (row.kind) {
    case "segment":
      return { kind: "segment", ...common, path: row.path, bytes: row.bytes, state: row.state, run: row.run, sequence: row.sequence };
    case "run":
      return { kind: "run", ...common, run: row.run, clockTrusted: row.clockTrusted, endCause: row.endCause };
    case "gap":
      return { kind: "gap", ...common, cause: row.cause, detail: row.detail, open: row.open };
  }
}
