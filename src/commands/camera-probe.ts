import * as z from "zod";
import { RecorderError } from "../base/errors.ts";
import { displayUrl } from "../config/camera-url.ts";
import { cameraIdSchema, enteredUrlSchema, passwordSchema, transportSchema, usernameSchema } from "../config/desired.ts";
import type { Transport } from "../config/types.ts";
import { STREAM_KINDS } from "../media/types.ts";
import type { ProbeReport } from "../recording/types.ts";
import type { CameraEndpoint } from "../rtsp/types.ts";
import { trackViewSchema } from "./camera-view.ts";
import type { ReplyCommand } from "./command.ts";
import type { CommandContext } from "./context.ts";
import { credentialsOf } from "./credentials.ts";

/** Each probe is one more stream to receive; a gateway has little to spare. */
const MAX_PROBES = 4;

const input = z
  .strictObject({
    camera: cameraIdSchema.nullable().default(null).describe("a configured camera"),
    stream: z.enum(STREAM_KINDS).default("main").describe("stream of the configured camera"),
    url: enteredUrlSchema.nullable().default(null).describe("or any rtsp URL"),
    username: usernameSchema.nullable().default(null),
    password: passwordSchema.nullable().default(null),
    transport: transportSchema.nullable().default(null).describe("null: as the camera is configured, auto for a URL"),
    seconds: z.number().min(1).max(60).default(8).describe("how long to watch"),
  })
  .refine((request) => (request.camera === null) !== (request.url === null), {
    path: ["camera"],
    message: "give either camera or url",
  })
  .refine((request) => request.camera === null || (request.username === null && request.password === null), {
    path: ["username"],
    message: "a configured camera brings its own credentials",
  });

const output = z.object({
  url: z.string(),
  server: z.string().nullable(),
  tracks: z
    .array(
      trackViewSchema.extend({
        codec: trackViewSchema.shape.codec.nullable(),
        payloadType: z.int(),
        supported: z.boolean(),
        encodingName: z.string(),
      }),
    )
    .readonly(),
  watchedMs: z.number(),
  declaredFramesPerSecond: z.number().nullable(),
  measuredFramesPerSecond: z.number().nullable(),
  keyFrameIntervalMs: z.number().nullable(),
  videoBitsPerSecond: z.number().nullable(),
  audioBitsPerSecond: z.number().nullable(),
  clockDriftPpm: z.number().nullable().describe("positive: the camera's clock is fast"),
  lostPackets: z.number(),
  findings: z.array(z.string()).readonly().describe("what looks wrong"),
}) satisfies z.ZodType<ProbeReport>;

/** Probes in progress of each service. */
const probing = new WeakMap<CommandContext, number>();

/** Watches a stream for some seconds and says what the camera really sends. Nothing is recorded or changed. */
export const cameraProbe: ReplyCommand<typeof input, typeof output> = {
  kind: "reply",
  name: "camera-probe",
  summary: "Watch a stream and say what the camera really sends",
  route: { method: "POST", path: "/probe", status: 200 },
  input,
  output,
  async run(context, request, signal) {
    const { endpoint, transport } = await target(context, request);
    const running = probing.get(context) ?? 0;
    if (running >= MAX_PROBES) {
      throw new RecorderError("CONFLICT", `${running} probes are running, which is the most allowed; try again in a minute`, { running });
    }
    probing.set(context, running + 1);
    try {
      const watchMs = Math.round(request.seconds * 1000);
      const report = await context.probe(endpoint, { transport, watchMs, signal });
      return { ...report, url: displayUrl(report.url) };
    } finally {
      probing.set(context, (probing.get(context) ?? 1) - 1);
    }
  },
};

async function target(
  context: CommandContext,
  request: z.output<typeof input>,
): Promise<{ endpoint: CameraEndpoint; transport: Transport }> {
  if (request.url !== null) {
    const credentials = credentialsOf(request, { url: request.url });
    return { endpoint: { url: request.url.url, ...credentials }, transport: request.transport ?? "auto" };
  }
  const id = request.camera ?? "";
  const { document, passwords } = await context.desired.read();
  const camera = document.cameras.find((candidate) => candidate.id === id);
  if (camera === undefined) throw new RecorderError("NOT_FOUND", `there is no camera "${id}"`, { camera: id });
  const url = request.stream === "main" ? camera.url : camera.subUrl;
  if (url === null) throw new RecorderError("NOT_FOUND", `camera "${id}" has no ${request.stream} stream`, { camera: id });
  return {
    endpoint: { url, username: camera.username, password: passwords.get(id) ?? null },
    transport: request.transport ?? camera.transport,
  };
}
