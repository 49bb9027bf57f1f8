import * as z from "zod";
import { RecorderError } from "../base/errors.ts";
import { cameraIdSchema } from "../config/desired.ts";
import type { ReplyCommand } from "./command.ts";
import { changeDesired } from "./desired-change.ts";

const input = z.strictObject({ id: cameraIdSchema });

const output = z.object({ revision: z.int(), id: z.string() });

/** Takes a camera out of the desired state and forgets its password. What it recorded stays until retention removes it. */
export const cameraRemove: ReplyCommand<typeof input, typeof output> = {
  kind: "reply",
  name: "camera-remove",
  summary: "Remove a camera; its recordings stay",
  route: { method: "DELETE", path: "/cameras/{id}", status: 200 },
  input,
  output,
  async run(context, { id }) {
    const revision = await changeDesired(context, (document) => {
      const cameras = document.cameras.filter((camera) => camera.id !== id);
      if (cameras.length === document.cameras.length) throw new RecorderError("NOT_FOUND", `there is no camera "${id}"`, { camera: id });
      return { cameras, passwords: new Map() };
    });
    context.log.info("camera.removed", { camera: id, revision });
    return { revision, id };
  },
};
