import * as z from "zod";
import { type Problem, RecorderError } from "../base/errors.ts";
import { type SplitUrl, splitCameraUrl } from "./camera-url.ts";
import { problemsOf } from "./problems.ts";
import type { DesiredCamera } from "./types.ts";

/** Channels become part of file names: `<Serial>_<Channel>`. */
export const MAX_CHANNEL = 9999;

export const cameraIdSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "must be 1 to 63 lower-case letters, digits or hyphens, and not start with a hyphen");

export const channelSchema = z
  .int(`must be a whole number from 1 to ${MAX_CHANNEL}`)
  .min(1, `must be from 1 to ${MAX_CHANNEL}`)
  .max(MAX_CHANNEL, `must be from 1 to ${MAX_CHANNEL}`);

export const transportSchema = z.enum(["auto", "tcp"]);

/** RFC 7617 section 2: a user name of Basic authentication cannot hold a colon. Control characters could break RTSP headers. */
export const usernameSchema = z
  .string()
  .min(1, "must not be empty")
  .max(128, "must be at most 128 characters")
  .regex(/^[^\p{Cc}:]*$/u, "must not contain a colon or control characters");

export const passwordSchema = z
  .string()
  .max(256, "must be at most 256 characters")
  .regex(/^[^\p{Cc}]*$/u, "must not contain control characters");

/** A camera URL as people write it, taken apart. */
export const enteredUrlSchema = z.string().transform((text, context): SplitUrl => {
  const split = splitCameraUrl(text);
  if (!("problem" in split)) return split;
  context.addIssue({ code: "custom", message: split.problem });
  return z.NEVER;
});

/** A camera URL as the document holds it: without user info. */
const storedUrlSchema = z.string().superRefine((text, context) => {
  const split = splitCameraUrl(text);
  if ("problem" in split) context.addIssue({ code: "custom", message: split.problem });
  else if (split.username !== null || split.password !== null) {
    context.addIssue({ code: "custom", message: "must not contain a user name or password" });
  }
});

/** One camera of the desired-state document; every key is present. */
export const desiredCameraSchema = z.strictObject({
  id: cameraIdSchema,
  channel: channelSchema,
  url: storedUrlSchema,
  subUrl: storedUrlSchema.nullable(),
  username: usernameSchema.nullable(),
  transport: transportSchema,
  record: z.boolean(),
});

const desiredCamerasSchema = z.array(desiredCameraSchema).max(MAX_CHANNEL);

/**
 * The cameras of a desired-state document, whole or not at all: throws INPUT_INVALID with every problem and its path,
 * values left out since they may hold secrets.
 */
export function parseDesiredCameras(value: unknown): readonly DesiredCamera[] {
  const parsed = desiredCamerasSchema.safeParse(value);
  const problems = parsed.success ? [] : problemsOf(parsed.error).map(({ path, message }) => ({ path: below("cameras", path), message }));
  if (Array.isArray(value)) problems.push(...repeated(value, "id"), ...repeated(value, "channel"));
  if (parsed.success && problems.length === 0) return parsed.data;
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  throw new RecorderError("INPUT_INVALID", `the list of cameras has ${count}`, {}, { problems });
}

function below(root: string, path: string): string {
  return path === "" || path.startsWith("[") ? root + path : `${root}.${path}`;
}

/** Looks at the raw list, so that a repeated id shows even when other values are wrong. */
function repeated(cameras: readonly unknown[], key: "id" | "channel"): Problem[] {
  const firstAt = new Map<string | number, number>();
  return cameras.flatMap((camera, index) => {
    const value: unknown = typeof camera === "object" && camera !== null ? Reflect.get(camera, key) : undefined;
    if (typeof value !== "string" && typeof value !== "number") return [];
    const first = firstAt.get(value);
    if (first === undefined) firstAt.set(value, index);
    return first === undefined ? [] : [{ path: `cameras[${index}].${key}`, message: `is already used by cameras[${first}]` }];
  });
}
