import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

export interface ForeignServer {
  readonly url: string;
  stop(): Promise<void>;
}

/** Debian's GStreamer RTSP server; `--help` fails where its packages are missing. */
const FOREIGN_SERVER = join(import.meta.dirname, "..", "fakes", "foreign", "gst-rtsp-server.py");

/** Starts the foreign source with the flags of its script; resolves when it accepts connections. */
export async function startForeignServer(flags: readonly string[]): Promise<ForeignServer> {
  const child: ChildProcess = spawn(FOREIGN_SERVER, flags, { stdio: ["ignore", "pipe", "inherit"] });
  if (child.stdout === null) throw new Error(`${FOREIGN_SERVER} has no stdout`);
  const ended = once(child, "exit");
  const [line] = (await Promise.race([
    once(createInterface({ input: child.stdout }), "line"),
    ended.then(([code]) => {
      throw new Error(`${FOREIGN_SERVER} ended with ${code}`);
    }),
  ])) as [string];
  return {
    url: (JSON.parse(line) as { readonly url: string }).url,
    stop: async () => {
      child.kill("SIGTERM");
      await ended;
    },
  };
}
