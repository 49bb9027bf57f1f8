import { randomUUID } from "node:crypto";
import { mkdir, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { silentLogger } from "../../src/base/log.ts";
import { engineFiles } from "../../src/engine/files.ts";
import { loadAddon } from "../../src/engine/loader.ts";
import { STREAM_KINDS } from "../../src/media/types.ts";
import { openStore } from "../../src/store/open-store.ts";
import { streamName } from "../../src/store/paths.ts";
import type { Store } from "../../src/store/store.ts";
import type { FileSteps, SegmentId, StreamPlace } from "../../src/store/types.ts";
import type { Box } from "../e2e/box.ts";
import { SimulatedClock } from "../fakes/clock.ts";
import type { SegmentMint } from "./segment-mint.ts";

export const SERIAL = "TEST0001";
const ZONE = "Asia/Shanghai";
/** Segments of a run; between runs there is a gap. */
const RUN_SEGMENTS = 100;
const CAUSES = ["camera-unreachable", "stream-fault", "auth-refused", "no-media", "disk-full"] as const;

/** Two streams of each of four cameras. */
export const placesOf = (serial: string): readonly StreamPlace[] =>
  STREAM_KINDS.flatMap((stream) =>
    [1, 2, 3, 4].map((channel) => ({ camera: `cam${channel}`, stream, channel, name: streamName(serial, channel, stream) })),
  );

export interface HistoryOptions {
  /** Of all streams together. */
  readonly segments: number;
  readonly hours: number;
  /** The last of it. */
  readonly endUtcMs: number;
  readonly random: () => number;
  /** Of the box; default the one that `Box` has. */
  readonly serial?: string;
  /** URL of the first camera, which records when the box is served; null for none that does. */
  readonly url: string | null;
  /** Called when half of it is there and the store is closed. */
  readonly half?: () => Promise<void>;
}

/** A store on the folders of a box, without a recorder: runs, gaps and segments are told to it, files are minted. */
export class HistoryStore {
  readonly store: Store;
  readonly clock: SimulatedClock;
  readonly #mint: SegmentMint;
  readonly #serial: string;

  /** Paths of the segments that grow. */
  readonly #open: Map<string, string>;

  private constructor(store: Store, clock: SimulatedClock, mint: SegmentMint, serial: string, open: Map<string, string>) {
    this.store = store;
    this.clock = clock;
    this.#mint = mint;
    this.#serial = serial;
    this.#open = open;
  }

  static async open(box: Box, mint: SegmentMint, utcMs: number, serial = SERIAL): Promise<HistoryStore> {
    const clock = new SimulatedClock(utcMs);
    const addon = engineFiles(loadAddon().files);
    const open = new Map<string, string>();
    const files: FileSteps = {
      ...addon,
      async finishSegment(root, id, finalPath) {
        const path = open.get(`${id.run}/${id.sequence}`) ?? "";
        await addon.recoverSegment(root, path);
        await mkdir(dirname(finalPath), { recursive: true });
        await rename(path, finalPath);
        const { bytes, crc64, blake3 } = await addon.readSegment(finalPath);
        return { bytes, crc64: crc64 ?? "", blake3: blake3 ?? "" };
      },
    };
    const store = await openStore({
      stateDir: join(box.dir, "state"),
      roots: box.roots.map((path) => ({ path, limitBytes: null, reserveBytes: 0 })),
      serial,
      boot: "11111111-1111-4111-8111-111111111111",
      zone: ZONE,
      clock,
      log: silentLogger,
      files,
      alarms: { raise() {}, clear() {} },
    });
    await store.start(new AbortController().signal);
    return new HistoryStore(store, clock, mint, serial, open);
  }

  async record(place: StreamPlace, id: SegmentId, startUtcMs: number): Promise<void> {
    const { durationMs } = this.#mint;
    const { channel, stream } = place;
    const startMonoMs = startUtcMs % 1_000_000_000;
    const plan = this.store.planSegment(place, id);
    await mkdir(dirname(plan.path), { recursive: true });
    await this.#mint.write(plan.path, { serial: this.#serial, ...id, channel, stream, startMonoMs, startUtcMs, clockTrusted: true });
    this.#open.set(`${id.run}/${id.sequence}`, plan.path);
    await this.store.segmentOpened(place, id, { root: plan.root, path: plan.path, startUtcMs, startMonoMs });
    await this.store.closeSegment(place, id, { startUtcMs, endUtcMs: startUtcMs + durationMs, durationMs });
    this.#open.delete(`${id.run}/${id.sequence}`);
  }
}

/** Days of several streams on all roots of a box: runs, the gaps between them with their causes, and some deletions. */
export async function writeHistory(box: Box, mint: SegmentMint, options: HistoryOptions): Promise<void> {
  const { segments, hours, endUtcMs, random, url, serial = SERIAL } = options;
  const places = placesOf(serial);
  const runs = Math.max(2, Math.ceil(segments / places.length / RUN_SEGMENTS));
  const perRun = Math.ceil(segments / places.length / runs);
  const stepMs = Math.floor((hours * 3_600_000) / runs);
  const begin = endUtcMs - runs * stepMs;
  let history = await HistoryStore.open(box, mint, begin, serial);
  const { document } = await history.store.read();
  const cameras = [1, 2, 3, 4].map((channel) => ({
    id: `cam${channel}`,
    channel,
    url: url ?? "rtsp://192.0.2.1/",
    subUrl: "rtsp://192.0.2.1/sub",
    username: null,
    transport: "auto" as const,
    record: url !== null && channel === 1,
  }));
  await history.store.write(cameras, new Map(), document.revision);
  const deleted: SegmentId[] = [];
  for (let at = 0; at < runs; at += 1) {
    if (at === Math.floor(runs / 2) && options.half !== undefined) {
      await history.store.stop();
      await options.half();
      history = await HistoryStore.open(box, mint, begin + at * stepMs, serial);
    }
    const { store, clock } = history;
    await Promise.all(
      places.map(async (place) => {
        const run = randomUUID();
        const from = begin + at * stepMs + Math.floor(random() * 60_000);
        const cause = CAUSES[Math.floor(random() * CAUSES.length)] ?? "unknown";
        await store.closeGap(place, from);
        await store.beginRun({ ...place, run, startUtcMs: from, startMonoMs: from % 1_000_000_000, clockTrusted: true });
        for (let sequence = 0; sequence < perRun; sequence += 1) {
          const startUtcMs = from + sequence * mint.durationMs;
          if (startUtcMs > clock.utcMs()) clock.stepUtc(startUtcMs - clock.utcMs());
          await history.record(place, { run, sequence }, startUtcMs);
          if (random() < 0.01) deleted.push({ run, sequence });
        }
        const end = from + perRun * mint.durationMs;
        await store.endRun(run, end, cause);
        await store.openGap(place, end, cause, random() < 0.5 ? null : `detail ${at}`);
      }),
    );
  }
  for (const id of deleted) await history.store.deleteSegment(id, random() < 0.5 ? "limit" : "reserve");
  await history.store.stop();
}
