import { readFile } from "node:fs/promises";

/** Names the boot of the machine: what happened under one name shares a monotonic clock. */
export async function readBootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
}
