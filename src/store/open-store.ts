import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Alarms } from "../base/alarms.ts";
import { type Clock, sleep } from "../base/clock.ts";
import { RecorderError, toRecorderError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { Catalog } from "./catalog.ts";
import { BootShift } from "./clock/boot-shift.ts";
import { HeartbeatFile } from "./clock/heartbeat.ts";
import { lastHeartbeat } from "./clock/shift-rows.ts";
import { FinalNames, type StoreContext } from "./context.ts";
import { openCatalog, openDatabase } from "./index/catalog-file.ts";
import { LiveDatabase } from "./index/live-database.ts";
import { lockFolder } from "./lock.ts";
import { SiteZone } from "./paths.ts";
import { type RootOptions, Roots } from "./roots/roots.ts";
import { StateStore } from "./state.ts";
import { Store } from "./store.ts";
import type { FileSteps } from "./types.ts";

export interface StoreOptions {
  /** Where both databases live. Created, closed to others. */
  readonly stateDir: string;
  /** Recording roots, absolute. One that is missing is made, unless it was on a file system that is not mounted now. */
  readonly roots: readonly RootOptions[];
  readonly serial: string;
  /** The boot this process runs in: `readBootId()` of base. */
  readonly boot: string;
  /** IANA zone of the site. */
  readonly zone: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly files: FileSteps;
  readonly alarms: Pick<Alarms, "raise" | "clear">;
}

/** A root that has not answered by then is left to `RootWatch`: the others need not wait. */
const ROOT_ANSWER_MS = 2000;
/**
 * Locks the folders and opens the databases (Start 1 and 2); `start` recovers. Without `start` only `check` and reading make sense.
 * Roots that cannot be recorded to are no reason to fail: see `Store.roots`.
 * @throws RecorderError ROOT_LOCKED while another process works on the state directory or a root, ROOT_UNAVAILABLE for a state directory that cannot be made or written.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const releases: (() => Promise<void>)[] = [];
  const release = async () => {
    for (const step of releases.reverse()) await step();
  };
  try {
    await makeFolder(options.stateDir, 0o700);
    const lock = await lockFolder(options.stateDir);
    releases.push(() => lock.release());
    const stateDatabase = await openDatabase(join(options.stateDir, "state.db"), "FULL");
    releases.push(() => stateDatabase.close());
    const found = await openCatalog(options.stateDir, options.clock.utcMs());
    const database = new LiveDatabase(found.database);
    releases.push(() => database.close());
    const heartbeat = await HeartbeatFile.open(options.stateDir, options.log);
    releases.push(() => heartbeat.close());
    const last = await lastHeartbeat(heartbeat.last, database, options.boot);
    const catalog = new Catalog(database, new BootShift(options.boot, last?.boot === options.boot ? last.shiftMs : 0));
    const state = new StateStore(stateDatabase, options.clock);
    const roots = new Roots({ ...options, state, catalog });
    releases.push(() => roots.close());
    await openRoots(roots, options);
    const zone = new SiteZone(options.zone);
    const { serial, boot, files, clock, log } = options;
    const names = new FinalNames(zone, catalog);
    const context: StoreContext = {
      serial,
      boot,
      catalog,
      files,
      zone,
      clock,
      log,
      names,
      get roots() {
        return roots.present();
      },
    };
    const { stateDir, alarms } = options;
    const file = { database, incomplete: found.incomplete, stateDir, alarms };
    return new Store({ context, roots, configured: options.roots, state, heartbeat, last, file, release });
  } catch (error) {
    await release();
    throw error;
  }
}

/** Opens the roots that can be opened; the others are absent or failing until `RootWatch` finds them well. */
async function openRoots(roots: Roots, { clock, log }: StoreOptions): Promise<void> {
  await roots.load();
  const answered = new AbortController();
  await Promise.all(
    roots.status().map(async ({ index, path }) => {
      const late = sleep(clock, ROOT_ANSWER_MS, answered.signal).then(
        () => null,
        () => null,
      );
      try {
        const opened = await Promise.race([roots.open(index), late]);
        if (opened !== null) roots.publish(opened);
      } catch (error) {
        const { code, message } = toRecorderError(error);
        if (code === "ROOT_LOCKED") throw error;
        log.error("root.not-opened", { root: path, error: message });
      }
    }),
  ).finally(() => answered.abort());
}

/** `mode` is what the umask leaves of it. */
async function makeFolder(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode });
  } catch (error) {
    throw new RecorderError(
      "ROOT_UNAVAILABLE",
      `the directory ${path} cannot be made: ${toRecorderError(error).message}`,
      { path },
      { cause: error },
    );
  }
}
