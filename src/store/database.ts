import sqlite3 from "sqlite3";
import { type ErrorCode, RecorderError } from "../base/errors.ts";

/** What a column holds and a parameter may be. */
export type Value = string | number | Uint8Array | null;

/** One step of a schema, run in a transaction of its own. `version` is SQLite's user_version after it. */
export interface Migration {
  readonly version: number;
  readonly sql: string;
}

export interface Reader {
  all<Row>(sql: string, parameters?: readonly Value[]): Promise<Row[]>;
  get<Row>(sql: string, parameters?: readonly Value[]): Promise<Row | undefined>;
}

/** A transaction under way. Its work awaits nothing but these calls: everybody else's writes wait behind it. */
export interface Transaction extends Reader {
  /** Rows changed. */
  run(sql: string, parameters?: readonly Value[]): Promise<number>;
}

export interface DatabaseOptions {
  readonly path: string;
  /** NORMAL: commits may roll back on power loss, unless asked to be durable. FULL: every commit survives. */
  readonly synchronous: "NORMAL" | "FULL";
  readonly migrations: readonly Migration[];
}

/** First release with the fix for the WAL-reset bug, which hits exactly our one writer beside one reader. */
const MINIMUM_SQLITE = [3, 51, 3] as const;
/** Transactions that may wait for the writer; beyond it the disk has been stuck for minutes. */
const MAX_WAITING = 4096;
/** Transactions committed together at most. */
const MAX_BATCH = 64;
const WAL_KEEP_BYTES = 8 * 1024 * 1024;

interface Job {
  readonly work: (transaction: Transaction) => Promise<unknown>;
  readonly durable: boolean;
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * One SQLite file in WAL mode: a writer, and a read-only connection that a stalled commit does not block.
 * Writes are queued; those that wait together are committed together, each in a savepoint of its own.
 */
export class Database implements Reader {
  readonly #path: string;
  readonly #synchronous: "NORMAL" | "FULL";
  readonly #writer: Connection;
  readonly #reader: Connection;
  #queue: Job[] = [];
  #working: Promise<void> | null = null;
  #closed = false;

  private constructor(options: DatabaseOptions, writer: Connection, reader: Connection) {
    this.#path = options.path;
    this.#synchronous = options.synchronous;
    this.#writer = writer;
    this.#reader = reader;
  }

  static async open(options: DatabaseOptions): Promise<Database> {
    const writer = await Connection.open(options.path, sqlite3.OPEN_READWRITE | sqlite3.OPEN_CREATE);
    let reader: Connection | null = null;
    try {
      await assertVersion(writer);
      await writer.exec(
        `PRAGMA journal_mode = WAL; PRAGMA synchronous = ${options.synchronous}; PRAGMA foreign_keys = ON;` +
          ` PRAGMA journal_size_limit = ${WAL_KEEP_BYTES}; PRAGMA busy_timeout = 5000`,
      );
      await migrate(writer, options);
      reader = await Connection.open(options.path, sqlite3.OPEN_READONLY);
      await reader.exec("PRAGMA busy_timeout = 5000");
      return new Database(options, writer, reader);
    } catch (error) {
      await reader?.close();
      await writer.close();
      throw error;
    }
  }

  all<Row>(sql: string, parameters: readonly Value[] = []): Promise<Row[]> {
    return this.#reader.all<Row>(sql, parameters);
  }

  get<Row>(sql: string, parameters: readonly Value[] = []): Promise<Row | undefined> {
    return this.#reader.get<Row>(sql, parameters);
  }

  /**
   * Runs `work` after all transactions asked for before, and resolves with its result once it is committed.
   * `durable`: on stable storage even where the database is NORMAL, and with it every commit before.
   */
  transaction<T>(work: (transaction: Transaction) => Promise<T>, durable = false): Promise<T> {
    if (this.#closed) return Promise.reject(new RecorderError("NOT_RUNNING", `${this.#path} is closed`));
    if (this.#queue.length >= MAX_WAITING) {
      const message = `${this.#path}: ${this.#queue.length} transactions wait for the disk, allowed are ${MAX_WAITING}`;
      return Promise.reject(new RecorderError("DATABASE_FAILED", message));
    }
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ work, durable, resolve: (value) => resolve(value as T), reject });
      this.#working ??= this.#drain();
    });
  }

  /** Commits what waits, then closes both connections. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#working;
    await this.#reader.close();
    await this.#writer.close();
  }

  async #drain(): Promise<void> {
    // Lets everything that the current turn of the event loop submits join the first commit.
    await Promise.resolve();
    while (this.#queue.length > 0) await this.#commit(this.#queue.splice(0, MAX_BATCH));
    this.#working = null;
  }

  async #commit(jobs: readonly Job[]): Promise<void> {
    const raise = this.#synchronous === "NORMAL" && jobs.some((job) => job.durable);
    const settle: (() => void)[] = [];
    try {
      if (raise) await this.#writer.exec("PRAGMA synchronous = FULL");
      await this.#writer.exec("BEGIN IMMEDIATE");
      for (const job of jobs) settle.push(await this.#perform(job));
      await this.#writer.exec("COMMIT");
      for (const done of settle) done();
    } catch (error) {
      await this.#writer.exec("ROLLBACK").catch(() => undefined); // SQLite may have rolled back by itself
      for (const job of jobs) job.reject(error);
    } finally {
      if (raise) await this.#writer.exec("PRAGMA synchronous = NORMAL").catch(() => undefined);
    }
  }

  /** Runs one job inside the common transaction; returns what tells its caller after the commit. */
  async #perform(job: Job): Promise<() => void> {
    await this.#writer.exec("SAVEPOINT job");
    try {
      const value = await job.work(this.#writer);
      await this.#writer.exec("RELEASE job");
      return () => job.resolve(value);
    } catch (error) {
      await this.#writer.exec("ROLLBACK TO job; RELEASE job");
      return () => job.reject(error);
    }
  }
}

/** A handle of npm `sqlite3` with promises and our error codes. */
export class Connection implements Transaction {
  readonly #path: string;
  readonly #handle: sqlite3.Database;

  private constructor(path: string, handle: sqlite3.Database) {
    this.#path = path;
    this.#handle = handle;
  }

  static open(path: string, mode: number): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const handle = new sqlite3.Database(path, mode, (error) => {
        if (error === null) resolve(new Connection(path, handle));
        else reject(databaseError(path, error));
      });
    });
  }

  exec(sql: string): Promise<void> {
    return this.#call((done) => this.#handle.exec(sql, (error) => done(error, undefined)));
  }

  run(sql: string, parameters: readonly Value[] = []): Promise<number> {
    return this.#call((done) =>
      this.#handle.run(sql, parameters, function (error) {
        done(error, error === null ? this.changes : 0);
      }),
    );
  }

  all<Row>(sql: string, parameters: readonly Value[] = []): Promise<Row[]> {
    return this.#call((done) => this.#handle.all<Row>(sql, parameters, (error, rows) => done(error, rows)));
  }

  async get<Row>(sql: string, parameters: readonly Value[] = []): Promise<Row | undefined> {
    return this.#call((done) => this.#handle.get<Row>(sql, parameters, (error, row) => done(error, row)));
  }

  close(): Promise<void> {
    return this.#call((done) => this.#handle.close((error) => done(error, undefined)));
  }

  #call<T>(begin: (done: (error: Error | null, value: T) => void) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      begin((error, value) => {
        if (error === null) resolve(value);
        else reject(databaseError(this.#path, error));
      });
    });
  }
}

async function assertVersion(connection: Connection): Promise<void> {
  const row = await connection.get<{ version: string }>("SELECT sqlite_version() AS version");
  const observed = row?.version ?? "none";
  const parts = observed.split(".").map(Number);
  for (const [index, minimum] of MINIMUM_SQLITE.entries()) {
    const part = parts[index] ?? 0;
    if (part > minimum) return;
    if (part < minimum) {
      const message = `SQLite is ${observed}, needed is ${MINIMUM_SQLITE.join(".")} or newer: older ones can corrupt a WAL database`;
      throw new RecorderError("SCHEMA_UNSUPPORTED", message);
    }
  }
}

async function migrate(writer: Connection, options: DatabaseOptions): Promise<void> {
  const row = await writer.get<{ user_version: number }>("PRAGMA user_version");
  const observed = row?.user_version ?? 0;
  const newest = options.migrations.at(-1)?.version ?? 0;
  if (observed > newest) {
    const message = `${options.path} has schema version ${observed}, this program knows versions up to ${newest}: it was written by a newer one`;
    throw new RecorderError("SCHEMA_UNSUPPORTED", message, { observed, newest });
  }
  for (const migration of options.migrations) {
    if (migration.version <= observed) continue;
    try {
      await writer.exec(`BEGIN EXCLUSIVE; ${migration.sql}; PRAGMA user_version = ${migration.version}; COMMIT`);
    } catch (error) {
      await writer.exec("ROLLBACK").catch(() => undefined);
      throw error;
    }
  }
}

/** The result code of SQLite behind an error of ours, "" if it was another one. */
export function sqliteCode(error: unknown): string {
  if (!(error instanceof RecorderError)) return "";
  const code = error.context["sqlite"];
  return typeof code === "string" ? code : "";
}

function databaseError(path: string, error: Error): RecorderError {
  const sqlite = "code" in error && typeof error.code === "string" ? error.code : "SQLITE_ERROR";
  const codes: Readonly<Record<string, ErrorCode>> = { SQLITE_FULL: "DISK_FULL", SQLITE_IOERR: "DISK_FAULT" };
  return new RecorderError(codes[sqlite] ?? "DATABASE_FAILED", `${path}: ${error.message}`, { sqlite }, { cause: error });
}
