import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { Alarms } from "../../src/base/alarms.ts";
import { silentLogger } from "../../src/base/log.ts";
import { openStore, type StoreOptions } from "../../src/store/open-store.ts";
import type { Store } from "../../src/store/store.ts";
import type { SegmentId, StreamPlace } from "../../src/store/types.ts";
import { SimulatedClock } from "../fakes/clock.ts";
import { FakeFileSteps } from "../fakes/file-steps.ts";

export const SERIAL = "EZ0001";
export const RUN = "11111111-2222-4333-8444-555555555555";
export const T0 = Date.UTC(2026, 5, 1, 8, 0, 0);
export const GATE: StreamPlace = { camera: "gate", stream: "main", channel: 1, name: `${SERIAL}_1` };

/** A box with one root on a folder of its own, whose process can die and start again. */
export class TestBox {
  readonly folder: string;
  readonly clock = new SimulatedClock(T0);
  readonly zone: string;
  readonly alarms = new Alarms(this.clock, silentLogger);
  files = new FakeFileSteps();
  limitBytes: number | null = null;
  /** Whether runs and files say that the clock can be trusted. */
  clockTrusted = true;
  /** The boot that the next process runs in. */
  boot = "boot-1";
  #store: Store | null = null;

  private constructor(folder: string, zone: string) {
    this.folder = folder;
    this.zone = zone;
  }

  static async create(zone = "UTC"): Promise<TestBox> {
    return new TestBox(await mkdtemp(join(tmpdir(), "easyrms-store-")), zone);
  }

  get root(): string {
    return join(this.folder, "root");
  }

  get store(): Store {
    if (this.#store === null) throw new Error("not started");
    return this.#store;
  }

  open(changes: Partial<StoreOptions> = {}): Promise<Store> {
    return openStore({
      stateDir: join(this.folder, "state"),
      roots: [{ path: this.root, limitBytes: this.limitBytes, reserveBytes: 0 }],
      serial: SERIAL,
      boot: this.boot,
      zone: this.zone,
      clock: this.clock,
      log: silentLogger,
      files: this.files,
      alarms: this.alarms,
      ...changes,
    });
  }

  async start(): Promise<Store> {
    const store = await this.open();
    this.#store = store;
    await store.start(new AbortController().signal);
    return store;
  }

  /** Replaces the cameras of the desired document. */
  async want(places: readonly StreamPlace[]): Promise<void> {
    const { document } = await this.store.read();
    const cameras = places.map(({ camera, channel }) => ({
      id: camera,
      channel,
      url: "rtsp://192.0.2.1/",
      subUrl: null,
      username: null,
      transport: "auto" as const,
      record: true,
    }));
    await this.store.write(cameras, new Map(), document.revision);
  }

  /** Ends the process as a kill would (what is committed stays) and starts the next one. */
  async restart(): Promise<Store> {
    await this.#store?.stop();
    this.files = new FakeFileSteps();
    return this.start();
  }

  async remove(): Promise<void> {
    await this.#store?.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Files below the root, without the lock. */
  async tree(): Promise<string[]> {
    const entries = await readdir(this.root, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile()).map((entry) => relative(this.root, join(entry.parentPath, entry.name)));
    return files.filter((file) => !file.startsWith(".")).sort();
  }

  /** Lets a segment grow: the writer's file, then the store's row. */
  async grow(id: SegmentId, startUtcMs: number, fragments = 3, place = GATE, torn = 0): Promise<string> {
    const plan = this.store.planSegment(place, id);
    const { clockTrusted, zone } = this;
    const identity = { serial: SERIAL, channel: place.channel, stream: place.stream, ...id, startUtcMs, zone, clockTrusted };
    const parts = Array.from({ length: fragments }, (_, index) => ({
      startUtcMs: startUtcMs + index * 1000,
      durationMs: 1000,
      bytes: 500,
    }));
    await this.files.grow(plan.path, identity, parts, torn);
    await this.store.segmentOpened(place, id, { root: plan.root, path: plan.path, startUtcMs, startMonoMs: 5 });
    this.store.openSegmentProgress(id, fragments * 500, startUtcMs + fragments * 1000);
    return plan.path;
  }

  async close(id: SegmentId, startUtcMs: number, durationMs = 3000, place = GATE): Promise<void> {
    await this.store.closeSegment(place, id, { startUtcMs, endUtcMs: startUtcMs + durationMs, durationMs });
  }

  async record(id: SegmentId, startUtcMs: number, place = GATE): Promise<void> {
    await this.grow(id, startUtcMs, 3, place);
    await this.close(id, startUtcMs, 3000, place);
  }

  beginRun(startUtcMs = T0, run = RUN, place = GATE): Promise<void> {
    return this.store.beginRun({ ...place, run, startUtcMs, startMonoMs: 5, clockTrusted: this.clockTrusted });
  }

  async rows(fromUtcMs = T0 - 1e9, toUtcMs = T0 + 1e9) {
    return this.store.timeline({ camera: null, stream: null, range: { fromUtcMs, toUtcMs }, limit: 1000 });
  }

  async findings() {
    return (await this.store.check({ deep: true, signal: new AbortController().signal, onProgress() {} })).findings;
  }
}
