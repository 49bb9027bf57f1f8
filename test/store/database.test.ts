import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Database, type DatabaseOptions } from "../../src/store/database.ts";

let folder: string;
const opened: Database[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "easyrms-database-"));
});
afterEach(async () => {
  for (const database of opened.splice(0)) await database.close();
  await rm(folder, { recursive: true, force: true });
});

async function open(options: Partial<DatabaseOptions> = {}): Promise<Database> {
  const migrations = [{ version: 1, sql: "CREATE TABLE t (a INTEGER PRIMARY KEY) STRICT" }];
  const database = await Database.open({ path: join(folder, "t.db"), synchronous: "NORMAL", migrations, ...options });
  opened.push(database);
  return database;
}

const rows = async (database: Database) => (await database.all<{ a: number }>("SELECT a FROM t ORDER BY a")).map(({ a }) => a);

describe("transactions", () => {
  it("run in the order asked for; a failed one takes nothing else with it", async () => {
    const database = await open();
    const order: string[] = [];
    const results = await Promise.allSettled([
      database.transaction(async (transaction) => {
        await transaction.run("INSERT INTO t VALUES (1)");
        order.push("first");
      }),
      database.transaction(async (transaction) => {
        await transaction.run("INSERT INTO t VALUES (2)");
        order.push("second");
        await transaction.run("INSERT INTO t VALUES (1)");
      }),
      database.transaction(async (transaction) => {
        order.push("third");
        return transaction.run("INSERT INTO t VALUES (3)");
      }),
    ]);
    expect(order).toEqual(["first", "second", "third"]);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(results[1]).toMatchObject({ reason: { code: "DATABASE_FAILED", context: { sqlite: "SQLITE_CONSTRAINT" } } });
    expect(await rows(database)).toEqual([1, 3]);
  });

  it("resolve only once they are visible to the reader", async () => {
    const database = await open();
    const submitted = Array.from({ length: 200 }, async (_, index) => {
      await database.transaction((transaction) => transaction.run("INSERT INTO t VALUES (?)", [index]), index % 7 === 0);
      expect(await rows(database)).toContain(index);
    });
    await Promise.all(submitted);
    expect(await rows(database)).toHaveLength(200);
  });

  it("that are asked for at once share commits", async () => {
    const database = await open();
    const seen = new Set<number>();
    await Promise.all(
      Array.from({ length: 64 }, async (_, index) => {
        await database.transaction((transaction) => transaction.run("INSERT INTO t VALUES (?)", [index]));
        seen.add((await rows(database)).length);
      }),
    );
    // One commit for all: whoever looks after its own commit sees everybody's.
    expect([...seen]).toEqual([64]);
  });

  it("keep numbers beyond 32 bits exactly", async () => {
    const database = await open();
    const value = Date.UTC(2026, 5, 1) * 1000 + 1;
    await database.transaction((transaction) => transaction.run("INSERT INTO t VALUES (?)", [value]));
    expect(await rows(database)).toEqual([value]);
  });

  it("are refused after close, which waits for those before it", async () => {
    const database = await open();
    const last = database.transaction((transaction) => transaction.run("INSERT INTO t VALUES (1)"));
    await database.close();
    expect(await last).toBe(1);
    await expect(database.transaction(async () => 0)).rejects.toMatchObject({ code: "NOT_RUNNING" });
    await database.close();
  });
});

it("a transaction that takes long does not keep a reader waiting", async () => {
  const database = await open();
  const finish = Promise.withResolvers<void>();
  const stalled = database.transaction(async (transaction) => {
    await transaction.run("INSERT INTO t VALUES (1)");
    await finish.promise;
  });
  expect(await rows(database)).toEqual([]);
  finish.resolve();
  await stalled;
  expect(await rows(database)).toEqual([1]);
});

describe("schema", () => {
  it("is brought up step by step; a step that fails leaves the version before it", async () => {
    await (await open()).close();
    const first = { version: 1, sql: "CREATE TABLE t (a INTEGER PRIMARY KEY) STRICT" };
    const second = { version: 2, sql: "ALTER TABLE t ADD COLUMN b INTEGER" };
    const broken = { version: 3, sql: "CREATE TABLE u (a INTEGER); CREATE TABLE u (a INTEGER)" };
    await expect(open({ migrations: [first, second, broken] })).rejects.toMatchObject({ code: "DATABASE_FAILED" });
    const database = await open({ migrations: [first, second] });
    expect(await database.get("PRAGMA user_version")).toEqual({ user_version: 2 });
    expect(await database.all("SELECT name FROM sqlite_schema WHERE name = 'u'")).toEqual([]);
  });

  it("of a newer program is refused", async () => {
    await (await open({ migrations: [{ version: 9, sql: "CREATE TABLE t (a INTEGER)" }] })).close();
    await expect(open()).rejects.toMatchObject({ code: "SCHEMA_UNSUPPORTED", context: { observed: 9, newest: 1 } });
  });

  it("of a reader allows no write", async () => {
    const database = await open();
    await expect(database.all("INSERT INTO t VALUES (1)")).rejects.toMatchObject({ context: { sqlite: "SQLITE_READONLY" } });
  });
});
