import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runProgram } from "../../e2e/box.ts";
import { BlockDevice } from "./block-device.ts";
import { claimFolder, mountedDevice, releaseFolder } from "./teardown.ts";

export type FileSystem = "ext4" | "xfs";

/** A mounted file system. */
export interface Mount {
  /** The mount point. */
  readonly folder: string;
  /** The block device, /dev/loopN. */
  readonly device: string;
  /** Waits until everything is written out. Safe to call twice. */
  unmount(): Promise<void>;
}

/** Wraps a command so that it is killed with the process that starts it: it would keep a disk busy that the next run wants to take down. */
export const WITH_PARENT: readonly string[] = ["setpriv", "--pdeathsig", "KILL", "--"];

/** Disks for one run, in a folder of its own below `var/disks`. All of them are gone after `close`, and when the process ends. Needs root. */
export class DiskRig {
  readonly folder: string;
  readonly #mounts: Mount[] = [];
  readonly #devices: BlockDevice[] = [];

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** `memoryBytes`: the folder itself is in RAM and at most so large. */
  static async open(name: string, options: { readonly memoryBytes?: number } = {}): Promise<DiskRig> {
    const folder = claimFolder(name);
    const { memoryBytes } = options;
    if (memoryBytes !== undefined) await command("mount", "-t", "tmpfs", "-o", `size=${memoryBytes}`, "tmpfs", folder);
    return new DiskRig(folder);
  }

  /** Makes a sparse image with an empty file system; returns its path. XFS copies its files by reference, ext4 is what boxes have. */
  async image(path: string, bytes: number, kind: FileSystem): Promise<string> {
    await command("truncate", "--size", String(bytes), path);
    // Nothing is left for the kernel to do behind the workload's back.
    const ext4 = ["-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", path];
    await (kind === "ext4" ? command("mkfs.ext4", ...ext4) : command("mkfs.xfs", "-q", "-m", "reflink=1", path));
    return path;
  }

  /** Mounts an image (or what looks like one: the file of a block device) through a loop device at `<rig>/<name>`. */
  async mount(image: string, name: string, options: readonly string[] = []): Promise<Mount> {
    const folder = join(this.folder, name);
    await mkdir(folder, { recursive: true });
    await command("mount", "-o", ["loop", ...options].join(","), image, folder);
    const device = mountedDevice(folder) ?? "";
    const mount: Mount = {
      folder,
      device,
      unmount: async () => {
        if (mountedDevice(folder) === device) await command("umount", folder);
      },
    };
    this.#mounts.push(mount);
    return mount;
  }

  /** Puts a block server in front of an image; its writes are recorded where `record`. */
  async blockDevice(image: string, name: string, options: { readonly record?: boolean } = {}): Promise<BlockDevice> {
    // Socket paths are short; a checkout may lie deep.
    const sockets = await mkdtemp(join(tmpdir(), "easyrms-block-"));
    const log = options.record === true ? join(this.folder, `${name}.log`) : null;
    const device = await BlockDevice.start({ image, log, folder: join(this.folder, name), socket: join(sockets, "socket") });
    await rm(sockets, { recursive: true });
    this.#devices.push(device);
    return device;
  }

  /** Takes everything down, also what hangs. */
  async close(): Promise<void> {
    for (const device of this.#devices) await device.order({ mode: "ok" }).catch(() => undefined);
    for (const mount of this.#mounts.reverse()) await mount.unmount().catch(() => undefined);
    for (const device of this.#devices) await device.stop();
    if (existsSync(this.folder)) releaseFolder(this.folder);
  }
}

/** Runs a program that must succeed. Never blocks the process: the disk it works on may be served by one that waits for us. */
export async function command(program: string, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runProgram(program, args);
  if (code !== 0) throw new Error(`${program} ${args.join(" ")}: exit ${code}: ${stderr}`);
  return stdout;
}
