import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import sqlite3 from "sqlite3";
import { RecorderError, toRecorderError } from "../base/errors.ts";
import { Connection, sqliteCode } from "./database.ts";
import { LOCK_FILE } from "./paths.ts";

/** First and last byte that SQLite locks in a file; an exclusive holder has the whole range. */
const LOCK_RANGE = [1_073_741_824, 1_073_742_335] as const;

export interface FolderLock {
  release(): Promise<void>;
}

/**
 * Makes this process the only one that works on a folder. The lock is SQLite's on an empty file: a transaction that is begun
 * exclusively and never writes. The kernel drops it with the process, however that ends, and there is no content to go stale.
 * Nothing in this process may open the file otherwise: closing any descriptor of it would drop the lock (SQLite, howtocorrupt 2.2).
 * @param options.create false where the file must be there already, since the folder may lead to a disk that was not asked for
 * @throws RecorderError ROOT_LOCKED with the holder's pid if another holds it, ROOT_UNAVAILABLE if the folder cannot be locked.
 */
export async function lockFolder(folder: string, { create } = { create: true }): Promise<FolderLock> {
  const path = join(folder, LOCK_FILE);
  let connection: Connection | null = null;
  try {
    connection = await Connection.open(path, sqlite3.OPEN_READWRITE | (create ? sqlite3.OPEN_CREATE : 0));
    await connection.exec("PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    const held = connection;
    return { release: () => held.close() };
  } catch (error) {
    await connection?.close();
    if (sqliteCode(error) !== "SQLITE_BUSY") {
      const message = `${folder} cannot be locked: ${toRecorderError(error).message}`;
      throw new RecorderError("ROOT_UNAVAILABLE", message, { folder }, { cause: error });
    }
    const pid = await holderOf(path);
    const holder = pid === null ? "another process" : `process ${pid}`;
    throw new RecorderError("ROOT_LOCKED", `${folder} is in use by ${holder}; one serve or check at a time may work on it`, {
      folder,
      pid,
    });
  }
}

/** Pid of the process that holds SQLite's lock on `path`, as the kernel knows it; null where it does not say (no /proc/locks, foreign pid namespace). */
async function holderOf(path: string): Promise<number | null> {
  try {
    const { ino } = await stat(path);
    for (const line of (await readFile("/proc/locks", "utf8")).split("\n")) {
      // "1: POSIX  ADVISORY  WRITE 812 fe:00:1234 1073741824 1073742335". The device is not compared: btrfs and overlays show another one.
      const [, kind, , access, pid, file, from] = line.trim().split(/\s+/);
      if (kind !== "POSIX" || access !== "WRITE" || file?.split(":")[2] !== String(ino)) continue;
      if (Number(from) >= LOCK_RANGE[0] && Number(from) <= LOCK_RANGE[1] && Number(pid) > 0) return Number(pid);
    }
  } catch {
    // The message then goes without the pid.
  }
  return null;
}
