import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { Alarms } from "./base/alarms.ts";
import { hasRtc, readBootId } from "./base/boot.ts";
import { type Clock, systemClock } from "./base/clock.ts";
import { type ClockMove, ClockWatch } from "./base/clock-watch.ts";
import { RecorderError, toRecorderError } from "./base/errors.ts";
import type { Part } from "./base/lifecycle.ts";
import { createLogger, type Logger, silentLogger } from "./base/log.ts";
import { notifyServiceManager } from "./base/notify.ts";
import type { CheckOptions, CommandContext } from "./commands/context.ts";
import type { BoxConfig } from "./config/types.ts";
import { VERSION } from "./config/version.ts";
import { Engine } from "./engine/engine.ts";
import { engineFiles } from "./engine/files.ts";
import { loadAddon } from "./engine/loader.ts";
import { createHttpApi } from "./http/server.ts";
import { Ledger } from "./ledger/ledger.ts";
import { probeCamera } from "./recording/probe.ts";
import { Recorder } from "./recording/recorder.ts";
import { Ring } from "./retention/ring.ts";
import { Accounts } from "./rtsp/accounts.ts";
import type { Resolve } from "./rtsp/types.ts";
import { openStore } from "./store/open-store.ts";
import { RootWatch } from "./store/roots/root-watch.ts";
import type { Store } from "./store/store.ts";
import type { CheckReport, FileSteps, ReindexOptions, ReindexReport } from "./store/types.ts";

/** Period of the network thread: one wake-up for all cameras. */
const TICK_MS = 100;
/** A group sync starts at most this long after the second of a fragment is over (DESIGN.md 5, loss bound). */
const SYNC_MS = 250;

export interface ServiceOptions {
  readonly config: BoxConfig;
  readonly configPath: string;
  /** Aborted to end the service. */
  readonly signal: AbortSignal;
}

/**
 * Runs the recorder until `signal` is aborted. Parts start in the order below and stop in reverse.
 * Rejects with the first error of a part that cannot start, after those already started are stopped.
 */
export async function runService({ config, configPath, signal }: ServiceOptions): Promise<void> {
  const log = createLogger(config.log.level);
  log.info("service.starting", { version: VERSION, config: configPath, serial: config.serial });
  const addon = loadAddon();
  const clock: Clock = { ...systemClock, utcMs: addon.clock.utcMs };
  const startedMonoMs = clock.monoMs();
  const alarms = new Alarms(clock, log);
  const engine = new Engine(addon, { tickMs: TICK_MS }, log);
  const files: FileSteps = {
    ...engineFiles(addon.files),
    finishSegment: (root, id, finalPath) => engine.finishSegment(root, id.run, id.sequence, finalPath),
  };
  const running: Part[] = [];
  const start = async (part: Part): Promise<void> => {
    running.push(part);
    signal.throwIfAborted();
    await part.start(signal);
  };
  try {
    const boot = await readBootId();
    const store = await openStore({ ...storeOptions(config, files, boot, log), clock, alarms });
    const { heartbeat } = store;
    const watch = new ClockWatch(
      {
        wall: addon.clock,
        clock,
        boot,
        rtc: await hasRtc(),
        trust: config.clock.trust,
        last: store.last,
        beat: (beat) => heartbeat.beat(beat),
        alarms,
        log,
      },
      await store.newestUtcMs(),
    );
    const recording: { moved(move: ClockMove): void } = { moved: () => {} };
    await watch.follow({
      prepare: (move) => store.prepareShift(move),
      moved: (move) => {
        recording.moved(move);
        return store.shift(move);
      },
    });
    await start({ name: "store", start: (starting) => store.start(starting), stop: () => store.stop() });
    watch.notBefore(await store.newestUtcMs());
    await start({ name: "engine", start: async () => engine.start(), stop: () => engine.stop() });
    const rootWatch = new RootWatch({
      roots: store.roots,
      writers: engine,
      syncMs: SYNC_MS,
      recover: (root) => store.recoverRoot(root),
      onChanged: () => recorder.rootsChanged(),
      alarms,
      clock,
      log,
    });
    engine.observeFailures((root, error) => rootWatch.failed(root, error));
    const accounts = new Accounts(clock);
    const ring = new Ring({ store, growth: (root) => recorder.growth(root), alarms, clock, log });
    const recorder = new Recorder({
      config,
      engine,
      store,
      desired: store,
      capacityBytes: (root) => ring.capacityBytes(root),
      resolve: resolveHost,
      accounts,
      alarms,
      clock,
      clockTrusted: () => watch.trusted,
      log,
    });
    recording.moved = (move) => recorder.clockMoved(move);
    await start(rootWatch);
    await start(watch);
    await start(ring);
    await start(recorder);
    const context: CommandContext = {
      config,
      alarms: () => alarms.list(),
      version: VERSION,
      startedMonoMs,
      clock,
      log,
      desired: store,
      timeline: store,
      ledger: new Ledger({ reader: store, zone: config.zone, clock }),
      recorder,
      probe: (endpoint, options) => probeCamera({ engine, endpoint, resolve: resolveHost, accounts, clock, log, ...options }),
      check: (options) => store.check(options),
      reindex: (options) => store.reindex(options),
      scrub: () => store.scrubStatus(),
    };
    await start(createHttpApi(context));
    await notifyServiceManager({ ready: true, status: "recording" }, log);
    void store.settle();
    log.info("service.ready", { afterMs: clock.monoMs() - startedMonoMs, socket: config.api.socket });
    await aborted(signal);
  } catch (error) {
    if (!signal.aborted) throw error;
    if (error !== signal.reason) log.warn("service.start-interrupted", { error: toRecorderError(error) });
  } finally {
    log.info("service.stopping");
    await notifyServiceManager({ status: "stopping" }, log);
    for (const part of running.reverse()) {
      await part.stop().catch((error: unknown) => log.error("part.stop-failed", { part: part.name, error: toRecorderError(error) }));
    }
    log.info("service.stopped");
  }
}

/** `check` without a running service. Rejects with ROOT_LOCKED while one runs. */
export function offlineCheck(config: BoxConfig, options: CheckOptions): Promise<CheckReport> {
  return offline(config, silentLogger, (store) => store.check(options));
}

/** `reindex` without a running service. Rejects with ROOT_LOCKED while one runs. */
export function offlineReindex(config: BoxConfig, options: ReindexOptions): Promise<ReindexReport> {
  return offline(config, silentLogger, (store) => store.reindex(options));
}

/** Takes the locks, works on the store without recovering anything, lets go. */
async function offline<T>(config: BoxConfig, log: Logger, work: (store: Store) => Promise<T>): Promise<T> {
  const files: FileSteps = {
    ...engineFiles(loadAddon().files),
    finishSegment: () => Promise.reject(new RecorderError("ENGINE_MISUSE", "without a service no segments are finished")),
  };
  const store = await openStore(storeOptions(config, files, await readBootId(), log));
  try {
    return await work(store);
  } finally {
    await store.stop();
  }
}

function storeOptions(config: BoxConfig, files: FileSteps, boot: string, log: Logger) {
  const { limitBytes, reserveBytes } = config.storage;
  return {
    stateDir: config.state.dir,
    roots: config.storage.roots.map((path) => ({ path, limitBytes, reserveBytes })),
    serial: config.serial,
    boot,
    zone: config.zone,
    clock: systemClock,
    log,
    files,
    alarms: new Alarms(systemClock, log),
  };
}

const resolveHost: Resolve = async (host) => {
  if (isIP(host) !== 0) return [host];
  return (await lookup(host, { all: true })).map(({ address }) => address);
};

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
