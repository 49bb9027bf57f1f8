import * as z from "zod";
import { cameraIdSchema } from "../config/desired.ts";
import { dayStart } from "../ledger/calendar.ts";
import { addStates, statesOf } from "../ledger/settle.ts";
import { shareOf } from "../ledger/share.ts";
import type { Bucket, LedgerDay, StateMs, Stretch } from "../ledger/types.ts";
import { COVERAGE_STATES, STREAM_KINDS, type StreamKey, streamKeyText, type TimeRange } from "../media/types.ts";
import type { TracedStream } from "../store/types.ts";
import type { StreamCommand } from "./command.ts";
import type { CommandContext } from "./context.ts";
import { MOMENT_FORMS } from "./moment.ts";
import { momentInput, parseRange, requireKnown } from "./range.ts";

export const LEDGER_ZOOMS = ["exact", "1s", "1m", "1h", "1d"] as const;
export type LedgerZoom = (typeof LEDGER_ZOOMS)[number];

/** Days before the one that runs which days are told of by default. */
const DAYS_BACK = 6;

const input = z.strictObject({
  camera: cameraIdSchema.nullable().default(null),
  stream: z.enum(STREAM_KINDS).nullable().default(null),
  from: momentInput.describe(
    `start: ${MOMENT_FORMS}; local to the site where no offset is given. Default: for days six days before the end's, else the start of the end's day`,
  ),
  to: momentInput.describe("end, in the same forms; at most now. Default: now"),
  zoom: z.enum(LEDGER_ZOOMS).default("1d").describe("exact intervals, or how seconds, minutes, hours or days of the site divide"),
});

const states = z
  .partialRecord(z.enum(COVERAGE_STATES), z.int())
  .describe("milliseconds of each state that occurs: recorded, or the cause of its not being so");

const place = {
  camera: z.string(),
  stream: z.enum(STREAM_KINDS),
  from: z.int().describe("UTC milliseconds"),
  to: z.int().describe("UTC milliseconds, exclusive"),
};

const share = {
  plannedMs: z.int().describe("time that has passed and is not not-planned"),
  recordedMs: z.int().describe("of it recorded, deleted by rule since or not"),
  share: z.number().nullable().describe("recordedMs of plannedMs, 0 to 1, rounded down; null where nothing was planned"),
};

const item = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("interval"),
    ...place,
    state: z.enum(COVERAGE_STATES),
    detail: z.string().nullable().describe("of a gap its reason, of deleted media the rule"),
  }),
  z.object({ kind: z.literal("bucket"), ...place, states }),
  z.object({
    kind: z.literal("day"),
    ...place,
    day: z.string().describe("YYYY-MM-DD in the site's zone"),
    states,
    ...share,
    hours: z
      .array(states)
      .readonly()
      .describe("the same for each of its hours, counted from local midnight or from the start of the range"),
  }),
  z.object({ kind: z.literal("total"), ...place, states, ...share }),
]);
export type LedgerItem = z.output<typeof item>;

/** What became of every second, stream by stream in order of time, each with its total behind it. */
export const ledger: StreamCommand<typeof input, typeof item> = {
  kind: "stream",
  name: "ledger",
  summary: "Tell what became of every second: recorded, or why not",
  route: { method: "GET", path: "/ledger", status: 200 },
  input,
  item,
  async *run(context, { camera, stream, from, to, zoom }, signal) {
    const { zone } = context.config;
    const range = parseRange(from, to, context, {
      fromUtcMs: (toUtcMs) => dayStart(Math.max(0, toUtcMs - 1), zone, zoom === "1d" ? DAYS_BACK : 0),
      toUtcMs: context.clock.utcMs(),
    });
    const known = await wantedStreams(context);
    let told = false;
    for (const traced of await context.ledger.streams(camera, stream)) {
      const key = { camera: traced.camera, stream: traced.stream };
      // Of a stream that is gone there is nothing to tell since then.
      if (camera === null && !known.has(streamKeyText(key)) && traced.lastUtcMs <= range.fromUtcMs) continue;
      let total: (TimeRange & { states: StateMs }) | null = null;
      for await (const batch of batches(context, traced, range, zoom, signal)) {
        for (const part of batch) total = add(total, part);
        yield batch.map((part) => itemOf(key, part));
      }
      if (total === null) continue;
      yield [{ kind: "total", ...key, from: total.fromUtcMs, to: total.toUtcMs, states: total.states, ...shareOf(total.states) }];
      told = true;
    }
    if (!told && camera !== null) await requireKnown(context, camera);
  },
};

async function* batches(
  context: CommandContext,
  stream: TracedStream,
  range: TimeRange,
  zoom: LedgerZoom,
  signal: AbortSignal,
): AsyncIterable<readonly (Stretch | Bucket | LedgerDay)[]> {
  switch (zoom) {
    case "exact":
      return yield* context.ledger.stretches(stream, range, signal);
    case "1s":
      return yield* context.ledger.buckets(stream, range, 1000, signal);
    case "1m":
      return yield* context.ledger.buckets(stream, range, 60_000, signal);
    case "1h":
      for await (const { hours } of context.ledger.days(stream, range, signal))
        yield hours.filter((hour) => hour.toUtcMs > stream.firstUtcMs);
      return;
    case "1d":
      for await (const day of context.ledger.days(stream, range, signal)) yield [day];
  }
}

function itemOf(key: StreamKey, part: Stretch | Bucket | LedgerDay): LedgerItem {
  const common = { camera: key.camera, stream: key.stream, from: part.fromUtcMs, to: part.toUtcMs };
  if ("state" in part) return { kind: "interval", ...common, state: part.state, detail: part.detail };
  if (!("day" in part)) return { kind: "bucket", ...common, states: part.states };
  const hours = part.hours.map((hour) => hour.states);
  return { kind: "day", ...common, day: part.day, states: part.states, ...shareOf(part.states), hours };
}

function add(total: (TimeRange & { states: StateMs }) | null, part: Stretch | Bucket): TimeRange & { states: StateMs } {
  const fromUtcMs = total?.fromUtcMs ?? part.fromUtcMs;
  return {
    fromUtcMs,
    toUtcMs: part.toUtcMs,
    states: addStates(total?.states ?? {}, "state" in part ? statesOf([part], part) : part.states),
  };
}

async function wantedStreams(context: CommandContext): Promise<ReadonlySet<string>> {
  const { document } = await context.desired.read();
  return new Set(
    document.cameras.flatMap(({ id, subUrl }) => [
      streamKeyText({ camera: id, stream: "main" }),
      ...(subUrl === null ? [] : [streamKeyText({ camera: id, stream: "sub" })]),
    ]),
  );
}
