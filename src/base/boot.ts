import { readdir, readFile } from "node:fs/promises";

/** Names the boot of the machine: what happened under one name shares a monotonic clock. */
export async function readBootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
}

/** Whether the machine has a clock that goes on without power. */
export async function hasRtc(): Promise<boolean> {
  return (await readdir("/sys/class/rtc").catch(() => [])).length > 0;
}
