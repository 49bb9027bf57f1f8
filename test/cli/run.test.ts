import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { RecorderError } from "../../src/base/errors.ts";
import type { Part } from "../../src/base/lifecycle.ts";
import type { CliPorts } from "../../src/cli/command.ts";
import { CLI_COMMANDS, runCli } from "../../src/cli/run.ts";
import { createHttpApi } from "../../src/http/server.ts";
import type { CheckReport } from "../../src/store/types.ts";
import { span } from "../fakes/ledger-reader.ts";
import { FakeService, PROBE_REPORT, REINDEX_REPORT, streamStatus } from "../fakes/service.ts";
import { FakeTerminal } from "../fakes/terminal.ts";

let directory: string;
let config: string;
let socket: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "cli-"));
  socket = join(directory, "s.sock");
  config = join(directory, "easyrms.toml");
  await writeFile(config, 'serial = "test-1"\nzone = "Europe/Berlin"\n[storage]\nroots = ["rec"]\n[api]\nsocket = "s.sock"\n');
});
afterAll(() => rm(directory, { recursive: true }));

const REPORT: CheckReport = { deep: false, segments: 3, bytes: 12_345_678, findings: [] };
const DAMAGED: CheckReport = {
  ...REPORT,
  findings: [{ code: "wrong-size", path: "/rec/a.mp4", message: "has 3 bytes, the catalog says 4" }],
};
const offline: CliPorts = {
  runService: () => Promise.reject(new Error("not asked for")),
  offlineCheck: async (_, { deep }) => ({ ...REPORT, deep }),
  offlineReindex: async () => REINDEX_REPORT,
};

interface Run {
  readonly terminal?: FakeTerminal;
  readonly ports?: Partial<CliPorts>;
  readonly signal?: AbortSignal;
}

async function cli(
  args: readonly string[],
  { terminal = new FakeTerminal(), ports = {}, signal = new AbortController().signal }: Run = {},
) {
  const exit = await runCli(args, { terminal, ports: { ...offline, ...ports }, signal });
  return { exit, out: terminal.stdout, err: terminal.stderr };
}
const configured = (...args: string[]) => [...args, "--config", config];

describe("without a service", () => {
  test("every online command says so, with its own exit code", async () => {
    for (const args of [
      ["camera", "list"],
      ["camera", "add", "a", "rtsp://h/"],
      ["camera", "remove", "a"],
      ["camera", "probe", "a"],
      ["ls"],
      ["ledger"],
      ["status"],
    ]) {
      expect(await cli(configured(...args))).toEqual({
        exit: 3,
        out: "",
        err: `easyrms: no easyrms serve answers at ${socket} (NOT_RUNNING)\n`,
      });
    }
    const { exit, out, err } = await cli(configured("ls", "--json"));
    expect([exit, out, JSON.parse(err)]).toEqual([3, "", { code: "NOT_RUNNING", message: expect.any(String), details: { socket } }]);
  });

  test("check does it itself", async () => {
    expect(await cli(configured("check"))).toEqual({
      exit: 0,
      out: "Checked names, sizes and seals of 3 segments (12.3 MB): nothing wrong\n",
      err: "",
    });
    const { exit, out } = await cli(configured("check", "--deep", "--json"));
    expect([exit, JSON.parse(out)]).toEqual([0, { ...REPORT, deep: true }]);
  });

  test("reindex does it itself", async () => {
    expect(await cli(configured("reindex"))).toEqual({
      exit: 0,
      out: "Rebuilt the catalog: 20 000 segments, 30 runs, 29 gaps in 1.3 s (16 000 segments/s)\n",
      err: "",
    });
    const { exit, out } = await cli(configured("reindex", "--json"));
    expect([exit, JSON.parse(out)]).toEqual([0, REINDEX_REPORT]);
  });

  test("reindex tells of files it could not read by exit code", async () => {
    const report = { ...REINDEX_REPORT, unreadable: 2, foreign: 1, unreadableLines: 3 };
    const { exit, out } = await cli(configured("reindex"), { ports: { offlineReindex: async () => report } });
    expect(exit).toBe(1);
    expect(out.split("\n").slice(1)).toEqual([
      '2 files could not be read; the log and "easyrms check" name them',
      "3 journal lines could not be read",
      "1 file of other boxes left alone",
      "",
    ]);
  });

  test("check reports findings and a locked root by exit code", async () => {
    const found = await cli(configured("check"), { ports: { offlineCheck: async () => DAMAGED } });
    expect(found.exit).toBe(1);
    expect(found.out).toBe(
      [
        "FINDING     FILE        WHAT",
        "wrong-size  /rec/a.mp4  has 3 bytes, the catalog says 4",
        "Checked names, sizes and seals of 3 segments (12.3 MB): 1 finding",
        "",
      ].join("\n"),
    );
    const locked = () => Promise.reject(new RecorderError("ROOT_LOCKED", "/rec is in use"));
    expect(await cli(configured("check"), { ports: { offlineCheck: locked } })).toEqual({
      exit: 1,
      out: "",
      err: "easyrms: /rec is in use (ROOT_LOCKED)\n",
    });
  });

  test("serve runs the service with the configuration, and its failure is named", async () => {
    const asked: string[] = [];
    const runService: CliPorts["runService"] = async (options) => void asked.push(options.config.serial, options.configPath);
    expect((await cli(configured("serve"), { ports: { runService } })).exit).toBe(0);
    expect(asked).toEqual(["test-1", config]);
    const locked = () => Promise.reject(new RecorderError("ROOT_LOCKED", "another serve owns /rec"));
    expect(await cli(configured("serve"), { ports: { runService: locked } })).toEqual({
      exit: 1,
      out: "",
      err: "easyrms: another serve owns /rec (ROOT_LOCKED)\n",
    });
  });

  test("config check shows what the file means, or all that is wrong", async () => {
    expect(await cli(configured("config", "check"))).toMatchObject({
      exit: 0,
      out: expect.stringContaining(`storage.roots[0]       ${directory}/rec\n`),
    });
    const bad = join(directory, "bad.toml");
    await writeFile(bad, 'serial = "_"\nx = 1\n[storage]\nroots = ["a"]\n');
    const text = [
      `${bad} has 2 problems`,
      '  serial: must be 1 to 64 letters, digits or hyphens, and not start with a hyphen; got "_"',
      "  x: unknown key",
      "",
    ].join("\n");
    expect(await cli(["config", "check", "--config", bad])).toEqual({ exit: 1, out: text, err: "" });
    expect(JSON.parse((await cli(["config", "check", "--json", "--config", bad])).out)).toMatchObject({
      valid: false,
      problems: [{ path: "serial" }, { path: "x" }],
    });
    const served = await cli(["serve", "--config", bad]);
    expect([served.exit, served.err.split("\n")[0]]).toEqual([4, `easyrms: ${bad} has 2 problems (CONFIG_INVALID)`]);
  });

  test.each([
    [[], 2],
    [["camera"], 2],
    [["camera", "rename"], 2],
    [["frobnicate"], 2],
    [["--json", "ls"], 2],
    [["ls", "--form", "now"], 2],
    [["serve", "--config", "/nowhere/x.toml"], 4],
    [["--version"], 0],
    [["--help"], 0],
  ])("%j ends with %i", async (args, exit) => expect((await cli(args)).exit).toBe(exit));

  test("an interrupted command says nothing", async () => {
    const abort = new AbortController();
    abort.abort(new Error("SIGINT received"));
    expect(await cli(configured("ls"), { signal: abort.signal })).toEqual({ exit: 130, out: "", err: "" });
  });

  test("help names every command and option", async () => {
    const { out } = await cli(["--help"]);
    for (const { words, options, summary } of CLI_COMMANDS) {
      expect(out).toContain(`  ${words.join(" ")}`);
      expect(out).toContain(summary);
      const help = (await cli([...words, "--help"])).out;
      for (const { name } of options) expect(help).toContain(`  --${name}`);
    }
  });

  test("help of a command", async () => {
    expect((await cli(["check", "--help"])).out).toBe(
      [
        "Usage: easyrms check [OPTION]...",
        "",
        "Check recorded files: names, sizes and seals.",
        "",
        "Options:",
        "  --deep         read every box and verify every checksum",
        "  --config FILE  configuration of the box (default /etc/easyrms/easyrms.toml)",
        "  --json         write JSON for programs; errors are one JSON object on standard error",
        "  --help         show this help",
        "",
        "Changes nothing. A running service checks itself; without one the roots are locked meanwhile. Exit code 1: something was found.",
        "",
      ].join("\n"),
    );
  });
});

test("a service that dies in the middle of an answer is noticed", async () => {
  const server = createServer((_, reply) => {
    reply.writeHead(200, { "content-type": "application/x-ndjson" });
    reply.write('{"kind":"gap","camera":"a","stream":"main","from":1,"to":2,"cause":"no-media","detail":null,"open":false}\n{"kind":"ga');
    setTimeout(() => reply.destroy(), 20);
  }).listen(socket);
  await new Promise((resolve) => server.once("listening", resolve));
  const { exit, err } = await cli(configured("ls", "--json"));
  expect([exit, JSON.parse(err).code]).toEqual([3, "NOT_RUNNING"]);
  await new Promise((resolve) => server.close(resolve));
});

describe("with a service", () => {
  let service: FakeService;
  let api: Part;
  beforeEach(async () => {
    service = new FakeService();
    api = createHttpApi(service.context(socket));
    await api.start(new AbortController().signal);
  });
  afterEach(() => api.stop());

  test("cameras come and go", async () => {
    const terminal = new FakeTerminal();
    terminal.input = "hunter2\n";
    const added = await cli(
      configured("camera", "add", "front", "rtsp://10.0.0.1/ch1", "--user", "admin", "--password-file", "-", "--no-record"),
      { terminal },
    );
    expect(added).toEqual({
      exit: 0,
      out: [
        "Camera       front",
        "Channel      1",
        "URL          rtsp://10.0.0.1/ch1",
        "Sub stream   -",
        "Credentials  admin, with password",
        "Transport    auto",
        "Recording    no",
        'Added. "easyrms camera list" shows what it does.',
        "",
      ].join("\n"),
      err: "",
    });
    expect(service.desired.passwords).toEqual(new Map([["front", "hunter2"]]));
    expect(await cli(configured("camera", "add", "front", "rtsp://h/"))).toEqual({
      exit: 1,
      out: "",
      err: 'easyrms: camera "front" exists already (CONFLICT)\n  id: camera "front" exists already\n',
    });
    expect((await cli(configured("camera", "remove", "front"))).out).toBe(
      "Removed camera front. Its recordings stay until their space is needed.\n",
    );
    expect((await cli(configured("camera", "remove", "front"))).exit).toBe(1);
    expect((await cli(configured("camera", "list"))).out).toBe('No cameras yet. "easyrms camera add ID URL" adds one.\n');
  });

  test("a password on the command line works, with a note that does not repeat it", async () => {
    const { exit, out, err } = await cli(configured("camera", "add", "front", "rtsp://u:hunter2@h/", "--json"));
    expect([exit, err, JSON.parse(out).camera.hasPassword]).toEqual([0, "", true]);
    const noted = await cli(configured("camera", "add", "back", "rtsp://u:hunter2@h/"));
    expect(noted.err).toContain("visible to other users");
    expect(noted.out + noted.err + out).not.toContain("hunter2");
  });

  test("a refused value is wrong usage", async () => {
    const { exit, err } = await cli(configured("camera", "add", "Front", "http://h/"));
    expect(exit).toBe(2);
    expect(err).toBe(
      [
        "easyrms: the request to camera-add is not valid (INPUT_INVALID)",
        "  id: must be 1 to 63 lower-case letters, digits or hyphens, and not start with a hyphen",
        '  url: scheme "http" is not supported; allowed: rtsp',
        "",
      ].join("\n"),
    );
  });

  test("camera list shows states, causes and warnings", async () => {
    for (const id of ["front", "back", "new"]) await cli(configured("camera", "add", id, "rtsp://h/"));
    const now = service.clock.utcMs();
    service.recorder.streams = [
      streamStatus("front", 1, { warnings: ["track 2: codec G726 is not supported"] }),
      streamStatus("back", 2, {
        state: "waiting",
        cause: "auth-refused",
        detail: "the camera refuses the password",
        retryAtUtcMs: now + 300_000,
        tracks: [],
        sinceUtcMs: now - 45_000,
      }),
    ];
    expect((await cli(configured("camera", "list"))).out).toBe(
      [
        "CAMERA  CHANNEL  STREAM  STATE               FOR  VIDEO           SOUND             RATE  FRAMES  LOST  NOTE",
        "front         1  main    recording    2 min 00 s  h264 1920x1080  aac 16 kHz  4.0 Mbit/s  25.0/s     0  track 2: codec G726 is not supported",
        "back          2  main    waiting          45.0 s  -               -                    -       -     0  auth-refused: the camera refuses the password; again in 5 min 00 s",
        "new           3  -       not started",
        "",
      ].join("\n"),
    );
    const { out } = await cli(configured("camera", "list", "--json"));
    expect(out.trimEnd()).not.toContain("\n");
    expect(JSON.parse(out).cameras).toHaveLength(3);
  });

  test("ls lists segments, runs and gaps", async () => {
    const start = Date.UTC(2026, 5, 1, 6, 0, 0);
    const key = { camera: "front", stream: "main" } as const;
    const run = "11111111-2222-4333-8444-555555555555";
    service.timeline.rows = [
      { kind: "run", ...key, run, fromUtcMs: start, toUtcMs: start + 60_000, clockTrusted: true, endCause: "no-media" },
      {
        kind: "segment",
        ...key,
        run,
        sequence: 0,
        root: 0,
        path: "/rec/a.mp4",
        bytes: 30_000_000,
        state: "closed",
        damage: "offset 40: moof does not match its checksum",
        fromUtcMs: start + 1,
        toUtcMs: start + 60_000,
      },
      {
        kind: "gap",
        ...key,
        fromUtcMs: start + 60_000,
        toUtcMs: start + 65_000,
        cause: "no-media",
        detail: "silence for 5 s",
        open: false,
      },
    ];
    expect((await cli(configured("ls", "front", "--from", "-3h"))).out).toBe(
      [
        "CAMERA  STREAM  KIND     FROM                 TO                       LENGTH     SIZE  WHAT",
        "front   main    run      2026-06-01 08:00:00  2026-06-01 08:01:00  1 min 00 s        -  ended: no-media",
        "front   main    segment  2026-06-01 08:00:00  2026-06-01 08:01:00  1 min 00 s  30.0 MB  /rec/a.mp4 (damaged: offset 40: moof does not match its checksum)",
        "front   main    gap      2026-06-01 08:01:00  2026-06-01 08:01:05       5.0 s        -  no-media: silence for 5 s",
        "1 segment (30.0 MB), 1 gap",
        "",
      ].join("\n"),
    );
    const lines = (await cli(configured("ls", "--json"))).out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines).toEqual([
      { kind: "run", ...key, from: start, to: start + 60_000, run, clockTrusted: true, endCause: "no-media" },
      {
        kind: "segment",
        ...key,
        from: start + 1,
        to: start + 60_000,
        path: "/rec/a.mp4",
        bytes: 30_000_000,
        state: "closed",
        run,
        sequence: 0,
        damage: "offset 40: moof does not match its checksum",
      },
      { kind: "gap", ...key, from: start + 60_000, to: start + 65_000, cause: "no-media", detail: "silence for 5 s", open: false },
    ]);
    expect((await cli(configured("ls", "--to", "08:00:30", "--stream", "sub"))).out).toBe("0 segments (0 B), 0 gaps\n");
    expect((await cli(configured("ls", "nobody"))).exit).toBe(1);
    expect((await cli(configured("ls", "--from", "noon"))).exit).toBe(2);
    expect((await cli(configured("ls", "--from", "now", "--to", "-1h"))).exit).toBe(2);
  });

  describe("ledger", () => {
    const MINUTE_MS = 60_000;
    // Monday, 10:00 in Berlin.
    const now = Date.UTC(2026, 5, 1, 8, 0, 0);
    const midnight = now - 600 * MINUTE_MS;
    beforeEach(() => {
      service.ledgerRows.add({ camera: "front", stream: "main" }, [
        span(midnight - 1440 * MINUTE_MS, midnight - 720 * MINUTE_MS, "deleted-by-rule", "limit"),
        span(midnight - 720 * MINUTE_MS, midnight + 90 * MINUTE_MS, "recorded"),
        span(midnight + 90 * MINUTE_MS, midnight + 91 * MINUTE_MS, "no-media", "silence for 5 s"),
        span(midnight + 91 * MINUTE_MS, midnight + 240 * MINUTE_MS, "recorded"),
        span(midnight + 240 * MINUTE_MS, midnight + 300 * MINUTE_MS, "power-lost"),
        span(midnight + 300 * MINUTE_MS, midnight + 420 * MINUTE_MS, "not-planned"),
        span(midnight + 420 * MINUTE_MS, now, "recorded", null, true),
      ]);
      service.ledgerRows.add({ camera: "back", stream: "main" }, [span(midnight, now, "camera-unreachable", "refused", true)]);
    });

    test("shows a row for each day, with a sign for each hour", async () => {
      expect((await cli(configured("ledger"))).out).toBe(
        [
          "CAMERA  STREAM  DAY         RECORDED  0     6     12    18      NOT RECORDED",
          "front   main    2026-05-31  100.00 %  ░░░░░░░░░░░░████████████  deleted-by-rule 12 h 00 min",
          "front   main    2026-06-01   87.29 %  █▇██.--███                power-lost 1 h 00 min, no-media 1 min 00 s, not-planned 2 h 00 min",
          "back    main    2026-06-01    0.00 %  ..........                camera-unreachable 10 h 00 min",
          "front main: 96.82 % of 32 h 00 min planned (1 h 01 min not recorded)",
          "back main: 0.00 % of 10 h 00 min planned (10 h 00 min not recorded)",
          "",
        ].join("\n"),
      );
    });

    test("shows a part of a day where it belongs", async () => {
      const { out } = await cli(configured("ledger", "front", "--from", "03:30"));
      expect(out.split("\n")[1]).toBe(
        "front   main    2026-06-01   77.77 %     █.--███                power-lost 1 h 00 min, not-planned 2 h 00 min",
      );
    });

    test("shows exact intervals, and minutes", async () => {
      expect((await cli(configured("ledger", "front", "--from", "01:29", "--to", "01:32", "--zoom", "exact"))).out).toBe(
        [
          "CAMERA  STREAM  FROM                 TO                       LENGTH  WHAT",
          "front   main    2026-06-01 01:29:00  2026-06-01 01:30:00  1 min 00 s  recorded",
          "front   main    2026-06-01 01:30:00  2026-06-01 01:31:00  1 min 00 s  no-media: silence for 5 s",
          "front   main    2026-06-01 01:31:00  2026-06-01 01:32:00  1 min 00 s  recorded",
          "front main: 66.66 % of 3 min 00 s planned (1 min 00 s not recorded)",
          "",
        ].join("\n"),
      );
      expect((await cli(configured("ledger", "front", "--from", "01:30", "--to", "01:32", "--zoom", "1m"))).out).toBe(
        [
          "CAMERA  STREAM  FROM                 RECORDED  NOT RECORDED",
          "front   main    2026-06-01 01:30:00    0.00 %  no-media 1 min 00 s",
          "front   main    2026-06-01 01:31:00  100.00 %",
          "front main: 50.00 % of 2 min 00 s planned (1 min 00 s not recorded)",
          "",
        ].join("\n"),
      );
    });

    test("writes a documented line for each item", async () => {
      const lines = async (...args: string[]) =>
        (await cli(configured("ledger", "front", ...args, "--json"))).out
          .trimEnd()
          .split("\n")
          .map((line) => JSON.parse(line));
      const key = { camera: "front", stream: "main" };
      const [from, to] = [midnight + 89 * MINUTE_MS, midnight + 91 * MINUTE_MS];
      const states = { recorded: MINUTE_MS, "no-media": MINUTE_MS };
      const total = { kind: "total", ...key, from, to, states, plannedMs: 2 * MINUTE_MS, recordedMs: MINUTE_MS, share: 0.5 };
      const bounds = ["--from", "01:29", "--to", "01:31"];
      expect(await lines(...bounds, "--zoom", "exact")).toEqual([
        { kind: "interval", ...key, from, to: from + MINUTE_MS, state: "recorded", detail: null },
        { kind: "interval", ...key, from: from + MINUTE_MS, to, state: "no-media", detail: "silence for 5 s" },
        total,
      ]);
      expect(await lines(...bounds, "--zoom", "1h")).toEqual([{ kind: "bucket", ...key, from, to, states }, total]);
      expect(await lines(...bounds)).toEqual([
        {
          kind: "day",
          ...key,
          from,
          to,
          day: "2026-06-01",
          states,
          plannedMs: 2 * MINUTE_MS,
          recordedMs: MINUTE_MS,
          share: 0.5,
          hours: [states],
        },
        total,
      ]);
      expect(await lines(...bounds, "--zoom", "1s")).toHaveLength(121);
    });

    test("tells of today where days are not asked for, and of hours that have begun alone", async () => {
      const { out } = await cli(configured("ledger", "front", "--zoom", "1h", "--json"));
      const items = out.trimEnd().split("\n");
      expect(items).toHaveLength(11);
      expect(JSON.parse(items[0] ?? "")).toMatchObject({ from: midnight, to: midnight + 60 * MINUTE_MS });
    });

    test("leaves out streams that were gone before, unless one is asked for by name", async () => {
      service.ledgerRows.add({ camera: "old", stream: "main" }, [
        span(midnight - 9000 * MINUTE_MS, midnight - 8000 * MINUTE_MS, "recorded"),
        span(midnight - 8000 * MINUTE_MS, now, "not-planned", null, true),
      ]);
      expect((await cli(configured("ledger", "--from", "today"))).out).not.toContain("old");
      expect((await cli(configured("ledger", "--from", "-30d"))).out).toContain("old");
      expect((await cli(configured("ledger", "old", "--from", "today"))).out).toContain("old main: nothing planned");
    });

    test("refuses what makes no sense", async () => {
      expect((await cli(configured("ledger", "--zoom", "2h"))).exit).toBe(2);
      expect((await cli(configured("ledger", "--from", "noon"))).exit).toBe(2);
      expect((await cli(configured("ledger", "--from", "now", "--to", "-1h"))).exit).toBe(2);
      expect((await cli(configured("ledger", "nobody"))).exit).toBe(1);
      expect(await cli(configured("ledger", "--stream", "sub"))).toEqual({ exit: 0, out: "", err: "" });
    });
  });

  test("probe tells what the camera sends", async () => {
    service.probe = async () => ({ ...PROBE_REPORT, server: "Evil\x1b[2J", findings: ["declares no sound"] });
    expect((await cli(configured("camera", "probe", "rtsp://10.0.0.1/ch1", "--seconds", "3"))).out).toBe(
      [
        "URL             rtsp://10.0.0.1/ch1",
        "Server          Evil [2J",
        "Watched         8.0 s",
        "Video           h264 1920x1080",
        "Sound           -",
        "Frame rate      24.98/s measured, 25.00/s declared",
        "Key frames      every 2.0 s",
        "Video bit rate  4.0 Mbit/s",
        "Sound bit rate  -",
        "Clock drift     +12 ppm",
        "Lost packets    0",
        "! declares no sound",
        "",
      ].join("\n"),
    );
  });

  test("status shows streams and disks", async () => {
    service.recorder.streams = [streamStatus("a", 1), streamStatus("b", 2, { state: "waiting", cause: "camera-unreachable" })];
    service.timeline.roots = [
      {
        root: 0,
        path: "/rec",
        segmentBytes: 150e6,
        segments: 1234,
        limitBytes: 200e6,
        reserveBytes: 1e9,
        availableBytes: 5e9,
        totalBytes: 32e9,
      },
    ];
    const round = { path: "/rec", beganUtcMs: Date.UTC(2026, 5, 1, 7), reachedUtcMs: Date.UTC(2026, 4, 30, 6) };
    service.scrub = { ...service.scrub, segments: 812, bytes: 3.1e9, damaged: 2, unreadable: 1, rounds: [round] };
    expect((await cli(configured("status"))).out).toBe(
      [
        "Serial         test-1",
        "Version        9.9.9",
        "Running since  2026-06-01 08:57:55 (1 h 02 min)",
        "Zone           Europe/Berlin",
        "Cameras        0",
        "Streams        1 recording, 1 waiting",
        "Rate           8.0 Mbit/s",
        "Verified       812 segments (3.1 GB), back to 2026-05-30 08:00:00, 2 damaged, 1 unreadable",
        "",
        "ROOT  SEGMENTS  RECORDED     LIMIT    FREE  RESERVE     DISK",
        "/rec     1 234  150.0 MB  200.0 MB  5.0 GB   1.0 GB  32.0 GB",
        "",
      ].join("\n"),
    );
  });

  test("check asks the service, and shows its progress", async () => {
    service.check = async ({ deep, onProgress }) => {
      onProgress({ segments: 1, totalSegments: 2, bytes: 1_000_000 });
      await new Promise((resolve) => setTimeout(resolve, 20));
      return { ...DAMAGED, deep };
    };
    const terminal = new FakeTerminal({ interactive: true });
    const ports = { offlineCheck: () => Promise.reject(new Error("must not run")) };
    const { exit, out, err } = await cli(configured("check", "--deep", "--json"), { terminal, ports });
    expect([exit, JSON.parse(out)]).toEqual([1, { ...DAMAGED, deep: true }]);
    expect(err).toContain("50 %  1 of 2 segments, 1.0 MB");
    expect(err.endsWith("\r\x1b[K")).toBe(true);
  });

  test("reindex asks the service, and shows its progress", async () => {
    service.reindex = async ({ onProgress }) => {
      onProgress({ segments: 1, totalSegments: 2 });
      await new Promise((resolve) => setTimeout(resolve, 20));
      return REINDEX_REPORT;
    };
    const terminal = new FakeTerminal({ interactive: true });
    const ports = { offlineReindex: () => Promise.reject(new Error("must not run")) };
    const { exit, out, err } = await cli(configured("reindex", "--json"), { terminal, ports });
    expect([exit, JSON.parse(out)]).toEqual([0, REINDEX_REPORT]);
    expect(err).toContain("50 %  1 of 2 segments");
  });
});

describe("the program", () => {
  const program = (...args: string[]) => Bun.spawn([process.execPath, "src/main.ts", ...args], { stdout: "pipe", stderr: "pipe" });

  test("answers without loading the service", async () => {
    const child = program("--version");
    expect(await new Response(child.stdout).text()).toMatch(/^easyrms \d+\.\d+\.\d+\n$/);
    expect(await child.exited).toBe(0);
  });

  test("ends with the exit code of its command", async () => {
    const child = program("status", "--config", config);
    expect(await new Response(child.stderr).text()).toContain("NOT_RUNNING");
    expect(await child.exited).toBe(3);
  });
});
