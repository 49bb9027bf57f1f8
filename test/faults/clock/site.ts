import { existsSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Box, until } from "../../e2e/box.ts";
import { CLIP_FPS } from "../../fakes/camera/clip.ts";
import { type CameraProcess, startCameraProcess } from "../camera-process.ts";

export const CAMERA = "cam1";
const PICTURE_MS = 1000 / CLIP_FPS;
const LIBRARY = ["/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"];

export interface SiteOptions {
  readonly name: string;
  readonly zone?: string;
  readonly trust?: "auto" | "always";
  /** What the host's clock shows at first. */
  readonly utcMs: number;
  /** How much too fast the camera's clock runs. */
  readonly driftPpm?: number;
}

/** A box whose host has a clock that can be set at will, and a camera that knows the time. */
export class Site {
  readonly box: Box;
  /** From one picture of the camera to the next, by our clock. */
  readonly pictureMs: number;
  readonly camera: CameraProcess;
  readonly #clockFile: string;
  #offsetMs = 0;
  #boots = 0;

  private constructor(box: Box, pictureMs: number, camera: CameraProcess) {
    this.box = box;
    this.pictureMs = pictureMs;
    this.camera = camera;
    this.#clockFile = join(box.dir, "host-clock");
  }

  static async open({ name, zone = "UTC", trust = "always", utcMs, driftPpm = 0 }: SiteOptions): Promise<Site> {
    const box = await Box.create({ name, segment: "2s", zone, trust });
    const site = new Site(
      box,
      PICTURE_MS / (1 + driftPpm / 1e6),
      await startCameraProcess(["--streams", "1", "--audio", "pcma", `--drift=${driftPpm}`]),
    );
    await site.set(utcMs);
    await site.boot();
    return site;
  }

  /** Host's clock minus ours. */
  get offsetMs(): number {
    return this.#offsetMs;
  }

  /** Sets the host's clock; returns what it is ahead of ours. */
  async set(utcMs: number): Promise<number> {
    // The file takes whole milliseconds; a value read half would be another time.
    this.#offsetMs = Math.round(utcMs - Date.now());
    const text = `${this.#offsetMs < 0 ? "" : "+"}${(this.#offsetMs / 1000).toFixed(3)}\n`;
    await writeFile(`${this.#clockFile}.new`, text);
    await Bun.$`mv ${this.#clockFile}.new ${this.#clockFile}`.quiet();
    return this.#offsetMs;
  }

  /** The machine comes up again: another boot id from here on. */
  async boot(): Promise<void> {
    this.#boots++;
    const id = `00000000-0000-4000-8000-${String(this.#boots).padStart(12, "0")}`;
    await writeFile(join(this.box.dir, "boot-id"), `${id}\n`);
  }

  async serve(): Promise<void> {
    const library = LIBRARY.find((path) => existsSync(path));
    if (library === undefined) throw new Error(`libfaketime is not at ${LIBRARY.join(" or ")}`);
    const environment = [
      `LD_PRELOAD=${library}`,
      `FAKETIME_TIMESTAMP_FILE=${this.#clockFile}`,
      "FAKETIME_NO_CACHE=1",
      "FAKETIME_DONT_FAKE_MONOTONIC=1",
      "FAKETIME_DONT_RESET=1",
    ];
    const bind = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"';
    await this.box.serve(["unshare", "--mount", "sh", "-c", bind, join(this.box.dir, "boot-id"), "env", ...environment]);
  }

  async addCamera(): Promise<void> {
    await this.box.add(CAMERA, this.camera.urls["cam1"] ?? "");
  }

  /** Waits for more durable fragments, each a second of media. */
  async record(seconds: number): Promise<void> {
    const from = this.box.log.length;
    const seen = () => this.box.log.slice(from).filter(({ event }) => event === "fragment.durable").length;
    await until(`${seconds} s of media`, async () => (seen() >= seconds ? true : null), 60_000 + seconds * 1000);
  }

  async event(name: string, timeoutMs: number): Promise<void> {
    if (this.box.log.some(({ event }) => event === name)) return;
    await this.box.next(({ event }) => event === name, timeoutMs);
  }

  async close(): Promise<void> {
    await this.box.end("SIGKILL");
    await this.camera.stop();
  }

  async remove(): Promise<void> {
    await rm(this.box.dir, { recursive: true, force: true });
  }
}
