import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Where the folders of disks are. */
export const DISKS = join(import.meta.dirname, "..", "..", "..", "var", "disks");

const OWNER = ".owner";
const live = new Set<string>();
let watching = false;

/**
 * Makes an empty folder below `var/disks` that this process owns. Whatever gets mounted in it goes with the process; what a process left that
 * was killed goes now. Throws where a process that lives has a folder of this name.
 */
export function claimFolder(name: string): string {
  mkdirSync(DISKS, { recursive: true });
  for (const entry of readdirSync(DISKS)) {
    if (entry.endsWith(OWNER) && !isAlive(readFileSync(join(DISKS, entry), "utf8")))
      releaseFolder(join(DISKS, entry.slice(0, -OWNER.length)));
  }
  const folder = join(DISKS, name);
  writeFileSync(`${folder}${OWNER}`, identity(process.pid) ?? "", { flag: "wx" });
  mkdirSync(folder, { recursive: true });
  watchProcess();
  live.add(folder);
  return folder;
}

/** Unmounts everything below a folder, newest first, detaches its loop devices, and removes it. Does not wait for a device that hangs. */
export function releaseFolder(folder: string): void {
  for (const path of mountsBelow(folder).reverse()) spawnSync("umount", ["--lazy", path]);
  for (const device of loopDevicesOf(folder)) spawnSync("losetup", ["--detach", device]);
  // A mount that stayed is somebody's disk: nothing may be removed through it.
  if (mountsBelow(folder).length === 0) {
    rmSync(folder, { recursive: true, force: true });
    rmSync(`${folder}${OWNER}`, { force: true });
  }
  live.delete(folder);
}

/** Mount points at and below a folder, oldest first. */
export function mountsBelow(folder: string): string[] {
  return mountTable()
    .map(({ path }) => path)
    .filter((path) => path === folder || path.startsWith(`${folder}/`));
}

/** The device mounted at a path. */
export function mountedDevice(path: string): string | null {
  return mountTable().findLast((mount) => mount.path === path)?.source ?? null;
}

function mountTable(): { readonly path: string; readonly source: string }[] {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  return lines
    .filter((line) => line !== "")
    .map((line) => {
      const [before = "", after = ""] = line.split(" - ");
      return { path: plainPath(before.split(" ")[4] ?? ""), source: after.split(" ")[1] ?? "" };
    });
}

/** The kernel writes blanks in paths as octal. */
const plainPath = (text: string): string =>
  text.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

function loopDevicesOf(folder: string): string[] {
  const { stdout } = spawnSync("losetup", ["--list", "--noheadings", "--raw", "--output", "NAME,BACK-FILE"], { encoding: "utf8" });
  return stdout.split("\n").flatMap((line) => {
    const [device = "", file = ""] = line.split(" ");
    return file.startsWith(`${folder}/`) ? [device] : [];
  });
}

function watchProcess(): void {
  if (watching) return;
  watching = true;
  process.on("exit", () => {
    for (const folder of live) releaseFolder(folder);
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(1));
}

const isAlive = (owner: string): boolean => owner !== "" && identity(Number(owner.split(" ")[0])) === owner;

/** Process id and start time: ids alone come again. */
function identity(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return `${pid} ${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]}`;
  } catch {
    return null;
  }
}
