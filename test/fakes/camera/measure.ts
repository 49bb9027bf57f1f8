/**
 * What the virtual camera costs: `bun test/fakes/camera/measure.ts [streams] [bit rate] [burst|spread] [seconds]`. The camera runs as a
 * process of its own, this one drains it. Its CPU is that of getrusage, read twice within the window; one JSON object is the last line.
 */
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { RawClient } from "./client.ts";

/** Time for all clients to play before the window opens. */
const SETTLE_MS = 3000;

/** Reads and forgets. */
class Drain extends RawClient {
  draining = false;

  protected override received(chunk: Uint8Array): void {
    if (this.draining) this.receivedBytes += chunk.length;
    else super.received(chunk);
  }
}

const [streams = "64", bitrateBps = "4000000", pacing = "spread", seconds = "20"] = process.argv.slice(2);
const main = new URL("./main.ts", import.meta.url).pathname;
const options = ["--streams", streams, "--bitrate", bitrateBps, "--pacing", pacing, "--audio", "pcma", "--with-parent"];
const camera = Bun.spawn([process.execPath, main, ...options], { stdin: "pipe", stdout: "pipe" });
const lines = createInterface({ input: Readable.fromWeb(camera.stdout as never) })[Symbol.asyncIterator]();
const ask = async (order: object | null) => {
  if (order !== null) camera.stdin.write(`${JSON.stringify(order)}\n`);
  return JSON.parse((await lines.next()).value ?? "null");
};
const { urls } = (await ask(null)) as { readonly urls: Record<string, string> };
const drains: Drain[] = [];
for (const url of Object.values(urls)) {
  const drain = await new Drain(url).connect();
  if (!(await drain.play())) throw new Error(`${url} does not play`);
  drain.draining = true;
  drains.push(drain);
}
await Bun.sleep(SETTLE_MS);
interface Usage {
  readonly user: number;
  readonly system: number;
  readonly rssBytes: number;
}
const usage = async () => ((await ask({ usage: true })) as { readonly usage: Usage }).usage;
const bytes = () => drains.reduce((sum, drain) => sum + drain.receivedBytes, 0);
const [before, bytesBefore, start] = [await usage(), bytes(), performance.now()];
await Bun.sleep(Number(seconds) * 1000);
const [after, bytesAfter, end] = [await usage(), bytes(), performance.now()];
const { clients } = (await ask({ clients: true })) as {
  readonly clients: readonly { readonly counts: { readonly droppedFrames: number } }[];
};
camera.kill("SIGTERM");
await camera.exited;
const wallUs = (end - start) * 1000;
process.stdout.write(
  `${JSON.stringify({
    streams: Number(streams),
    pacing,
    seconds: Math.round(wallUs / 1e4) / 100,
    corePercent: Math.round(((after.user + after.system - before.user - before.system) / wallUs) * 1000) / 10,
    receivedMbps: Math.round(((bytesAfter - bytesBefore) * 8) / wallUs),
    rssMiB: Math.round(after.rssBytes / 2 ** 20),
    droppedFrames: clients.reduce((sum, client) => sum + client.counts.droppedFrames, 0),
  })}\n`,
);
process.exit(0);
