import { readdirSync, statSync } from "node:fs";
import { stat } from "node:fs/promises";
import { type Box, until } from "../e2e/box.ts";
import { command } from "./disks/disk-rig.ts";

/**
 * Takes a mounted disk's path away from it, as if it was pulled, and waits until the recorder holds nothing on it any more. Returns when the
 * path was gone. Mounted again, the disk is the same to the kernel, whoever else (another mount namespace) has kept it.
 */
export async function pullDisk(box: Box, folder: string): Promise<number> {
  const { dev } = await stat(folder);
  await command("umount", "--lazy", folder);
  const pulledMs = Date.now();
  await until(`${folder} to be let go`, async () => (holds(box.pid, dev) ? null : true));
  return pulledMs;
}

/** Whether a process has a file of this file system open. */
function holds(pid: number, device: number): boolean {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).some((descriptor) => {
    try {
      return statSync(`${folder}/${descriptor}`).dev === device;
    } catch {
      return false;
    }
  });
}
