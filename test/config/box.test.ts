import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RecorderError } from "../../src/base/errors.ts";
import { loadBoxConfig, parseBoxConfig } from "../../src/config/box.ts";

const MINIMAL = 'serial = "edge-1"\n[storage]\nroots = ["rec"]\n';

function problemsOf(text: string): Record<string, string> {
  try {
    parseBoxConfig(text, "/etc/easyrms/easyrms.toml");
  } catch (error) {
    if (!(error instanceof RecorderError)) throw error;
    expect(error.code).toBe("CONFIG_INVALID");
    return Object.fromEntries(error.problems.map(({ path, message }) => [path, message]));
  }
  return {};
}

test("the packaged file is valid and shows the defaults", async () => {
  const packaged = await loadBoxConfig("packaging/easyrms.toml");
  const minimal = parseBoxConfig('serial = "edge-0001"\n[storage]\nroots = ["/var/lib/easyrms/recordings"]\n', "/x.toml");
  expect(packaged).toEqual(minimal);
  expect(packaged).toMatchObject({
    storage: { roots: ["/var/lib/easyrms/recordings"], limitBytes: null, reserveBytes: 2 ** 30 },
    state: { dir: "/var/lib/easyrms/state" },
    api: { socket: "/run/easyrms/easyrms.sock", listen: null },
    recording: { segmentMs: 60_000, fragmentMs: 1000, ringMs: 10_000, ringBytes: 16 * 2 ** 20, queueBytes: 16 * 2 ** 20 },
    log: { level: "info" },
  });
});

test("paths are relative to the file", () => {
  const config = parseBoxConfig(
    'serial = "a"\nzone = "Asia/Shanghai"\n[storage]\nroots = ["rec", "../other", "/abs"]\nlimit = "200MB"\n[state]\ndir = "./state"\n[api]\nsocket = "run/s.sock"\n',
    "/srv/box/easyrms.toml",
  );
  expect(config.storage).toEqual({ roots: ["/srv/box/rec", "/srv/other", "/abs"], limitBytes: 200_000_000, reserveBytes: 2 ** 30 });
  expect(config.state.dir).toBe("/srv/box/state");
  expect(config.api.socket).toBe("/srv/box/run/s.sock");
  expect(config.zone).toBe("Asia/Shanghai");
});

describe("bad files", () => {
  test("all problems come at once, each with its path", () => {
    const problems = problemsOf(`
      serial = "x_1"
      zone = "Mars/Olympus"
      colour = "red"
      [storage]
      roots = ["a", "./a", "a/b", "ab"]
      limit = "5 parsecs"
      reserve = -1
      lmit = 3
      [api]
      listen = "0.0.0.0:80"
      [recording]
      segment = 60
      fragment = "1h"
      [log]
      level = "loud"
    `);
    expect(Object.keys(problems).sort()).toEqual(
      [
        "api.listen",
        "colour",
        "log.level",
        "recording.fragment",
        "recording.segment",
        "serial",
        "storage.limit",
        "storage.lmit",
        "storage.reserve",
        "storage.roots[1]",
        "storage.roots[2]",
        "zone",
      ].sort(),
    );
    expect(problems["colour"]).toBe("unknown key");
    expect(problems["serial"]).toContain('"x_1"');
    expect(problems["recording.segment"]).toContain("got 60");
    expect(problems["recording.fragment"]).toBe('must be from 100ms to 2000ms; got "1h" (3600000ms)');
    expect(problems["storage.roots[1]"]).toContain("same directory");
    expect(problems["api.listen"]).toContain("no accounts");
  });

  test("what is required is named when it is missing", () => {
    expect(problemsOf('serial = "-a"\n[storage]\nroots = ["/m"]\n')["serial"]).toContain("not start with a hyphen");
    expect(problemsOf("")).toEqual({ serial: "is missing; expected string", storage: "is missing; expected object" });
    expect(problemsOf('serial = "a"\n[storage]\nroots = []\n')).toEqual({ "storage.roots": "needs at least one directory" });
  });

  test("a root above another one is refused in either order", () => {
    expect(problemsOf('serial = "a"\n[storage]\nroots = ["/m/a/b", "/m/a"]\n')["storage.roots[1]"]).toContain("overlaps");
    expect(problemsOf('serial = "a"\n[storage]\nroots = ["/m/a", "/m/ab"]\n')).toEqual({});
    expect(problemsOf('serial = "a"\n[storage]\nroots = ["/m/a", "/m/b"]\n[state]\ndir = "/m/b"\n')["state.dir"]).toContain(
      "storage.roots[1]",
    );
    expect(problemsOf('serial = "a"\n[storage]\nroots = ["/", "/m"]\n')["storage.roots[1]"]).toContain("overlaps");
  });

  test("a socket path must fit into its address", () => {
    expect(problemsOf(`${MINIMAL}[api]\nsocket = "/${"s".repeat(107)}"\n`)["api.socket"]).toContain("107 bytes");
    expect(problemsOf(`${MINIMAL}[api]\nsocket = "/${"s".repeat(106)}"\n`)).toEqual({});
  });

  test("a syntax error has its place", () => {
    expect(Object.keys(problemsOf('serial = "a"\n[storage\n'))).toEqual([expect.stringMatching(/^line 2, column \d+$/)]);
  });
});

describe("files", () => {
  let directory = "";
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "box-"));
  });
  afterAll(() => rm(directory, { recursive: true }));

  test("are read from disk", async () => {
    const path = join(directory, "easyrms.toml");
    await writeFile(path, MINIMAL);
    expect((await loadBoxConfig(path)).storage.roots).toEqual([join(directory, "rec")]);
  });

  test("that are missing or far too large are refused", async () => {
    await expect(loadBoxConfig(join(directory, "none.toml"))).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("ENOENT"),
    });
    const path = join(directory, "large.toml");
    await writeFile(path, `${MINIMAL}# ${"x".repeat(300_000)}\n`);
    await expect(loadBoxConfig(path)).rejects.toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("larger than") });
  });
});
