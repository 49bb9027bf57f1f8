import * as z from "zod";
import { RecorderError } from "../base/errors.ts";
import type { ReindexReport } from "../store/types.ts";
import type { StreamCommand } from "./command.ts";
import type { ReindexProgress } from "./context.ts";
import { Latest } from "./latest.ts";

const input = z.strictObject({});

const progressSchema = z.object({ kind: z.literal("progress"), segments: z.int(), totalSegments: z.int() });

const reportSchema = z.object({
  kind: z.literal("report"),
  segments: z.int().describe("entered from files"),
  runs: z.int(),
  gaps: z.int(),
  deletions: z.int().describe("stretches of media that were deleted by rule"),
  unreadable: z.int().describe("files and journals that could not be read; the log names them"),
  foreign: z.int().describe("files of other boxes, or in folders that are not theirs; left alone"),
  unreadableLines: z.int().describe("lines of journals that are not whole"),
  tookMs: z.int(),
  segmentsPerSecond: z.int(),
}) satisfies z.ZodType<{ kind: "report" } & ReindexReport>;

const item = z.discriminatedUnion("kind", [progressSchema, reportSchema]);

/** Builds the catalog anew from files and journals. Progress while it lasts, then exactly one report; recording goes on. */
export const reindex: StreamCommand<typeof input, typeof item> = {
  kind: "stream",
  name: "reindex",
  summary: "Rebuild the catalog from recorded files and journals",
  route: { method: "POST", path: "/reindex", status: 200 },
  input,
  item,
  async *run(context, _, signal) {
    const abandoned = new AbortController();
    const latest = new Latest<ReindexProgress>();
    const options = {
      onProgress: (progress: ReindexProgress) => latest.put(progress),
      signal: AbortSignal.any([signal, abandoned.signal]),
    };
    const work = context.reindex(options).finally(() => latest.end());
    try {
      for await (const { segments, totalSegments } of latest) yield [{ kind: "progress", segments, totalSegments }];
      yield [{ kind: "report", ...(await work) }];
    } finally {
      // Leaving early (the client went away) must end the work too.
      abandoned.abort(new RecorderError("CONFLICT", "nobody waits for the result of this reindex any more"));
      await Promise.allSettled([work]);
    }
  },
};
