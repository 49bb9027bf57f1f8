import * as z from "zod";
import { cameraView, cameraViewSchema, streamViewSchema } from "./camera-view.ts";
import type { ReplyCommand } from "./command.ts";

const input = z.strictObject({});

const output = z.object({
  revision: z.int(),
  nowUtcMs: z.int(),
  cameras: z.array(cameraViewSchema.extend({ streams: z.array(streamViewSchema) })),
});

/** Cameras as they are wanted, each with the live state of its streams. */
export const cameraList: ReplyCommand<typeof input, typeof output> = {
  kind: "reply",
  name: "camera-list",
  summary: "List cameras and what their streams do",
  route: { method: "GET", path: "/cameras", status: 200 },
  input,
  output,
  async run(context) {
    const { document, passwords } = await context.desired.read();
    const streams = Map.groupBy(context.recorder.status(), (status) => status.camera);
    const cameras = document.cameras
      .toSorted((one, other) => one.channel - other.channel)
      .map((camera) => ({ ...cameraView(camera, passwords.has(camera.id)), streams: [...(streams.get(camera.id) ?? [])] }));
    return { revision: document.revision, nowUtcMs: context.clock.utcMs(), cameras };
  },
};
