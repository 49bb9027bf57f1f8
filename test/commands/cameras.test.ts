import { beforeEach, describe, expect, test } from "vitest";
import { RecorderError } from "../../src/base/errors.ts";
import { cameraAdd } from "../../src/commands/camera-add.ts";
import { cameraList } from "../../src/commands/camera-list.ts";
import { cameraProbe } from "../../src/commands/camera-probe.ts";
import { cameraRemove } from "../../src/commands/camera-remove.ts";
import { parseInput, type ReplyCommand } from "../../src/commands/command.ts";
import type { CommandContext, ProbeOptions } from "../../src/commands/context.ts";
import type { DesiredCamera } from "../../src/config/types.ts";
import type { CameraEndpoint } from "../../src/rtsp/types.ts";
import { FakeService, PROBE_REPORT, streamStatus } from "../fakes/service.ts";

let service: FakeService;
let context: CommandContext;
beforeEach(() => {
  service = new FakeService();
  context = service.context();
});

async function run(command: ReplyCommand, raw: unknown): Promise<unknown> {
  return command.run(context, parseInput(command, raw), new AbortController().signal);
}

const stored = (id: string, channel: number): DesiredCamera => ({
  id,
  channel,
  url: `rtsp://10.0.0.${channel}/`,
  subUrl: null,
  username: null,
  transport: "auto",
  record: true,
});

describe("add", () => {
  test("the password is kept apart from the document and from the reply", async () => {
    const reply = await run(cameraAdd, {
      id: "front",
      url: "rtsp://admin:hunter2@10.0.0.1/ch1?x=1",
      subUrl: "rtsp://admin:hunter2@10.0.0.1/sub",
    });
    expect(reply).toEqual({
      revision: 2,
      camera: {
        id: "front",
        channel: 1,
        url: "rtsp://10.0.0.1/ch1?x=1",
        subUrl: "rtsp://10.0.0.1/sub",
        username: "admin",
        hasPassword: true,
        transport: "auto",
        record: true,
      },
    });
    expect(JSON.stringify(service.desired.document)).not.toContain("hunter2");
    expect(service.desired.passwords).toEqual(new Map([["front", "hunter2"]]));
    expect(service.recorder.reconciled).toBe(1);
  });

  test("the next channel is above all others; the lowest free one when the range is spent", async () => {
    service.desired.document = { revision: 1, cameras: [stored("a", 2), stored("b", 7)] };
    expect(await run(cameraAdd, { id: "c", url: "rtsp://h/" })).toMatchObject({ camera: { channel: 8 } });
    expect(await run(cameraAdd, { id: "d", url: "rtsp://h/", channel: 9999 })).toMatchObject({ camera: { channel: 9999 } });
    expect(await run(cameraAdd, { id: "e", url: "rtsp://h/" })).toMatchObject({ camera: { channel: 1 } });
    expect(await run(cameraAdd, { id: "f", url: "rtsp://h/" })).toMatchObject({ camera: { channel: 3 } });
  });

  test("a taken id and a taken channel are both named, and nothing changes", async () => {
    service.desired.document = { revision: 5, cameras: [stored("front", 3)] };
    const error = await run(cameraAdd, { id: "front", url: "rtsp://h/", channel: 3 }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "CONFLICT", problems: [{ path: "id" }, { path: "channel" }] });
    expect(service.desired.document.revision).toBe(5);
    expect(service.recorder.reconciled).toBe(0);
  });

  test("a change by somebody else meanwhile is planned around", async () => {
    service.desired.beforeWrite = () => {
      service.desired.beforeWrite = () => {};
      service.desired.document = { revision: 2, cameras: [stored("other", 1)] };
    };
    expect(await run(cameraAdd, { id: "front", url: "rtsp://h/" })).toMatchObject({ revision: 3, camera: { channel: 2 } });
    expect(service.desired.document.cameras.map(({ id }) => id)).toEqual(["other", "front"]);
  });

  test("endless changes by others end in an error", async () => {
    let writes = 0;
    service.desired.beforeWrite = () => {
      writes++;
      service.desired.document = { ...service.desired.document, revision: service.desired.document.revision + 1 };
    };
    await expect(run(cameraAdd, { id: "front", url: "rtsp://h/" })).rejects.toMatchObject({ code: "CONFLICT" });
    expect(writes).toBe(5);
  });

  test("a recorder that cannot follow at once does not undo the change", async () => {
    service.recorder.failure = new RecorderError("ROOT_UNAVAILABLE", "no disk");
    expect(await run(cameraAdd, { id: "front", url: "rtsp://h/" })).toMatchObject({ revision: 2 });
  });

  test("all problems of a request come at once, without its secrets", async () => {
    const raw = { id: "Bad Id", url: "http://u:hunter2@h/", channel: 0, transport: "udp", password: "hunter2\n", colour: 1 };
    const error = await run(cameraAdd, raw).catch((thrown: unknown) => thrown);
    if (!(error instanceof RecorderError)) throw new Error("not refused");
    expect(error.code).toBe("INPUT_INVALID");
    expect(error.problems.map(({ path }) => path).sort()).toEqual(["channel", "colour", "id", "password", "transport", "url"]);
    expect(JSON.stringify(error.problems) + error.message).not.toContain("hunter2");
  });

  test.each([
    [{ url: "rtsp://a:1@h/", password: "2" }, "url"],
    [{ url: "rtsp://a:1@h/", subUrl: "rtsp://b:1@h/" }, "subUrl"],
    [{ url: "rtsp://h/", password: "p" }, "username"],
    [{ url: `rtsp://${"u".repeat(200)}:p@h/` }, "url"],
    [{ url: "rtsp://a%0d%0aX:p@h/" }, "url"],
  ])("credentials that cannot be meant: %j", async (fields, path) => {
    await expect(run(cameraAdd, { id: "front", ...fields })).rejects.toMatchObject({ code: "INPUT_INVALID", problems: [{ path }] });
    expect(service.desired.document.revision).toBe(1);
  });
});

describe("list", () => {
  test("shows each camera with its streams by channel, and no password anywhere", async () => {
    service.desired.document = { revision: 4, cameras: [{ ...stored("b", 2), url: "rtsp://h/?password=hunter2" }, stored("a", 1)] };
    service.desired.passwords.set("b", "hunter3");
    service.recorder.streams = [streamStatus("b", 2), streamStatus("gone", 9)];
    const reply = await run(cameraList, {});
    expect(cameraList.output.parse(reply)).toEqual(reply);
    expect(reply).toMatchObject({
      revision: 4,
      cameras: [
        { id: "a", hasPassword: false, streams: [] },
        { id: "b", hasPassword: true, url: "rtsp://h/?password=***", streams: [{ camera: "b", state: "recording" }] },
      ],
    });
    expect(JSON.stringify(reply)).not.toContain("hunter");
  });
});

describe("remove", () => {
  test("takes the camera and its password away", async () => {
    service.desired.document = { revision: 4, cameras: [stored("a", 1), stored("b", 2)] };
    service.desired.passwords.set("a", "x");
    expect(await run(cameraRemove, { id: "a" })).toEqual({ revision: 5, id: "a" });
    expect(service.desired.document.cameras.map(({ id }) => id)).toEqual(["b"]);
    expect(service.desired.passwords.size).toBe(0);
    expect(service.recorder.reconciled).toBe(1);
    await expect(run(cameraRemove, { id: "a" })).rejects.toMatchObject({ code: "NOT_FOUND" });
  });
});

describe("probe", () => {
  const asked: { endpoint: CameraEndpoint; options: ProbeOptions }[] = [];
  beforeEach(() => {
    asked.length = 0;
    service.desired.document = { revision: 1, cameras: [{ ...stored("a", 1), username: "admin", transport: "tcp" }] };
    service.desired.passwords.set("a", "hunter2");
    service.probe = async (endpoint, options) => {
      asked.push({ endpoint, options });
      return { ...PROBE_REPORT, url: endpoint.url };
    };
  });

  test("a configured camera brings its credentials and transport", async () => {
    expect(await run(cameraProbe, { camera: "a" })).toMatchObject({ url: "rtsp://10.0.0.1/", measuredFramesPerSecond: 24.98 });
    expect(asked[0]).toMatchObject({
      endpoint: { url: "rtsp://10.0.0.1/", username: "admin", password: "hunter2" },
      options: { transport: "tcp", watchMs: 8000 },
    });
  });

  test("a URL may carry them", async () => {
    await run(cameraProbe, { url: "rtsp://u:p@h/x", seconds: 2.5 });
    expect(asked[0]).toMatchObject({
      endpoint: { url: "rtsp://h/x", username: "u", password: "p" },
      options: { transport: "auto", watchMs: 2500 },
    });
  });

  test.each([
    [{}, "INPUT_INVALID"],
    [{ camera: "a", url: "rtsp://h/" }, "INPUT_INVALID"],
    [{ camera: "a", username: "x" }, "INPUT_INVALID"],
    [{ camera: "a", seconds: 61 }, "INPUT_INVALID"],
    [{ camera: "b" }, "NOT_FOUND"],
    [{ camera: "a", stream: "sub" }, "NOT_FOUND"],
  ])("%j is refused with %s", async (raw, code) => {
    await expect(run(cameraProbe, raw)).rejects.toMatchObject({ code });
    expect(asked).toHaveLength(0);
  });

  test("only four run at a time, and each that ends makes room", async () => {
    const endings: PromiseWithResolvers<typeof PROBE_REPORT>[] = [];
    service.probe = () => {
      const ending = Promise.withResolvers<typeof PROBE_REPORT>();
      endings.push(ending);
      return ending.promise;
    };
    const running = Array.from({ length: 4 }, () => run(cameraProbe, { url: "rtsp://h/" }).catch(() => "failed"));
    await new Promise((resolve) => setImmediate(resolve));
    await expect(run(cameraProbe, { url: "rtsp://h/" })).rejects.toMatchObject({ code: "CONFLICT" });
    endings[0]?.reject(new Error("lost"));
    expect(await running[0]).toBe("failed");
    const next = run(cameraProbe, { url: "rtsp://h/" });
    await new Promise((resolve) => setImmediate(resolve));
    for (const { resolve } of endings) resolve(PROBE_REPORT);
    await expect(next).resolves.toEqual(PROBE_REPORT);
    await Promise.all(running);
  });
});
