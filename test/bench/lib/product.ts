import { Box } from "../../e2e/box.ts";
import { segmentFiles } from "../../e2e/segments.ts";
import type { Launch, Subject, SubjectCounters } from "./subject.ts";

interface StatusLine {
  readonly engine: Readonly<Record<string, number>>;
}

/** Counters of a stream that stay 0 while nothing is lost. */
const LOSSES = ["lostPackets", "malformedPackets", "discardedUnits", "droppedFragments", "timeJumps"] as const;

/** The built product, at log level info. */
export class Product implements Subject {
  readonly name = "product";
  #box: Box | null = null;
  #cameras: readonly string[] = [];

  async start({ wrapper }: Launch): Promise<void> {
    const box = await Box.create({ name: "bench-record", logLevel: "info" });
    this.#box = box;
    await box.serve(wrapper);
  }

  async record(urls: Readonly<Record<string, string>>): Promise<void> {
    this.#cameras = Object.keys(urls);
    for (const [id, url] of Object.entries(urls)) await this.#running.add(id, url);
  }

  pids(): readonly number[] {
    return [this.#running.pid];
  }

  async counters(): Promise<SubjectCounters> {
    const [status] = await this.#running.json<StatusLine>("status");
    if (status === undefined) throw new Error("`status --json` printed nothing");
    const streams = (await this.#running.cameras()).flatMap((camera) => camera.streams);
    return { ...status.engine, ring_bytes: streams.reduce((sum, { numbers }) => sum + numbers.ringBytes, 0) };
  }

  async losses(): Promise<readonly string[]> {
    return (await this.#running.cameras()).flatMap(({ id, streams }) =>
      streams.flatMap(({ numbers }) => LOSSES.flatMap((name) => (numbers[name] === 0 ? [] : [`${id}: ${name} is ${numbers[name]}`]))),
    );
  }

  async stop(): Promise<ReadonlyMap<string, readonly string[]>> {
    const box = this.#box;
    if (box === null) return new Map();
    await box.end();
    const files = await segmentFiles(box.roots[0] ?? "");
    // Channels are given in the order of adding, from 1, and name the folders.
    return new Map(this.#cameras.map((id, index) => [id, files.filter((path) => path.includes(`/TEST0001_${index + 1}/`))]));
  }

  get #running(): Box {
    if (this.#box === null) throw new Error("the product was not started");
    return this.#box;
  }
}
