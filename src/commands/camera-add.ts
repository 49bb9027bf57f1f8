import * as z from "zod";
import { type Problem, RecorderError } from "../base/errors.ts";
import {
  cameraIdSchema,
  channelSchema,
  enteredUrlSchema,
  MAX_CHANNEL,
  passwordSchema,
  transportSchema,
  usernameSchema,
} from "../config/desired.ts";
import type { DesiredCamera, DesiredState } from "../config/types.ts";
import { cameraView, cameraViewSchema } from "./camera-view.ts";
import type { ReplyCommand } from "./command.ts";
import { type Credentials, credentialsOf } from "./credentials.ts";
import { changeDesired } from "./desired-change.ts";

const input = z.strictObject({
  id: cameraIdSchema,
  url: enteredUrlSchema.describe("rtsp URL of the main stream; a user name and password in it are kept apart from it"),
  subUrl: enteredUrlSchema.nullable().default(null).describe("rtsp URL of the sub stream"),
  username: usernameSchema.nullable().default(null),
  password: passwordSchema.nullable().default(null),
  channel: channelSchema.nullable().default(null).describe("null: the next free one"),
  transport: transportSchema.default("auto"),
  record: z.boolean().default(true),
});

const output = z.object({ revision: z.int(), camera: cameraViewSchema });

/** Adds a camera to the desired state; the recorder connects to it at once. */
export const cameraAdd: ReplyCommand<typeof input, typeof output> = {
  kind: "reply",
  name: "camera-add",
  summary: "Add a camera",
  route: { method: "POST", path: "/cameras", status: 201 },
  input,
  output,
  async run(context, request) {
    const credentials = credentialsOf(request, { url: request.url, subUrl: request.subUrl });
    let added: DesiredCamera | undefined;
    const revision = await changeDesired(context, (document) => {
      const camera = planCamera(document, request, credentials);
      added = camera;
      const passwords = new Map<string, string | null>([[camera.id, credentials.password]]);
      return { cameras: [...document.cameras, camera], passwords };
    });
    if (added === undefined) throw new RecorderError("INTERNAL", "the camera was written without being planned");
    context.log.info("camera.added", { camera: added.id, channel: added.channel, revision });
    return { revision, camera: cameraView(added, credentials.password !== null) };
  },
};

function planCamera(document: DesiredState, request: z.output<typeof input>, credentials: Credentials): DesiredCamera {
  const problems: Problem[] = [];
  if (document.cameras.some((camera) => camera.id === request.id)) {
    problems.push({ path: "id", message: `camera "${request.id}" exists already` });
  }
  const owner = document.cameras.find((camera) => camera.channel === request.channel);
  if (owner !== undefined) problems.push({ path: "channel", message: `channel ${owner.channel} belongs to camera "${owner.id}"` });
  const channel = request.channel ?? nextFreeChannel(document.cameras);
  if (channel === null) problems.push({ path: "channel", message: `all ${MAX_CHANNEL} channels are in use` });
  const [first] = problems;
  if (first !== undefined || channel === null) {
    throw new RecorderError("CONFLICT", first?.message ?? "no channel is free", { camera: request.id }, { problems });
  }
  return {
    id: request.id,
    channel,
    url: request.url.url,
    subUrl: request.subUrl?.url ?? null,
    username: credentials.username,
    transport: request.transport,
    record: request.record,
  };
}

/** One above the highest, so that a camera does not fall into the folders of one that was removed; the lowest free one when that is spent. */
function nextFreeChannel(cameras: readonly DesiredCamera[]): number | null {
  const taken = new Set(cameras.map((camera) => camera.channel));
  const next = Math.max(0, ...taken) + 1;
  if (next <= MAX_CHANNEL) return next;
  for (let channel = 1; channel <= MAX_CHANNEL; channel++) {
    if (!taken.has(channel)) return channel;
  }
  return null;
}
