import * as z from "zod";
import { cameraIdSchema } from "../config/desired.ts";
import { GAP_CAUSES, STREAM_KINDS } from "../media/types.ts";
import type { TimelineRow } from "../store/types.ts";
import type { StreamCommand } from "./command.ts";
import { MOMENT_FORMS } from "./moment.ts";
import { momentInput, parseRange, requireKnown } from "./range.ts";
import { timelinePages } from "./timeline-pages.ts";

const input = z.strictObject({
  camera: cameraIdSchema.nullable().default(null),
  stream: z.enum(STREAM_KINDS).nullable().default(null),
  from: momentInput.describe(`start: ${MOMENT_FORMS}; local to the site where no offset is given. Default: the beginning`),
  to: momentInput.describe("end, in the same forms. Default: the end"),
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
    damage: z.string().nullable().describe("what is wrong with the file's bytes; null if nothing is known"),
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
    // A clock that was ahead has put recordings into the future: who asks for all there is must see them.
    const range = parseRange(from, to, context, { fromUtcMs: () => 0, toUtcMs: Number.MAX_SAFE_INTEGER });
    let rows = 0;
    for await (const page of timelinePages(context.timeline, { camera, stream, range }, signal)) {
      rows += page.length;
      yield page.map(lsItem);
    }
    if (rows === 0 && camera !== null) await requireKnown(context, camera);
  },
};

function lsItem(row: TimelineRow): LsItem {
  const common = { camera: row.camera, stream: row.stream, from: row.fromUtcMs, to: row.toUtcMs };
  switch (row.kind) {
    case "segment":
      return {
        kind: "segment",
        ...common,
        path: row.path,
        bytes: row.bytes,
        state: row.state,
        run: row.run,
        sequence: row.sequence,
        damage: row.damage,
      };
    case "run":
      return { kind: "run", ...common, run: row.run, clockTrusted: row.clockTrusted, endCause: row.endCause };
    case "gap":
      return { kind: "gap", ...common, cause: row.cause, detail: row.detail, open: row.open };
  }
}
