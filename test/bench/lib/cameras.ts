import { until } from "../../e2e/box.ts";
import { type CameraProcess, startCameraProcess } from "../../faults/camera-process.ts";
import { BENCH_AUDIO } from "./subject.ts";

/** How packets leave the cameras: each picture in one burst, or over 80 % of its time, as real cameras send. */
export type Pacing = "burst" | "spread";

/** Video of each camera; sound comes on top. */
const BITRATE_BPS = 4_000_000;

/** What the cameras have sent. */
export interface Sent {
  readonly packets: number;
  /** Whole pictures by camera. */
  readonly frames: ReadonlyMap<string, number>;
  /** Waiting for clients that do not read. */
  readonly queuedBytes: number;
  /** What makes a measurement worthless: clients that came twice, pictures that a client was too slow for. */
  readonly problems: readonly string[];
}

interface ClientLine {
  readonly stream: string | null;
  readonly queuedBytes: number;
  readonly counts: { readonly frames: number; readonly packets: number; readonly droppedFrames: number } | null;
}

/** The cameras of a benchmark: 1080p25 H.264 with PCMA, all in one process. */
export class Cameras {
  readonly #process: CameraProcess;

  private constructor(process: CameraProcess) {
    this.#process = process;
  }

  static async start(streams: number, pacing: Pacing, wrapper: readonly string[]): Promise<Cameras> {
    const flags = ["--streams", `${streams}`, "--bitrate", `${BITRATE_BPS}`, "--audio", BENCH_AUDIO, "--pacing", pacing];
    return new Cameras(await startCameraProcess(flags, wrapper));
  }

  get urls(): Readonly<Record<string, string>> {
    return this.#process.urls;
  }

  get pid(): number {
    return this.#process.pid;
  }

  async sent(): Promise<Sent> {
    const { clients } = await this.#process.ask<{ readonly clients: readonly ClientLine[] }>({ clients: true });
    const played = clients.filter(({ counts }) => counts !== null);
    const frames = new Map<string, number>();
    const problems: string[] = [];
    let packets = 0;
    let queuedBytes = 0;
    for (const { stream, counts, queuedBytes: waiting } of played) {
      queuedBytes += waiting;
      const camera = stream ?? "";
      if (frames.has(camera)) problems.push(`${camera} was connected to twice`);
      if (counts !== null && counts.droppedFrames > 0)
        problems.push(`${camera}: the client was too slow for ${counts.droppedFrames} pictures`);
      frames.set(camera, counts?.frames ?? 0);
      packets += counts?.packets ?? 0;
    }
    return { packets, frames, queuedBytes, problems };
  }

  /** Resolves once every camera has sent a second of pictures. */
  async playing(): Promise<void> {
    const wanted = Object.keys(this.urls);
    await until("all cameras playing", async () => {
      const { frames } = await this.sent();
      return wanted.every((camera) => (frames.get(camera) ?? 0) >= 25) ? true : null;
    });
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }
}
