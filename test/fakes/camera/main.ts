/**
 * The virtual camera as a process of its own, for the demo and for measurements. When it accepts connections it prints one JSON line:
 * `{"port":…,"pid":…,"urls":{"cam1":"rtsp://…"}}`. Each line on stdin is an order, answered with one line on stdout:
 * `{"stream":"cam1","fault":{"kind":"silence"}}`, `{"stream":"cam1","clear":"silence"}`, `{"clients":true}`,
 * `{"usage":true}` (CPU microseconds of the process so far, by getrusage, and its memory). SIGTERM and SIGINT end it.
 */
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { AUTH_SCHEMES } from "./auth.ts";
import { startVirtualCamera, type VirtualCamera } from "./camera.ts";
import { AUDIO_KINDS, VIDEO_VARIANTS } from "./clip.ts";
import type { Fault, FaultKind, ScriptStep } from "./faults.ts";
import { DEFAULT_AUTH, DEFAULT_STREAM, type StreamOptions, type VirtualCameraOptions } from "./options.ts";

const USAGE = `virtual camera: RTSP over TCP, H.264 with sound, from the clip in test/fixtures/clip
  --host ADDRESS          where to listen (127.0.0.1)
  --port N                0 picks a free one (0)
  --streams N             how many streams (1), named --prefix and a number from 1
  --prefix NAME           (cam)
  --bitrate BPS           pads video up to this rate; 0 sends the clip as it is (0)
  --video NAME            ${VIDEO_VARIANTS.join("|")} (${DEFAULT_STREAM.video})
  --audio NAME            ${AUDIO_KINDS.join("|")}; several with commas are dealt out in turn (${DEFAULT_STREAM.audio})
  --pacing NAME           burst|spread (${DEFAULT_STREAM.pacing})
  --parameter-sets WHERE  sdp-and-in-band|sdp-only|in-band-only (${DEFAULT_STREAM.parameterSets})
  --first-frame N         picture of the loop with which a client begins (0)
  --drift PPM             how much too fast the camera's clock runs (0)
  --auth SCHEMES          none, or with commas: ${AUTH_SCHEMES.join("|")} (none)
  --username NAME         (${DEFAULT_AUTH.username})
  --password-env NAME     environment variable that holds the password (a fixed one is used without)
  --timeout S             session time-out (60)
  --script JSON           fault script of every stream: [{"when":{"frame":250},"fault":{"kind":"silence"},"forMs":8000}]
  --with-parent           ends when the process that started it has ended`;

const TEXT = { type: "string" } as const;

function readOptions(args: string[]): { readonly options: VirtualCameraOptions; readonly withParent: boolean } | null {
  const { values } = parseArgs({
    args,
    options: {
      host: TEXT,
      port: TEXT,
      streams: TEXT,
      prefix: TEXT,
      bitrate: TEXT,
      video: TEXT,
      audio: TEXT,
      pacing: TEXT,
      "parameter-sets": TEXT,
      "first-frame": TEXT,
      drift: TEXT,
      auth: TEXT,
      username: TEXT,
      "password-env": TEXT,
      timeout: TEXT,
      script: TEXT,
      "with-parent": { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  if (values.help) return null;
  const number = (name: string, text: string | undefined, fallback: number): number => {
    const value = text === undefined ? fallback : Number(text);
    if (!Number.isFinite(value) || text === "") throw new Error(`--${name} is ${JSON.stringify(text)}, allowed is a number`);
    return value;
  };
  const oneOf = <Word extends string>(name: string, text: string, allowed: readonly Word[]): Word => {
    const word = allowed.find((candidate) => candidate === text);
    if (word === undefined) throw new Error(`--${name} is ${JSON.stringify(text)}, allowed are ${allowed.join(", ")}`);
    return word;
  };
  const sounds = (values.audio ?? DEFAULT_STREAM.audio).split(",").map((word) => oneOf("audio", word, AUDIO_KINDS));
  const common: Partial<StreamOptions> = {
    bitrateBps: number("bitrate", values.bitrate, 0),
    video: oneOf("video", values.video ?? DEFAULT_STREAM.video, VIDEO_VARIANTS),
    pacing: oneOf("pacing", values.pacing ?? DEFAULT_STREAM.pacing, ["burst", "spread"]),
    parameterSets: oneOf("parameter-sets", values["parameter-sets"] ?? DEFAULT_STREAM.parameterSets, [
      "sdp-and-in-band",
      "sdp-only",
      "in-band-only",
    ]),
    firstFrame: number("first-frame", values["first-frame"], 0),
    clockDriftPpm: number("drift", values.drift, 0),
    script: values.script === undefined ? [] : (JSON.parse(values.script) as ScriptStep[]),
  };
  const auth = values.auth ?? "none";
  const password = values["password-env"] === undefined ? undefined : process.env[values["password-env"]];
  return {
    withParent: values["with-parent"] === true,
    options: {
      hostname: values.host ?? "127.0.0.1",
      port: number("port", values.port, 0),
      sessionTimeoutS: number("timeout", values.timeout, 60),
      auth:
        auth === "none"
          ? null
          : {
              schemes: auth.split(",").map((word) => oneOf("auth", word, AUTH_SCHEMES)),
              username: values.username ?? DEFAULT_AUTH.username,
              password: password ?? DEFAULT_AUTH.password,
            },
      streams: Array.from({ length: number("streams", values.streams, 1) }, (_, index) => ({
        ...common,
        name: `${values.prefix ?? "cam"}${index + 1}`,
        audio: sounds[index % sounds.length] ?? DEFAULT_STREAM.audio,
      })),
    },
  };
}

const say = (line: unknown) => process.stdout.write(`${JSON.stringify(line)}\n`);

interface Order {
  readonly stream?: string;
  readonly fault?: Fault;
  readonly clear?: FaultKind;
  readonly clients?: boolean;
  readonly usage?: boolean;
}

function obey(camera: VirtualCamera, line: string): void {
  try {
    const order = JSON.parse(line) as Order;
    if (order.clients === true) {
      say({ clients: camera.clients(order.stream) });
      return;
    }
    if (order.usage === true) {
      say({ usage: { ...process.cpuUsage(), rssBytes: process.memoryUsage.rss() } });
      return;
    }
    for (const stream of order.stream === undefined ? camera.streams : [order.stream]) {
      if (order.fault !== undefined) camera.inject(stream, order.fault);
      if (order.clear !== undefined) camera.clear(stream, order.clear);
    }
    say({ ok: true });
  } catch (thrown) {
    say({ error: thrown instanceof Error ? thrown.message : String(thrown) });
  }
}

async function main(): Promise<number> {
  let read: ReturnType<typeof readOptions>;
  try {
    read = readOptions(process.argv.slice(2));
  } catch (thrown) {
    process.stderr.write(`${thrown instanceof Error ? thrown.message : String(thrown)}\n${USAGE}\n`);
    return 2;
  }
  if (read === null) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const camera = await startVirtualCamera(read.options);
  say({ port: camera.port, pid: process.pid, urls: Object.fromEntries(camera.streams.map((name) => [name, camera.url(name)])) });
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => obey(camera, line));
  const parent = process.ppid;
  await new Promise<void>((resolve) => {
    process.once("SIGTERM", () => resolve());
    process.once("SIGINT", () => resolve());
    // The parent's death shows as another parent.
    if (read.withParent) setInterval(() => process.ppid !== parent && resolve(), 500);
  });
  lines.close();
  await camera.stop();
  return 0;
}

process.exit(await main());
