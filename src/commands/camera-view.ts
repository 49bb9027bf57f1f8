import * as z from "zod";
import { displayUrl } from "../config/camera-url.ts";
import { transportSchema } from "../config/desired.ts";
import type { DesiredCamera } from "../config/types.ts";
import { GAP_CAUSES, STREAM_KINDS } from "../media/types.ts";
import type { StreamStatus } from "../recording/types.ts";

export const trackViewSchema = z.object({
  kind: z.enum(["video", "audio"]),
  codec: z.enum(["h264", "aac", "pcma", "pcmu"]),
  clockRateHz: z.int(),
  channels: z.int().describe("0 for video"),
  width: z.int().nullable(),
  height: z.int().nullable(),
});

/** `StreamStatus` for the outside; the types are checked against each other below. */
export const streamViewSchema = z.object({
  camera: z.string(),
  stream: z.enum(STREAM_KINDS),
  channel: z.int(),
  state: z.enum(["stopped", "connecting", "buffering", "recording", "waiting"]),
  cause: z.enum(GAP_CAUSES).nullable().describe("why it is not recording"),
  code: z.string().nullable().describe("stable word behind the cause"),
  detail: z.string().nullable(),
  sinceUtcMs: z.int(),
  attempt: z.int(),
  retryAtUtcMs: z.int().nullable(),
  tracks: z.array(trackViewSchema).readonly(),
  warnings: z.array(z.string()).readonly(),
  numbers: z.object({
    bitsPerSecond: z.number(),
    framesPerSecond: z.number(),
    packets: z.number(),
    lostPackets: z.number(),
    malformedPackets: z.number(),
    discardedUnits: z.number(),
    droppedFragments: z.number(),
    timeJumps: z.number(),
    ringBytes: z.number(),
    queueBytes: z.number(),
  }),
  segment: z
    .object({
      run: z.string(),
      sequence: z.int(),
      startUtcMs: z.int(),
      durableUtcMs: z.int(),
      durableFragments: z.int(),
      durableBytes: z.int(),
    })
    .nullable(),
}) satisfies z.ZodType<StreamStatus>;

/** A camera as replies show it: never with a password, not even in a URL. */
export const cameraViewSchema = z.object({
  id: z.string(),
  channel: z.int(),
  url: z.string(),
  subUrl: z.string().nullable(),
  username: z.string().nullable(),
  hasPassword: z.boolean(),
  transport: transportSchema,
  record: z.boolean(),
});
export type CameraView = z.output<typeof cameraViewSchema>;

export function cameraView(camera: DesiredCamera, hasPassword: boolean): CameraView {
  const { id, channel, url, subUrl, username, transport, record } = camera;
  return {
    id,
    channel,
    url: displayUrl(url),
    subUrl: subUrl === null ? null : displayUrl(subUrl),
    username,
    hasPassword,
    transport,
    record,
  };
}
