import * as z from "zod";
import { type ErrorCode, type RecorderError, toRecorderError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";

/** HTTP status (RFC 9110 section 15) of each error code. */
export const STATUS_OF_CODE = {
  CONFIG_INVALID: 400,
  INPUT_INVALID: 400,
  NOT_FOUND: 404,
  CONFLICT: 409,
  NOT_RUNNING: 503,
  PERMISSION_DENIED: 403,
  CAMERA_UNREACHABLE: 502,
  CAMERA_AUTH_REFUSED: 502,
  CAMERA_NOT_RTSP: 502,
  CAMERA_STREAM_FAULT: 502,
  CAMERA_NO_MEDIA: 502,
  ROOT_LOCKED: 409,
  ROOT_UNAVAILABLE: 503,
  DISK_FULL: 507,
  DISK_FAULT: 500,
  SEGMENT_DAMAGED: 500,
  SEGMENT_MISMATCH: 500,
  DATABASE_FAILED: 503,
  SCHEMA_UNSUPPORTED: 500,
  ENGINE_UNAVAILABLE: 503,
  ENGINE_MISUSE: 500,
  INTERNAL: 500,
} as const satisfies Record<ErrorCode, number>;

/** The body of every error. */
export const errorBodySchema = z.object({
  code: z.string().describe("stable word"),
  message: z.string().describe("one sentence for people"),
  details: z
    .object({ problems: z.array(z.object({ path: z.string(), message: z.string() })).optional() })
    .catchall(z.union([z.string(), z.number(), z.boolean(), z.null()])),
});
export type ErrorBody = z.output<typeof errorBodySchema>;

/** What the outside is told of a thrown value. An unexpected one goes to the log; its text may name anything, so it is not sent. */
export function errorBody(thrown: unknown, log: Logger): { body: ErrorBody; error: RecorderError } {
  const error = toRecorderError(thrown);
  if (error.code === "INTERNAL") {
    log.error("http.request-failed", { error: thrown instanceof Error ? thrown : error });
    return { error, body: { code: "INTERNAL", message: "internal error; the log of the service says more", details: {} } };
  }
  const details: ErrorBody["details"] = { ...error.context };
  if (error.problems.length > 0) details.problems = error.problems.map(({ path, message }) => ({ path, message }));
  return { error, body: { code: error.code, message: error.message, details } };
}
