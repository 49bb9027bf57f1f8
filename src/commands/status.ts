import * as z from "zod";
import { ALARM_CODES, type Alarm } from "../base/alarms.ts";
import type { RootUsage, ScrubStatus } from "../store/types.ts";
import type { ReplyCommand } from "./command.ts";

const input = z.strictObject({});

const rootViewSchema = z.object({
  root: z.int(),
  path: z.string(),
  segmentBytes: z.number(),
  segments: z.int(),
  limitBytes: z.number().nullable(),
  reserveBytes: z.number(),
  availableBytes: z.number(),
  totalBytes: z.number(),
}) satisfies z.ZodType<RootUsage>;

const alarmSchema = z.object({
  code: z.enum(ALARM_CODES),
  subject: z.string(),
  detail: z.string(),
  sinceUtcMs: z.int(),
}) satisfies z.ZodType<Alarm>;

const scrubSchema = z.object({
  segments: z.int().describe("read again since the service started"),
  bytes: z.number(),
  damaged: z.int().describe("segments whose bytes are known to be wrong"),
  unreadable: z.int().describe("segments that the disk refused to read"),
  share: z.number().describe("of time, 0 to 1"),
  allowedShare: z.number(),
  rounds: z.array(
    z.object({
      path: z.string(),
      beganUtcMs: z.int().nullable(),
      reachedUtcMs: z.int().nullable().describe("a round goes back in time; null: it is over"),
    }),
  ),
}) satisfies z.ZodType<ScrubStatus>;

const output = z.object({
  version: z.string(),
  serial: z.string(),
  zone: z.string(),
  startedUtcMs: z.int(),
  nowUtcMs: z.int(),
  cameras: z.int(),
  streams: z.object({
    recording: z.int(),
    buffering: z.int(),
    connecting: z.int(),
    waiting: z.int(),
    stopped: z.int(),
  }),
  bitsPerSecond: z.number().describe("of all streams together"),
  roots: z.array(rootViewSchema),
  alarms: z.array(alarmSchema).describe("what somebody should look after, longest standing first"),
  scrub: scrubSchema.describe("recordings read again to find what the disks lost"),
  engine: z.record(z.string(), z.number()).describe("counters of the media engine"),
});

/** The service at a glance. */
export const status: ReplyCommand<typeof input, typeof output> = {
  kind: "reply",
  name: "status",
  summary: "Show what the service does and how full its disks are",
  route: { method: "GET", path: "/status", status: 200 },
  input,
  output,
  async run(context) {
    const [{ document }, roots] = await Promise.all([context.desired.read(), context.timeline.usage()]);
    const streams = { recording: 0, buffering: 0, connecting: 0, waiting: 0, stopped: 0 };
    let bitsPerSecond = 0;
    for (const stream of context.recorder.status()) {
      streams[stream.state]++;
      bitsPerSecond += stream.numbers.bitsPerSecond;
    }
    const nowUtcMs = context.clock.utcMs();
    return {
      version: context.version,
      serial: context.config.serial,
      zone: context.config.zone,
      startedUtcMs: nowUtcMs - (context.clock.monoMs() - context.startedMonoMs),
      nowUtcMs,
      cameras: document.cameras.length,
      streams,
      bitsPerSecond,
      roots: [...roots],
      alarms: [...context.alarms()],
      scrub: scrubView(context.scrub()),
      engine: { ...context.recorder.engineNumbers() },
    };
  },
};

const scrubView = (scrub: ScrubStatus) => ({ ...scrub, rounds: [...scrub.rounds] });
