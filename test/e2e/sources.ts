import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { startVirtualCamera, type VirtualCamera } from "../fakes/camera/camera.ts";
import type { Fault } from "../fakes/camera/faults.ts";
import { noise } from "../fakes/camera/noise.ts";
import type { StreamOptions, VirtualCameraOptions } from "../fakes/camera/options.ts";

/** Something that a camera URL points at. */
export interface Source {
  readonly url: string;
  /** Null where nothing behind the URL is a virtual camera. */
  readonly camera: VirtualCamera | null;
  stop(): Promise<void>;
}

export type OpenSource = () => Promise<Source>;

/** Name of the one stream of each virtual camera here. */
export const STREAM = "live";

interface VirtualOptions {
  readonly server?: Omit<VirtualCameraOptions, "streams">;
  readonly stream?: Partial<StreamOptions>;
  /** There from the start. */
  readonly faults?: readonly Fault[];
  readonly credentials?: { readonly username: string; readonly password: string };
}

/** A virtual camera of its own, so that what happens to the server or its account happens to nobody else. */
export function virtual({ server = {}, stream = {}, faults = [], credentials }: VirtualOptions = {}): OpenSource {
  return async () => {
    const camera = await startVirtualCamera({
      ...server,
      streams: [{ video: "720p", audio: "pcma", ...stream, name: STREAM }],
    });
    for (const fault of faults) camera.inject(STREAM, fault);
    return { url: camera.url(STREAM, credentials), camera, stop: () => camera.stop() };
  };
}

/** A URL behind which nothing answers as it should. */
export function nowhere(url: string): OpenSource {
  return () => Promise.resolve({ url, camera: null, stop: () => Promise.resolve() });
}

/** A camera that redirects to another one; frames and clients are those of the other. */
export function redirected(): OpenSource {
  return async () => {
    const target = await virtual()();
    const front = await virtual({ faults: [{ kind: "redirect", location: target.url }] })();
    return {
      url: front.url,
      camera: target.camera,
      stop: async () => {
        await front.stop();
        await target.stop();
      },
    };
  };
}

/** A camera whose answer to DESCRIBE sends the client back to where it is. */
export function redirectedInCircles(): OpenSource {
  return async () => {
    const source = await virtual()();
    source.camera?.inject(STREAM, { kind: "redirect", location: source.url });
    return source;
  };
}

/** A TCP server that sends without end, as fast as it is read: first the head, then the body again and again. */
function flood(head: string, body: Uint8Array): OpenSource {
  return () => {
    const pump = (socket: Bun.Socket<unknown>): void => {
      while (socket.write(body) === body.length);
    };
    const listener = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: (socket) => {
          socket.write(head);
          pump(socket);
        },
        drain: pump,
        data() {},
      },
    });
    return Promise.resolve({
      url: `rtsp://127.0.0.1:${listener.port}/${STREAM}`,
      camera: null,
      stop: () => Promise.resolve(listener.stop(true)),
    });
  };
}

/** Noise instead of RTSP. */
export const floodOfNoise = (): OpenSource => flood("\0", noise(64 * 1024));

/** A reply with a head that never ends. */
export const floodOfHead = (): OpenSource => flood("RTSP/1.0 200 OK\r\nX-Long: ", new Uint8Array(64 * 1024).fill(0x78));

const DEAF = `
import socket, sys
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(0)
clients = [socket.socket() for _ in range(4)]
for client in clients:
    client.setblocking(False)
    client.connect_ex(server.getsockname())
print(server.getsockname()[1], flush=True)
sys.stdin.read()
`;

/** A listener whose queue is full: the kernel answers no SYN, as if a firewall swallowed it. */
export function deaf(): OpenSource {
  return async () => {
    const child: ChildProcess = spawn("python3", ["-c", DEAF], { stdio: ["pipe", "pipe", "inherit"] });
    if (child.stdout === null) throw new Error("python3 has no stdout");
    const [port] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
    return {
      url: `rtsp://127.0.0.1:${port}/${STREAM}`,
      camera: null,
      stop: async () => {
        const ended = once(child, "exit");
        child.stdin?.end();
        await ended;
      },
    };
  };
}
