import { type Database, type Reader, sqliteCode, type Transaction, type Value } from "../database.ts";

/** What one transaction does. `mirrored`: it runs on a database that is still being filled, where rows may be missing. */
export type Work<T> = (transaction: Transaction, mirrored?: boolean) => Promise<T>;

/** What a catalog works on: one database, or whichever is in its place now. */
export interface Writable extends Reader {
  transaction<T>(work: Work<T>, durable?: boolean): Promise<T>;
}

/** Answers of SQLite that say the file is not what was written: no call on it can be trusted any more. */
const DAMAGE: readonly string[] = ["SQLITE_CORRUPT", "SQLITE_NOTADB"];

export const isDamage = (error: unknown): boolean => DAMAGE.includes(sqliteCode(error));

/**
 * The database that serves, while another one may take its place under everybody's feet: calls wait for the change instead of failing.
 * One that turns out damaged is replaced by `repair`, and the call made again.
 */
export class LiveDatabase implements Writable {
  #database: Database;
  #mirror: { readonly database: Database; failure: unknown } | null = null;
  #changing: Promise<void> | null = null;
  #repairing: Promise<void> | null = null;
  /** Puts another database in the place of the damaged one, through `change`. */
  repair: ((error: unknown) => Promise<void>) | null = null;

  constructor(database: Database) {
    this.#database = database;
  }

  all<Row>(sql: string, parameters: readonly Value[] = []): Promise<Row[]> {
    return this.#call((database) => database.all<Row>(sql, parameters));
  }

  get<Row>(sql: string, parameters: readonly Value[] = []): Promise<Row | undefined> {
    return this.#call((database) => database.get<Row>(sql, parameters));
  }

  transaction<T>(work: Work<T>, durable = false): Promise<T> {
    return this.#call((database) => {
      const mirror = this.#mirror;
      mirror?.database
        .transaction((transaction) => work(transaction, true))
        .catch((error: unknown) => {
          mirror.failure ??= error;
        });
      return database.transaction((transaction) => work(transaction, false), durable);
    });
  }

  /** Every write from now on is made on `database` as well, until `unmirror`. */
  mirror(database: Database): void {
    this.#mirror = { database, failure: null };
  }

  /** What the first write was refused for by the mirror; null if none was. */
  unmirror(): unknown {
    const failure = this.#mirror?.failure ?? null;
    this.#mirror = null;
    return failure;
  }

  /** Holds all calls while `change` makes another database of the present one. After a rejection the present one stays. */
  async change(change: (database: Database) => Promise<Database>): Promise<void> {
    while (this.#changing !== null) await this.#changing;
    const done = Promise.withResolvers<void>();
    this.#changing = done.promise;
    try {
      this.#database = await change(this.#database);
    } finally {
      this.#changing = null;
      done.resolve();
    }
  }

  async close(): Promise<void> {
    while (this.#changing !== null) await this.#changing;
    await this.#database.close();
  }

  /** For whoever finds damage by looking for it. */
  async replace(error: unknown, database = this.#database): Promise<void> {
    if (this.#database !== database || this.repair === null) return;
    this.#repairing ??= this.repair(error).finally(() => {
      this.#repairing = null;
    });
    await this.#repairing;
  }

  async #call<T>(call: (database: Database) => Promise<T>): Promise<T> {
    while (this.#changing !== null) await this.#changing;
    const database = this.#database;
    try {
      return await call(database);
    } catch (error) {
      if (this.repair === null || !isDamage(error)) throw error;
      await this.replace(error, database);
      while (this.#changing !== null) await this.#changing;
      return call(this.#database);
    }
  }
}
