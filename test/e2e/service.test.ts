import { existsSync } from "node:fs";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { ProbeReport } from "../../src/recording/types.ts";
import { startVirtualCamera, type VirtualCamera } from "../fakes/camera/camera.ts";
import type { VirtualCameraOptions } from "../fakes/camera/options.ts";
import { continuityProblems, readRecording } from "../fakes/frames.ts";
import { killRounds } from "../faults/kill-rounds.ts";
import { Box, type BoxOptions, runCli, until } from "./box.ts";
import { scan, segmentFiles } from "./segments.ts";

const EXIT = { failed: 1, usage: 2, notRunning: 3, configInvalid: 4 } as const;

const running: { box: Box | null; cameras: VirtualCamera[] } = { box: null, cameras: [] };

async function newBox(options: BoxOptions): Promise<Box> {
  running.box = await Box.create(options);
  return running.box;
}

async function newCamera(options: VirtualCameraOptions): Promise<VirtualCamera> {
  const camera = await startVirtualCamera(options);
  running.cameras.push(camera);
  return camera;
}

afterEach(async () => {
  await running.box?.end("SIGKILL");
  await Promise.all(running.cameras.splice(0).map((camera) => camera.stop()));
});

/** So many fragments of the camera are durable since the log had `from` lines. */
function durable(box: Box, camera: string, count: number, from = 0): Promise<true> {
  const seen = () => box.log.slice(from).filter((line) => line.event === "fragment.durable" && line["camera"] === camera).length;
  return until(`${count} durable fragments of ${camera}`, async () => (seen() >= count ? true : null));
}

interface Failure {
  readonly code: string;
  readonly message: string;
  readonly details: { readonly problems?: readonly { readonly path: string; readonly message: string }[] };
}

const failureOf = (text: string): Failure => JSON.parse(text) as Failure;

describe("one root, one service", () => {
  it("refuses a second one, and the first goes on", async () => {
    const camera = await newCamera({ streams: [{ name: "a", video: "720p" }] });
    const box = await newBox({ name: "locked" });
    await box.serve();
    await box.add("a", camera.url("a"));
    await durable(box, "a", 1);
    const other = join(box.dir, "other.toml");
    const text = await readFile(box.config, "utf8");
    await writeFile(other, text.replace('"state"', '"state2"').replace("api.sock", "api2.sock"));
    for (const config of [box.config, other]) {
      const { code, stderr } = await runCli(["serve", "--config", config, "--json"]);
      expect(code).toBe(EXIT.failed);
      expect(failureOf(stderr.trim().split("\n").at(-1) ?? "")).toMatchObject({ code: "ROOT_LOCKED" });
      expect(stderr).toContain(String(box.pid));
    }
    await durable(box, "a", 2, box.log.length);
    expect(box.logOf("a", "session.ended")).toEqual([]);
  });
});

describe("bad input", () => {
  it("lists every problem of the configuration at once, and touches nothing", async () => {
    const box = await newBox({ name: "bad-config", roots: [] });
    await writeFile(
      box.config,
      [
        'serial = "no spaces allowed"',
        'zone = "Mars/Olympus"',
        "colour = 7",
        "[storage]",
        `roots = ["media", "media/inner"]`,
        'limit = "a lot"',
        "[recording]",
        'segment = "60"',
      ].join("\n"),
    );
    const paths = ["serial", "zone", "colour", "storage.roots[1]", "storage.limit", "recording.segment"];
    const check = await box.run("config", "check", "--json");
    expect(check.code).toBe(EXIT.failed);
    const verdict = JSON.parse(check.stdout) as { valid: boolean; problems: { path: string; message: string }[] };
    expect(verdict.valid).toBe(false);
    expect(verdict.problems.map(({ path }) => path).sort()).toEqual(paths.toSorted());
    const serve = await box.run("serve", "--json");
    expect(serve.code).toBe(EXIT.configInvalid);
    expect(failureOf(serve.stderr).details.problems).toEqual(verdict.problems);
    expect(await readdir(box.dir)).toEqual(["easyrms.toml"]);
  });

  it("accepts the configuration that others run with", async () => {
    const box = await newBox({ name: "good-config" });
    const [verdict] = await box.json<{ valid: boolean; config: { serial: string } }>("config", "check");
    expect(verdict).toMatchObject({ valid: true, config: { serial: "TEST0001" } });
  });

  it("applies a wrong camera not at all, and says all that is wrong", async () => {
    const box = await newBox({ name: "bad-camera" });
    expect((await box.run("camera", "list")).code).toBe(EXIT.notRunning);
    await box.serve();
    const wrong = await box.run("camera", "add", "No Spaces", "http://u:hidden@h/", "--channel", "10000", "--json");
    expect(wrong.code).toBe(EXIT.usage);
    const { code, details } = failureOf(wrong.stderr);
    expect(code).toBe("INPUT_INVALID");
    expect(details.problems?.map(({ path }) => path).sort()).toEqual(["channel", "id", "url"]);
    expect(wrong.stderr).not.toContain("hidden");
    await box.add("one", "rtsp://127.0.0.1:9/", "--channel", "5");
    const taken = await box.run("camera", "add", "one", "rtsp://127.0.0.1:9/", "--channel", "5", "--json");
    expect(failureOf(taken.stderr).details.problems?.map(({ path }) => path)).toEqual(["id", "channel"]);
    expect((await box.cameras()).map(({ id }) => id)).toEqual(["one"]);
  });
});

describe("secrets", () => {
  it("are in state.db and nowhere else", async () => {
    const secrets = ["Pa55-in-url", "Pa55-in-file", "Pa55-wrong", "Pa55-in-query", "Pa55-nowhere"];
    const [inUrl = "", inFile = "", wrong = "", inQuery = "", nowhere = ""] = secrets;
    const account = (password: string): VirtualCameraOptions => ({
      auth: { username: "viewer", password, schemes: ["basic"] },
      streams: [{ name: "live", video: "720p" }],
    });
    const box = await newBox({ name: "secrets", segment: "3s" });
    const said: string[] = [];
    const run = async (...args: string[]): Promise<number | null> => {
      const { code, stdout, stderr } = await box.run(...args);
      said.push(stdout, stderr);
      return code;
    };
    await box.serve();
    const first = await newCamera(account(inUrl));
    expect(await run("camera", "add", "in-url", first.url("live"))).toBe(0);
    const second = await newCamera(account(inFile));
    const passwordFile = join(box.dir, "password");
    await writeFile(passwordFile, `${inFile}\n`);
    const plain = second.url("live").replace(/\/\/.*@/, "//");
    expect(await run("camera", "add", "in-file", plain, "--user", "viewer", "--password-file", passwordFile)).toBe(0);
    const third = await newCamera(account("right"));
    expect(await run("camera", "add", "wrong", third.url("live", { username: "viewer", password: wrong }))).toBe(0);
    const fourth = await newCamera({ streams: [{ name: "live" }] });
    fourth.inject("live", { kind: "not-found" });
    expect(await run("camera", "add", "in-query", `${fourth.url("live")}?user=viewer&password=${inQuery}`)).toBe(0);
    expect(await run("camera", "add", "nowhere", `rtsp://viewer:${nowhere}@camera.invalid/`)).toBe(0);
    await durable(box, "in-url", 4);
    await durable(box, "in-file", 4);
    for (const id of ["wrong", "in-query", "nowhere"]) {
      await until(`the end of ${id}`, async () => (box.logOf(id, "session.ended").length > 0 ? true : null));
    }
    for (const format of [["--json"], []]) {
      for (const id of ["in-url", "wrong", "in-query"]) await run("camera", "probe", id, "--seconds", "1", ...format);
      await run("camera", "list", ...format);
      await run("ls", ...format);
      await run("check", "--deep", ...format);
    }
    const argv = await readFile(`/proc/${box.pid}/cmdline`, "latin1");
    const environment = await readFile(`/proc/${box.pid}/environ`, "latin1");
    expect(await box.end()).toBe(0);
    said.push(...box.log.map((line) => JSON.stringify(line)));
    const forms = secrets.flatMap((secret) => [secret, Buffer.from(`viewer:${secret}`).toString("base64")]);
    const tellTales = said.filter((text) => forms.some((form) => text.includes(form)));
    expect(tellTales).toEqual([]);
    expect(forms.filter((form) => argv.includes(form) || environment.includes(form))).toEqual([]);
    await rm(passwordFile);
    const holders = new Set<string>();
    for (const entry of await readdir(box.dir, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const bytes = await readFile(join(entry.parentPath, entry.name));
      if (forms.some((form) => bytes.includes(form))) holders.add(entry.name.replace(/-(wal|shm)$/, ""));
    }
    expect([...holders]).toEqual(["state.db"]);
  });
});

describe("camera remove", () => {
  it("ends the recording and leaves what was recorded", async () => {
    const camera = await newCamera({ streams: [{ name: "a", video: "720p", audio: "pcma" }] });
    const box = await newBox({ name: "remove", segment: "3s" });
    await box.serve();
    await box.add("a", camera.url("a"));
    await durable(box, "a", 5);
    expect((await box.run("camera", "remove", "a")).code).toBe(0);
    await until("the end of the session", async () => (camera.clients("a").every(({ end }) => end !== null) ? true : null));
    expect(camera.clients("a")[0]?.requests.at(-1)?.method).toBe("TEARDOWN");
    expect(await box.cameras()).toEqual([]);
    const rows = await until("all segments closed", async () => {
      const listed = (await box.list("a")).filter((row) => row.kind === "segment");
      return listed.every(({ state }) => state === "closed") ? listed : null;
    });
    const files = await segmentFiles(box.roots[0] ?? "");
    expect(rows.map(({ path }) => path).sort()).toEqual(files);
    const recordings = await Promise.all(files.map((path) => readRecording(path, "pcma")));
    expect(continuityProblems(recordings, { firstFrame: 0 })).toEqual([]);
    expect(await box.run("check", "--deep")).toMatchObject({ code: 0 });
    expect((await box.run("camera", "remove", "a")).code).toBe(EXIT.failed);
  });
});

describe("camera probe", () => {
  it("says what a good camera sends", async () => {
    const camera = await newCamera({ streams: [{ name: "a", audio: "aac", bitrateBps: 2_000_000 }] });
    const box = await newBox({ name: "probe" });
    await box.serve();
    const [report] = await box.json<ProbeReport>("camera", "probe", camera.url("a"), "--seconds", "6");
    expect(report?.tracks).toMatchObject([
      { kind: "video", codec: "h264", width: 1920, height: 1080, clockRateHz: 90_000, supported: true },
      { kind: "audio", codec: "aac", clockRateHz: 32_000, channels: 1, supported: true },
    ]);
    expect(report).toMatchObject({ declaredFramesPerSecond: 25, keyFrameIntervalMs: 2000, lostPackets: 0, findings: [] });
    expect(Math.abs((report?.measuredFramesPerSecond ?? 0) - 25)).toBeLessThan(0.5);
    expect(Math.abs((report?.videoBitsPerSecond ?? 0) / 2_000_000 - 1)).toBeLessThan(0.15);
    expect(report?.audioBitsPerSecond).toBeGreaterThan(10_000);
    expect(await segmentFiles(box.roots[0] ?? "")).toEqual([]);
    expect(await box.cameras()).toEqual([]);
  });

  it("finds what is wrong", async () => {
    const camera = await newCamera({
      auth: { username: "viewer", password: "right" },
      streams: [{ name: "a", audio: "unknown", bitrateBps: 1_000_000, clockDriftPpm: 30_000 }],
    });
    const box = await newBox({ name: "probe-findings" });
    await box.serve();
    const probing = box.json<ProbeReport>("camera", "probe", camera.url("a"), "--seconds", "8");
    await until("media", async () => ((camera.clients("a")[0]?.counts?.frames ?? 0) > 60 ? true : null));
    camera.inject("a", { kind: "sequence-gap", packets: 3 });
    const [report] = await probing;
    const findings = report?.findings.join("\n");
    expect(findings).toMatch(/sound is not recorded/);
    expect(findings).toMatch(/lost 3 packets/);
    expect(findings).toMatch(/media clock is [23](\.\d)? % fast/);
    const refused = await box.run(...["camera", "probe", camera.url("a", { username: "viewer", password: "wrong" }), "--json"]);
    expect(refused.code).toBe(EXIT.failed);
    expect(failureOf(refused.stderr)).toMatchObject({ code: "CAMERA_AUTH_REFUSED" });
    expect((await box.run("camera", "probe", "unknown", "--json")).stderr).toContain("NOT_FOUND");
  });
});

describe("stop and start", () => {
  it("goes on with what it knew, and accounts for the time between", async () => {
    const camera = await newCamera({ streams: [{ name: "a", video: "720p" }] });
    const box = await newBox({ name: "restart", segment: "3s" });
    await box.serve();
    await box.add("a", camera.url("a"));
    await durable(box, "a", 5);
    expect(await box.end()).toBe(0);
    const before = await segmentFiles(box.roots[0] ?? "");
    expect(before.some((path) => path.endsWith(".open"))).toBe(false);
    expect(existsSync(join(box.dir, "api.sock"))).toBe(false);
    const mark = box.log.length;
    await box.serve();
    await durable(box, "a", 2, mark);
    const rows = await box.list("a");
    const segments = rows.filter((row) => row.kind === "segment");
    expect(segments.map(({ path }) => path)).toEqual(expect.arrayContaining(before));
    const [old, fresh] = rows.filter((row) => row.kind === "run");
    expect(old?.endCause).toBe("process-down");
    const gaps = rows.filter((row) => row.kind === "gap");
    expect(gaps).toMatchObject([{ cause: "process-down", open: false }]);
    const lastScan = await scan(before.at(-1) ?? "");
    expect(Math.abs((gaps[0]?.from ?? 0) - (lastScan.head?.startUtcMs ?? 0) - lastScan.durationMs)).toBeLessThanOrEqual(5);
    expect(gaps[0]?.to).toBe(fresh?.from);
    expect(await box.end()).toBe(0);
    expect(await box.run("check", "--deep")).toMatchObject({ code: 0 });
  });

  it("loses nothing reported when it is killed, and is back at once", async () => {
    const report = await killRounds(3, 42);
    expect(report).toMatchObject({ kills: 3, lost: [], unplayable: [], strays: [], findings: [] });
    expect(report.reportedFragments).toBeGreaterThan(12);
  });
});
