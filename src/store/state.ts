import type { Clock } from "../base/clock.ts";
import { RecorderError } from "../base/errors.ts";
import type { DesiredCamera, DesiredState, DesiredStore } from "../config/types.ts";
import type { Database } from "./database.ts";
import type { RememberedRoot } from "./roots/root-identity.ts";

const BOOT_ID = "boot-id";

interface DesiredRow {
  readonly revision: number;
  readonly cameras: string;
  readonly passwords: string;
}

/** What `state.db` keeps: the desired document, the passwords beside it, and what the next process must know about this one. */
export class StateStore implements DesiredStore {
  readonly #database: Database;
  readonly #clock: Clock;

  constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  async read(): Promise<{ readonly document: DesiredState; readonly passwords: ReadonlyMap<string, string> }> {
    // One statement, so that document and passwords are of the same revision.
    const row = await this.#database.get<DesiredRow>(
      "SELECT revision, cameras, (SELECT json_group_object(camera, password) FROM secret) AS passwords FROM desired WHERE id = 1",
    );
    if (row === undefined) throw new RecorderError("DATABASE_FAILED", "state.db holds no desired document; it was changed by hand");
    const cameras: readonly DesiredCamera[] = JSON.parse(row.cameras);
    const passwords: Record<string, string> = JSON.parse(row.passwords);
    return { document: { revision: row.revision, cameras }, passwords: new Map(Object.entries(passwords)) };
  }

  write(cameras: readonly DesiredCamera[], passwords: ReadonlyMap<string, string | null>, expectedRevision: number): Promise<number> {
    const ids = JSON.stringify(cameras.map((camera) => camera.id));
    return this.#database.transaction(async (transaction) => {
      const revision = expectedRevision + 1;
      const changed = await transaction.run(
        "UPDATE desired SET revision = ?, cameras = ?, changed_utc_ms = ? WHERE id = 1 AND revision = ?",
        [revision, JSON.stringify(cameras), this.#clock.utcMs(), expectedRevision],
      );
      if (changed === 0) {
        const row = await transaction.get<{ revision: number }>("SELECT revision FROM desired WHERE id = 1");
        const observed = row?.revision ?? null;
        const message = `the desired state is at revision ${observed}, the change was made for ${expectedRevision}: read it again`;
        throw new RecorderError("CONFLICT", message, { observed, expected: expectedRevision });
      }
      for (const [camera, password] of passwords) {
        if (password === null) await transaction.run("DELETE FROM secret WHERE camera = ?", [camera]);
        else
          await transaction.run("INSERT INTO secret VALUES (?, ?) ON CONFLICT DO UPDATE SET password = excluded.password", [
            camera,
            password,
          ]);
      }
      await transaction.run("DELETE FROM secret WHERE camera NOT IN (SELECT value FROM json_each(?))", [ids]);
      return revision;
    });
  }

  /** Boot id of the last process that started here, null if there was none. */
  async lastBootId(): Promise<string | null> {
    const row = await this.#database.get<{ value: string }>("SELECT value FROM meta WHERE key = ?", [BOOT_ID]);
    return row?.value ?? null;
  }

  async setBootId(bootId: string): Promise<void> {
    await this.#database.transaction((transaction) =>
      transaction.run("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", [BOOT_ID, bootId]),
    );
  }

  /** What was open last, by configured path. */
  async roots(): Promise<ReadonlyMap<string, RememberedRoot>> {
    const rows = await this.#database.all<RememberedRoot & { path: string }>("SELECT path, uuid, mount_point AS mountPoint FROM root");
    return new Map(rows.map(({ path, uuid, mountPoint }) => [path, { uuid, mountPoint }]));
  }

  /** Writes only what is new: a root that comes and goes must not wear the flash. */
  rememberRoot(path: string, { uuid, mountPoint }: RememberedRoot): Promise<void> {
    return this.#database.transaction(async (transaction) => {
      await transaction.run(
        `INSERT INTO root VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET uuid = excluded.uuid, mount_point = excluded.mount_point
         WHERE uuid <> excluded.uuid OR mount_point <> excluded.mount_point`,
        [path, uuid, mountPoint],
      );
    });
  }
}
