import { chmod, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import sqlite3 from "sqlite3";
import { RecorderError, toRecorderError } from "../../base/errors.ts";
import { sizeOf } from "../context.ts";
import { Connection, Database, sqliteCode } from "../database.ts";
import { CATALOG_MIGRATIONS, STATE_MIGRATIONS } from "../schema.ts";
import { isDamage } from "./live-database.ts";

const CATALOG = "catalog.db";
/** One that is being filled; nobody reads it. */
const FRESH = "catalog.db.new";
const DAMAGED = "catalog.db.damaged-";
const SMALL_TABLES = ["root", "stream", "meta", "renaming"] as const;
/** Key in `meta`: why the catalog does not have everything. */
const INCOMPLETE = "incomplete";
/** Answers that are the disk's or the caller's fault, not the content's. */
const NOT_CONTENT: readonly string[] = ["SQLITE_IOERR", "SQLITE_FULL", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_NOMEM", "SQLITE_PERM"];

/** Opens a database that nobody else may read: file, WAL and shared memory get the mode of the file. */
export async function openDatabase(path: string, synchronous: "NORMAL" | "FULL"): Promise<Database> {
  const migrations = synchronous === "FULL" ? STATE_MIGRATIONS : CATALOG_MIGRATIONS;
  // Closed again before SQLite opens it, since closing a descriptor later would drop SQLite's locks.
  await (await open(path, "a", 0o600)).close();
  await chmod(path, 0o600);
  return Database.open({ path, synchronous, migrations });
}

/**
 * Opens the catalog (Start 1). One whose content cannot be right is set aside (Damage 1) and replaced by an empty one. `incomplete`: why it
 * does not have everything, null if it has; it says so itself until `markComplete`, whatever becomes of the process.
 */
export async function openCatalog(
  stateDir: string,
  utcMs: number,
): Promise<{ readonly database: Database; readonly incomplete: string | null }> {
  await removeDatabase(join(stateDir, FRESH));
  const path = join(stateDir, CATALOG);
  try {
    if (((await sizeOf(path)) ?? 0) === 0) return await openEmpty(path, "there was none");
    const database = await openDatabase(path, "NORMAL");
    try {
      const wrong = await schemaProblem(database);
      if (wrong !== null) throw new RecorderError("DATABASE_FAILED", `${path}: ${wrong}`, { sqlite: "SQLITE_CORRUPT" });
      const row = await database.get<{ value: string }>("SELECT value FROM meta WHERE key = ?", [INCOMPLETE]);
      return { database, incomplete: row?.value ?? null };
    } catch (error) {
      await database.close().catch(() => undefined); // what it answers does not matter any more
      throw error;
    }
  } catch (error) {
    if (!(error instanceof RecorderError) || !isOfContent(error)) throw error;
    await setAside(stateDir, utcMs);
    return await openEmpty(path, error.message);
  }
}

async function openEmpty(path: string, why: string): Promise<{ readonly database: Database; readonly incomplete: string }> {
  const database = await openDatabase(path, "NORMAL");
  await database.transaction((transaction) => transaction.run("INSERT INTO meta (key, value) VALUES (?, ?)", [INCOMPLETE, why]));
  return { database, incomplete: why };
}

/** An empty catalog in the place of one that was damaged. */
export function openReplacement(stateDir: string, why: string): Promise<{ readonly database: Database }> {
  return openEmpty(join(stateDir, CATALOG), why);
}

export async function markComplete(database: Pick<Database, "transaction">): Promise<void> {
  await database.transaction((transaction) => transaction.run("DELETE FROM meta WHERE key = ?", [INCOMPLETE]));
}

/** An empty catalog beside the one that serves. */
export async function openFresh(stateDir: string): Promise<Database> {
  const path = join(stateDir, FRESH);
  await removeDatabase(path);
  return openDatabase(path, "NORMAL");
}

/** Puts the fresh catalog, filled and closed, in the place of the one that served, closed too. At each moment one of them is whole and there. */
export async function installFresh(stateDir: string): Promise<Database> {
  const path = join(stateDir, CATALOG);
  // A log that outlived its database would be taken for one of the new.
  await rm(`${path}-wal`, { force: true });
  await rm(`${path}-shm`, { force: true });
  await rename(join(stateDir, FRESH), path);
  await syncDirectory(stateDir);
  return openDatabase(path, "NORMAL");
}

/** Moves a damaged catalog, closed, out of the way. The newest one is kept: flash is small, and who looks into it wants the last. */
export async function setAside(stateDir: string, utcMs: number): Promise<void> {
  const stamp = new Date(utcMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, "");
  for (const name of await readdir(stateDir)) if (name.startsWith(DAMAGED)) await rm(join(stateDir, name), { force: true });
  const path = join(stateDir, CATALOG);
  const aside = join(stateDir, `${DAMAGED}${stamp}Z`);
  await rm(`${path}-shm`, { force: true });
  await rename(`${path}-wal`, `${aside}-wal`).catch(() => undefined); // there is none if it was closed well
  await rename(path, aside);
  await syncDirectory(stateDir);
}

export async function removeFresh(stateDir: string): Promise<void> {
  await removeDatabase(join(stateDir, FRESH));
}

/**
 * What is wrong with tables, indexes or triggers, and with the content of the small ones; null if they are those of this program. The large
 * ones would take too long: what is wrong with them is found when they are read, or behind READY.
 */
async function schemaProblem(database: Database): Promise<string | null> {
  for (const table of SMALL_TABLES) {
    const [row] = await database.all<{ integrity_check: string }>(`PRAGMA integrity_check(${table})`);
    if (row?.integrity_check !== "ok") return `table ${table}: ${row?.integrity_check}`;
  }
  const sql = "SELECT type, name, tbl_name AS onTable, sql FROM sqlite_schema ORDER BY type, name";
  const found = await database.all<{ name: string }>(sql);
  const model = await Connection.open(":memory:", sqlite3.OPEN_READWRITE | sqlite3.OPEN_CREATE);
  try {
    for (const migration of CATALOG_MIGRATIONS) await model.exec(migration.sql);
    const expected = await model.all<{ name: string }>(sql);
    const same = JSON.stringify(found) === JSON.stringify(expected);
    return same ? null : `its schema is not that of version ${CATALOG_MIGRATIONS.at(-1)?.version}`;
  } finally {
    await model.close();
  }
}

/** True if the file itself is at fault: another one would do. A schema that a newer program wrote counts: all of it can be read from files again. */
function isOfContent(error: RecorderError): boolean {
  if (isDamage(error)) return true;
  if (error.code === "SCHEMA_UNSUPPORTED") return error.context["newest"] !== undefined;
  const code = sqliteCode(error);
  return code !== "" && !NOT_CONTENT.includes(code);
}

export const CATALOG_TABLES = [...SMALL_TABLES, "run", "segment", "gap", "deletion", "coverage_hour"] as const;

/** What SQLite finds wrong with a table of the catalog and its indexes, null for nothing. Reads all of it. */
export async function tableProblem(stateDir: string, table: (typeof CATALOG_TABLES)[number]): Promise<string | null> {
  try {
    const row = await askAside<{ integrity_check: string }>(stateDir, `PRAGMA integrity_check(${table})`);
    return row?.integrity_check === "ok" ? null : (row?.integrity_check ?? "no answer");
  } catch (error) {
    if (isDamage(error)) return toRecorderError(error).message;
    throw error;
  }
}

/** Asks the catalog something that takes long, on a connection of its own: nobody waits behind it. */
export async function askAside<Row>(stateDir: string, sql: string): Promise<Row | undefined> {
  const connection = await Connection.open(join(stateDir, CATALOG), sqlite3.OPEN_READONLY);
  try {
    return await connection.get<Row>(sql);
  } finally {
    await connection.close();
  }
}

async function removeDatabase(path: string): Promise<void> {
  for (const suffix of ["", "-wal", "-shm"]) await rm(`${path}${suffix}`, { force: true });
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
