import * as z from "zod";
import { RecorderError } from "../base/errors.ts";
import type { CheckFinding } from "../store/types.ts";
import type { StreamCommand } from "./command.ts";
import type { CheckProgress, CommandContext } from "./context.ts";
import { Latest } from "./latest.ts";

const input = z.strictObject({ deep: z.boolean().default(false).describe("read every box and verify every checksum") });

const findingSchema = z.object({
  code: z.enum([
    "root-unavailable",
    "missing-file",
    "unknown-file",
    "wrong-size",
    "wrong-name",
    "unsealed",
    "damaged",
    "identity-mismatch",
    "left-over",
  ]),
  path: z.string(),
  message: z.string(),
}) satisfies z.ZodType<CheckFinding>;

const progressSchema = z.object({
  kind: z.literal("progress"),
  segments: z.int(),
  totalSegments: z.int(),
  bytes: z.number(),
});

const reportSchema = z.object({
  kind: z.literal("report"),
  deep: z.boolean(),
  segments: z.int(),
  bytes: z.number(),
  findings: z.array(findingSchema).readonly(),
});

const item = z.discriminatedUnion("kind", [progressSchema, reportSchema]);

/** Services with a check in progress: a second one would only compete for the disk. */
const checking = new WeakSet<CommandContext>();

/** Compares files and catalog. Progress while it lasts, then exactly one report. */
export const check: StreamCommand<typeof input, typeof item> = {
  kind: "stream",
  name: "check",
  summary: "Check recorded files: names, sizes and seals; deep: every box and checksum",
  route: { method: "POST", path: "/check", status: 200 },
  input,
  item,
  async *run(context, { deep }, signal) {
    if (checking.has(context)) throw new RecorderError("CONFLICT", "a check is running already");
    checking.add(context);
    const abandoned = new AbortController();
    const latest = new Latest<CheckProgress>();
    const options = {
      deep,
      onProgress: (progress: CheckProgress) => latest.put(progress),
      signal: AbortSignal.any([signal, abandoned.signal]),
    };
    const work = context.check(options).finally(() => latest.end());
    try {
      for await (const { segments, totalSegments, bytes } of latest) yield [{ kind: "progress", segments, totalSegments, bytes }];
      yield [{ kind: "report", ...(await work) }];
    } finally {
      // Leaving early (the client went away) must end the work too.
      abandoned.abort(new RecorderError("CONFLICT", "nobody waits for the result of this check any more"));
      await Promise.allSettled([work]);
      checking.delete(context);
    }
  },
};
