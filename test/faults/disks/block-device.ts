import { type ChildProcess, spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { runProgram, until } from "../../e2e/box.ts";
import type { DeviceCounters, DeviceOrder } from "./block-server.ts";
import { mountedDevice } from "./teardown.ts";

const SERVER = join(import.meta.dirname, "block-server.ts");

interface DeviceOptions {
  readonly image: string;
  /** Where operations are recorded, null for nowhere. */
  readonly log: string | null;
  /** Folder in which the device appears as a file. */
  readonly folder: string;
  readonly socket: string;
}

/** A block device that we serve ourselves, as a file that can be mounted through a loop device. */
export class BlockDevice {
  /** The device as a file. */
  readonly file: string;
  /** Recorded operations, for `readOperations` once the device has stopped; null where nothing is recorded. */
  readonly log: string | null;
  readonly #server: ChildProcess;
  readonly #answers: Interface;
  readonly #folder: string;
  #last: Promise<unknown> = Promise.resolve();

  private constructor({ log, folder }: DeviceOptions, server: ChildProcess, answers: Interface) {
    this.log = log;
    this.file = join(folder, "device");
    this.#folder = folder;
    this.#server = server;
    this.#answers = answers;
  }

  static async start(options: DeviceOptions): Promise<BlockDevice> {
    const { image, log, folder, socket } = options;
    await mkdir(folder, { recursive: true });
    const flags = ["--image", image, "--socket", socket, ...(log === null ? [] : ["--log", log])];
    const server = spawn(process.execPath, [SERVER, ...flags], { stdio: ["pipe", "pipe", "inherit"] });
    if (server.stdout === null) throw new Error("the block server has no stdout");
    const answers = createInterface({ input: server.stdout });
    await nextLine(server, answers);
    const device = new BlockDevice(options, server, answers);
    // One connection: commands reach the server in the order in which the kernel gives them.
    const nbdfuse = spawn("nbdfuse", ["--connections", "1", device.file, "--unix", socket], { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    // It reports every error that a device was told to make; of interest is only why it does not begin.
    nbdfuse.stderr.on("data", (chunk) => {
      said = (said + String(chunk)).slice(-1000);
    });
    await until(`${device.file} to appear`, async () => {
      if (nbdfuse.exitCode !== null) throw new Error(`nbdfuse ended with ${nbdfuse.exitCode}: ${said}`);
      return mountedDevice(folder) === null ? null : true;
    });
    return device;
  }

  /** Changes how the device behaves, sets a mark or asks for the counters; resolves when the server has done so. */
  order(order: DeviceOrder): Promise<DeviceCounters> {
    const answer = this.#last.then(async () => {
      this.#server.stdin?.write(`${JSON.stringify(order)}\n`);
      return JSON.parse(await nextLine(this.#server, this.#answers)) as DeviceCounters;
    });
    this.#last = answer.catch(() => undefined);
    return answer;
  }

  /** Removes the device; nothing may be mounted from it any more. Safe to call twice. */
  async stop(): Promise<void> {
    if (mountedDevice(this.#folder) !== null) await runProgram("umount", [this.#folder]);
    if (this.#server.exitCode !== null || this.#server.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#server.once("exit", resolve));
    this.#server.stdin?.end();
    await ended;
  }
}

function nextLine(server: ChildProcess, lines: Interface): Promise<string> {
  return new Promise((resolve, reject) => {
    const exited = () => reject(new Error("the block server has ended"));
    if (server.exitCode !== null) exited();
    server.once("exit", exited);
    lines.once("line", (line) => {
      server.off("exit", exited);
      resolve(line);
    });
  });
}
