import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { engineFiles } from "../../src/engine/files.ts";
import { loadAddon } from "../../src/engine/loader.ts";
import type { Fact, NativeEngine, StreamOptions, TrackSetup } from "../../src/engine/types.ts";

const addon = loadAddon();
const directory = mkdtempSync(join(tmpdir(), "easyrms-addon-"));
const STREAM: StreamOptions = { fragmentMs: 1000, ringMs: 4000, ringBytes: 8_000_000, queueBytes: 8_000_000 };
const RUN = "0f0e0d0c-0b0a-4908-8706-050403020100";
const ROOT = "11111111-2222-4333-8444-555555555555";

afterAll(() => rmSync(directory, { recursive: true }));

class Facts {
  readonly #facts: Fact[] = [];
  #onFact: () => void = () => {};
  batches = 0;

  readonly take = (batch: string): void => {
    this.batches += 1;
    this.#facts.push(...(JSON.parse(batch) as Fact[]));
    this.#onFact();
  };

  async next<K extends Fact["kind"]>(kind: K): Promise<Extract<Fact, { kind: K }>> {
    for (;;) {
      const index = this.#facts.findIndex((fact) => fact.kind === kind);
      if (index >= 0) return this.#facts.splice(index, 1)[0] as Extract<Fact, { kind: K }>;
      await new Promise<void>((resolve) => {
        this.#onFact = resolve;
      });
    }
  }
}

function started(): { engine: NativeEngine; facts: Facts } {
  const engine = new addon.Engine({ tickMs: 50 });
  const facts = new Facts();
  engine.start(facts.take);
  return { engine, facts };
}

/** The directory of this file's tests, adopted once. */
async function openedRoot(): Promise<number> {
  const found = await addon.files.inspectRoot(directory);
  if (found.marker === null) await addon.files.adoptRoot(directory, found, ROOT, "RMS1");
  return addon.files.openRoot(directory, ROOT);
}

/** The code of what a call throws. */
function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : `no code: ${String(error)}`;
  }
  return "nothing thrown";
}

/** A camera that answers PLAY and then sends `frames` pictures, a key frame each second, faster than real time. */
function tinyCamera(frames: number): { port: number; stop(): void } {
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket) {
        const bytes: Buffer[] = [Buffer.from("RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n")];
        let sequence = 0;
        const packet = (frame: number, payload: number[] | Buffer, marker: boolean): void => {
          const packetBytes = Buffer.alloc(16 + payload.length);
          packetBytes.writeUInt8(0x24, 0);
          packetBytes.writeUInt16BE(12 + payload.length, 2);
          packetBytes.writeUInt8(0x80, 4);
          packetBytes.writeUInt8(marker ? 0xe0 : 0x60, 5);
          packetBytes.writeUInt16BE(sequence++ & 0xffff, 6);
          packetBytes.writeUInt32BE(frame * 3600, 8);
          packetBytes.writeUInt32BE(7, 12);
          packetBytes.set(payload, 16);
          bytes.push(packetBytes);
        };
        for (let frame = 0; frame < frames; frame++) {
          if (frame % 25 === 0) {
            packet(frame, [0x67, 0x42, 0xc0, 0x1e, 0xda, 0x05, 0x82, 0x59], false);
            packet(frame, [0x68, 0xce, 0x3c, 0x80], false);
          }
          packet(
            frame,
            Buffer.alloc(1000, 0xaa)
              .fill(frame % 25 === 0 ? 0x65 : 0x41, 0, 1)
              .fill(0x88, 1, 2),
            true,
          );
        }
        const all = Buffer.concat(bytes);
        let sent = socket.write(all);
        const drain = setInterval(() => {
          sent += socket.write(all.subarray(sent));
          if (sent >= all.length) clearInterval(drain);
        }, 5);
      },
    },
  });
  return { port: server.port, stop: () => server.stop(true) };
}

const H264: TrackSetup = {
  codec: "h264",
  clockRateHz: 90_000,
  channels: 0,
  payloadType: 96,
  rtpChannel: 0,
  rtcpChannel: 1,
  ssrc: null,
  config: [],
  aac: null,
};

describe("addon", () => {
  it("has a version and names its slots", () => {
    expect(addon.version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(addon.streamStats()).toContain("durable_bytes");
    expect(addon.engineStats()).toContain("callbacks");
    expect(new Set(addon.streamStats()).size).toBe(addon.streamStats().length);
  });

  it("records, seals and reads back", async () => {
    const { engine, facts } = started();
    const root = await openedRoot();
    engine.openWriter(root, { syncMs: 50 });
    const stream = engine.openStream(STREAM);
    const camera = tinyCamera(100);
    engine.ticket(stream, {
      root,
      path: join(directory, "RMS1_1/20260101/x.mp4.open"),
      serial: "RMS1",
      channel: 1,
      stream: "main",
      run: RUN,
      sequence: 0,
      zone: "Asia/Shanghai",
      clockTrusted: true,
      maxDurationMs: 60_000,
      cutAtUtcMs: [],
      preallocateBytes: 1 << 20,
    });
    const connection = engine.connect(stream, "127.0.0.1", camera.port, 1000);
    await facts.next("connected");
    engine.play(connection, [H264]);
    engine.send(connection, "PLAY rtsp://x/ RTSP/1.0\r\nCSeq: 1\r\n\r\n");
    expect((await facts.next("message")).text).toBe("RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n");
    const media = await facts.next("media");
    expect(media.tracks).toEqual([{ kind: "video", codec: "h264", clockRateHz: 90_000, channels: 0, width: 352, height: 288 }]);
    expect((await facts.next("segmentOpened")).run).toBe(RUN);
    await facts.next("durable");
    const page = new Float64Array(addon.streamStats().length);
    const packets = (): number => {
      expect(engine.readStreamStats(stream, page)).toBe(true);
      return page[addon.streamStats().indexOf("packets")] ?? 0;
    };
    while (packets() < 108) await Bun.sleep(10);
    const tap = engine.tap(stream, 0);
    expect(Buffer.from(tap.init).toString("latin1", 4, 8)).toBe("ftyp");
    expect(tap.fragments[0]?.randomAccess).toBe(true);
    expect(Buffer.from(tap.fragments[0]?.data ?? []).toString("latin1", 4, 8)).toBe("moof");
    engine.disconnect(connection, null);
    expect((await facts.next("disconnected")).cause).toBe("requested");
    const ended = await facts.next("segmentEnded");
    expect([ended.durationMs, ended.reason]).toEqual([4000, "disconnected"]);
    const path = join(directory, "RMS1_1/20260101/20260101000000-4000.mp4");
    engine.finishSegment(root, RUN, 0, path);
    const sealed = await facts.next("segmentSealed");
    const head = await addon.files.readSegment(path);
    expect(head).toMatchObject({ serial: "RMS1", channel: 1, stream: "main", run: RUN, sequence: 0, sealed: true, durationMs: 4000 });
    expect([head.blake3, head.crc64, head.bytes, head.previousBlake3]).toEqual([sealed.blake3, sealed.crc64, sealed.bytes, null]);
    expect(head.endUtcMs).toBe(ended.endUtcMs);
    const [entry, text] = [/[^/]+$/.exec(path)?.[0] ?? "", "no segment"];
    await Bun.write(join(directory, "RMS1_1/20260101/text"), text);
    const files = engineFiles(addon.files);
    expect(await files.listFolder(join(directory, "RMS1_1/20260101"))).toEqual([
      [entry, head.bytes],
      ["text", text.length],
    ]);
    const { sealed: _, previousBlake3: __, tracks: ___, ...told } = head;
    const found = await files.readSegments(join(directory, "RMS1_1/20260101"), [entry, "text", "absent"]);
    expect(found).toEqual([
      { file: entry, ...told },
      { file: "text", code: "SEGMENT_DAMAGED", problem: expect.any(String) },
      { file: "absent", code: "NOT_FOUND", problem: expect.any(String) },
    ]);
    const scan = await addon.files.scanSegment(path);
    expect(scan.problems).toEqual([]);
    expect(scan.fragments.length).toBe(ended.fragments);
    camera.stop();
    await engine.closeWriter(root);
    await addon.files.closeRoot(root);
    await engine.stop();
  });

  it("refuses misuse by code and passes over what is gone", async () => {
    const engine = new addon.Engine({ tickMs: 50 });
    expect(codeOf(() => engine.openStream(STREAM))).toBe("ENGINE_MISUSE");
    expect(codeOf(() => new addon.Engine({ tickMs: 1 }))).toBe("INPUT_INVALID");
    expect(codeOf(() => new addon.Engine({ tickMs: Number.NaN }))).toBe("ENGINE_MISUSE");
    engine.start(() => {});
    expect(codeOf(() => engine.start(() => {}))).toBe("ENGINE_MISUSE");
    for (const id of [0, -1, 1.5, Number.NaN, 2 ** 40]) expect(codeOf(() => engine.closeStream(id))).toBe("ENGINE_MISUSE");
    const stream = engine.openStream(STREAM);
    expect(codeOf(() => engine.connect(stream, "camera.local", 554, 100))).toBe("INPUT_INVALID");
    expect(codeOf(() => engine.openWriter(2 ** 31, { syncMs: 250 }))).toBe("ENGINE_MISUSE");
    engine.closeStream(stream);
    engine.closeStream(stream);
    expect(engine.tap(stream, 0).fragments).toEqual([]);
    expect(engine.readStreamStats(stream, new Float64Array(3))).toBe(false);
    await engine.stop();
    await engine.stop();
    expect(codeOf(() => engine.openStream(STREAM))).toBe("ENGINE_MISUSE");
    const page = new Float64Array(addon.engineStats().length + 3).fill(-1);
    engine.readEngineStats(page);
    expect(page.at(-1)).toBe(-1);
  });

  it("rejects file steps with a code", async () => {
    const codeAsync = (promise: Promise<unknown>): Promise<unknown> => promise.then(() => "resolved").catch((error) => error.code);
    expect(await codeAsync(addon.files.readSegment(join(directory, "absent")))).toBe("NOT_FOUND");
    await Bun.write(join(directory, "text"), "text");
    await Bun.write(join(directory, "text2"), "text");
    expect(await codeAsync(addon.files.readSegment(join(directory, "text")))).toBe("SEGMENT_DAMAGED");
    const root = await openedRoot();
    expect(await codeAsync(addon.files.renameDurable(root, join(directory, "text"), join(directory, "text2")))).toBe("CONFLICT");
    expect(await codeAsync(addon.files.renameDurable(root, join(directory, "text"), "/elsewhere"))).toBe("INPUT_INVALID");
    expect(await codeAsync(addon.files.removeDurable(root, join(directory, "absent"), false))).toBe("resolved");
    expect((await addon.files.freeSpace(root)).totalBytes).toBeGreaterThan(0);
    await addon.files.closeRoot(root);
    expect(await codeAsync(addon.files.freeSpace(root))).toBe("ROOT_UNAVAILABLE");
    expect((await addon.files.scanSegment(join(directory, "text"))).head).toBeNull();
  });

  it("knows a root by its marker, and only where its path leads to it", async () => {
    const codeAsync = (promise: Promise<unknown>): Promise<unknown> => promise.then(() => "resolved").catch((error) => error.code);
    const path = join(directory, "disk");
    expect(await addon.files.inspectRoot(path)).toMatchObject({ directory: null, marker: null });
    mkdirSync(path);
    const found = await addon.files.inspectRoot(path);
    expect(found).toMatchObject({ marker: null, fileSystem: (await addon.files.inspectRoot(directory)).fileSystem });
    expect(path.startsWith(found.mountPoint)).toBe(true);
    expect(await codeAsync(addon.files.openRoot(path, ROOT))).toBe("ROOT_UNAVAILABLE");
    await addon.files.adoptRoot(path, found, ROOT, "RMS1");
    expect((await addon.files.inspectRoot(path)).marker).toEqual({ id: ROOT, serial: "RMS1" });
    const root = await addon.files.openRoot(path, ROOT);
    expect(await codeAsync(addon.files.checkRoot(root))).toBe("resolved");
    expect(await codeAsync(addon.files.testRoot(root))).toBe("resolved");
    renameSync(path, `${path}-elsewhere`);
    mkdirSync(path);
    expect(await codeAsync(addon.files.checkRoot(root))).toBe("ROOT_UNAVAILABLE");
    await addon.files.appendDurable(root, join(path, "RMS1_1/20260101/journal.ndjson"), "{}");
    expect(readdirSync(path)).toEqual([]);
    expect(readdirSync(`${path}-elsewhere/RMS1_1/20260101`)).toEqual(["journal.ndjson"]);
    await addon.files.closeRoot(root);
    await addon.files.closeRoot(root);
  });

  it("calls back no more once stop has resolved, and brings everything before", async () => {
    for (let round = 0; round < 20; round++) {
      const { engine, facts } = started();
      const stream = engine.openStream(STREAM);
      const connections = Array.from({ length: 50 }, () => engine.connect(stream, "127.0.0.1", 9, 1000));
      await engine.stop();
      const { batches } = facts;
      for (const connection of connections) expect((await facts.next("disconnected")).connection).toBe(connection);
      await Bun.sleep(2);
      expect(facts.batches).toBe(batches);
    }
  });

  it("does not grow over many starts and stops", async () => {
    const round = async (): Promise<void> => {
      const { engine, facts } = started();
      const stream = engine.openStream(STREAM);
      const root = await openedRoot();
      engine.openWriter(root, { syncMs: 50 });
      engine.connect(stream, "127.0.0.1", 9, 1000);
      await facts.next("disconnected");
      engine.tap(stream, 0);
      await engine.closeWriter(root);
      await addon.files.closeRoot(root);
      await engine.stop();
    };
    for (let n = 0; n < 50; n++) await round();
    Bun.gc(true);
    const before = process.memoryUsage.rss();
    for (let n = 0; n < 200; n++) await round();
    Bun.gc(true);
    expect(process.memoryUsage.rss() - before).toBeLessThan(16 << 20);
    expect((await Array.fromAsync(new Bun.Glob("*").scan({ cwd: "/proc/self/task", onlyFiles: false }))).length).toBeLessThan(40);
  });

  it.each(["exit", "return"])("lets a process go that never stopped it (%s)", async (way) => {
    const child = Bun.spawn([process.execPath, join(import.meta.dirname, "leave-running.ts"), way], { stdout: "pipe", stderr: "pipe" });
    const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
    expect([await child.exited, await new Response(child.stdout).text(), await new Response(child.stderr).text()]).toEqual([
      3,
      "facts\n",
      "",
    ]);
    clearTimeout(timer);
  });
});

describe("clock", () => {
  it("is the host's until it is set, and the monotonic clock plus an offset from then on", () => {
    const { host, set, utcMs } = addon.clock;
    const before = host();
    expect(typeof before.synchronised).toBe("boolean");
    expect(utcMs()).toBeGreaterThanOrEqual(Math.floor(before.utcMs));
    expect(Math.abs(before.utcMs - Date.now())).toBeLessThan(60_000);
    const offsetMs = Date.UTC(2001, 1, 3) - before.monoMs;
    set(offsetMs, true);
    const set1 = utcMs();
    const after = host();
    expect(set1).toBeGreaterThanOrEqual(Date.UTC(2001, 1, 3));
    expect(set1).toBeLessThanOrEqual(offsetMs + after.monoMs);
    set(after.utcMs - after.monoMs, true);
    expect(codeOf(() => set(Number.NaN, false))).toBe("ENGINE_MISUSE");
    expect(codeOf(() => set(1e15, false))).toBe("ENGINE_MISUSE");
  });
});
