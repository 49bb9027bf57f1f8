import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { AlarmCode } from "../../src/base/alarms.ts";
import { runProgram, sleepMs, until } from "../e2e/box.ts";
import type { BlockDevice } from "./disks/block-device.ts";
import type { DeviceMode } from "./disks/block-server.ts";
import { command, type DiskRig, type Mount } from "./disks/disk-rig.ts";
import { failCall } from "./fail-call.ts";

/** Where a fault is made. */
export interface FaultPlace {
  readonly rig: DiskRig;
  readonly device: BlockDevice;
  /** The recorder. */
  readonly pid: number;
  /** The file system with the root, from `device`; replaced when it is mounted again. */
  mount: Mount;
}

/** A fault that has begun. */
export interface Fault {
  /** When something of the recorder met it; before that nobody can know. */
  readonly metUtcMs: number;
  /** Ends it; resolves with when that was begun. Without it the fault ended by itself when it was met. */
  readonly end?: () => Promise<number>;
}

/** A line of the table. */
export interface FaultRow {
  readonly name: string;
  /** The alarm that must be raised; null where nothing is to be told. */
  readonly alarm: AlarmCode | null;
  /** Alarms that must be up as well before the fault ends. */
  readonly also?: readonly AlarmCode[];
  /** How long the disk may be at it before it is told that it is slow. */
  readonly patienceMs?: number;
  /** How long a fault lasts that does not end by itself. */
  readonly lastsMs: number;
  /** More than the RAM can hold: pictures are missing, and it is told. */
  readonly loses?: boolean;
  /** A step fails: what a file that had just ended did not hold yet, a fragment at most, is dropped, since younger media is in the next one. */
  readonly mayLoseTail?: boolean;
  /** A second root takes over: recording goes on from when the fault is met. */
  readonly roots?: 1 | 2;
  /** Every so many calls that write write but a part. */
  readonly shortWrites?: number;
  /** The ring deletes for it. */
  readonly deletes?: boolean;
  readonly begin: (place: FaultPlace) => Promise<Fault>;
}

const LASTS_MS = 3000;
/** A tenth of what the writer's shortest step takes. */
const LOOK_MS = 20;
/** Room that a stranger leaves. */
const LEFT_BYTES = 24 << 20;

/** Item 2 of the proof. */
export const FAULT_ROWS: readonly FaultRow[] = [
  { name: "EIO on a write, once", alarm: "disk-fault", mayLoseTail: true, lastsMs: 0, begin: callFails("pwritev", "EIO") },
  { name: "EIO on a sync, once", alarm: "disk-fault", mayLoseTail: true, lastsMs: 0, begin: callFails("fdatasync", "EIO") },
  { name: "ENOSPC on a write, once", alarm: null, mayLoseTail: true, lastsMs: 0, begin: callFails("pwritev", "ENOSPC") },
  { name: "every second write is short", alarm: null, lastsMs: 10_000, shortWrites: 2, begin: goesOn },
  { name: "device fails writes", alarm: "disk-fault", mayLoseTail: true, lastsMs: LASTS_MS, begin: deviceFails({ writes: true }) },
  { name: "device fails flushes", alarm: "disk-fault", mayLoseTail: true, lastsMs: LASTS_MS, begin: deviceFails({ flushes: true }) },
  {
    name: "device fails one write",
    alarm: "disk-fault",
    mayLoseTail: true,
    lastsMs: LASTS_MS,
    begin: deviceFails({ writes: true, once: true }),
  },
  {
    name: "device fails one flush",
    alarm: "disk-fault",
    mayLoseTail: true,
    lastsMs: LASTS_MS,
    begin: deviceFails({ flushes: true, once: true }),
  },
  {
    name: "device is gone",
    alarm: "disk-fault",
    mayLoseTail: true,
    lastsMs: LASTS_MS,
    begin: deviceFails({ reads: true, writes: true, flushes: true }),
  },
  { name: "file system turns read-only", alarm: "disk-fault", mayLoseTail: true, lastsMs: LASTS_MS, begin: readOnly },
  { name: "root vanishes", alarm: "root-missing", lastsMs: LASTS_MS, begin: vanish },
  { name: "a stranger takes room that deleting gives", alarm: null, lastsMs: LASTS_MS, deletes: true, begin: fill(LEFT_BYTES, false) },
  { name: "a stranger takes all room", alarm: "disk-full", mayLoseTail: true, lastsMs: LASTS_MS, deletes: true, begin: fill(0, true) },
  { name: "stall of 10 s", alarm: "disk-slow", patienceMs: 500, lastsMs: 10_000, begin: stall },
  { name: "stall of 60 s", alarm: "disk-slow", also: ["media-dropped"], patienceMs: 500, lastsMs: 60_000, loses: true, begin: stall },
  {
    name: "two roots, one fails",
    alarm: "disk-fault",
    mayLoseTail: true,
    lastsMs: LASTS_MS,
    roots: 2,
    begin: deviceFails({ writes: true, flushes: true }),
  },
  { name: "two roots, one vanishes", alarm: "root-missing", lastsMs: LASTS_MS, roots: 2, begin: vanish },
];

/** The writer's next call of this name fails, and has done nothing. */
function callFails(call: string, error: string): FaultRow["begin"] {
  return async ({ pid }) => ({ metUtcMs: await failCall(writerThread(pid), call, error) });
}

/** It is there from the start. */
async function goesOn(): Promise<Fault> {
  return { metUtcMs: Date.now(), end: async () => Date.now() };
}

/** The newest writer; a root that was entered again has another one. */
function writerThread(pid: number): number {
  const folder = `/proc/${pid}/task`;
  const threads = readdirSync(folder)
    .map(Number)
    .filter((id) => readFileSync(`${folder}/${id}/comm`, "utf8").startsWith("easyrms-write"));
  return Math.max(...threads);
}

function deviceFails(what: Omit<Extract<DeviceMode, { mode: "error" }>, "mode">): FaultRow["begin"] {
  return async (place) => {
    await place.device.order({ mode: "error", ...what });
    const metUtcMs = await met(place.device);
    return {
      metUtcMs,
      end: async () => {
        await place.device.order({ mode: "ok" });
        // A file system whose own blocks failed can be read at most until it is mounted anew.
        return what.once === true && isWritable(place.mount.folder) ? metUtcMs : mountAgain(place, "umount");
      },
    };
  };
}

/** Whether the file system takes writes. What the kernel shows of one that gave up by itself differs from version to version. */
function isWritable(folder: string): boolean {
  const probe = join(folder, "probe");
  try {
    writeFileSync(probe, "");
    rmSync(probe);
    return true;
  } catch {
    return false;
  }
}

async function stall({ device }: FaultPlace): Promise<Fault> {
  await device.order({ mode: "stalled" });
  const metUtcMs = await met(device);
  return {
    metUtcMs,
    end: async () => {
      const endUtcMs = Date.now();
      await device.order({ mode: "ok" });
      return endUtcMs;
    },
  };
}

async function met(device: BlockDevice): Promise<number> {
  for (;;) {
    const { metUtcMs } = await device.order({ counters: true });
    if (metUtcMs !== null) return metUtcMs;
    await sleepMs(LOOK_MS);
  }
}

/** What the kernel does with a journal that it cannot write. */
async function readOnly(place: FaultPlace): Promise<Fault> {
  const metUtcMs = Date.now();
  await command("mount", "-o", "remount,abort", place.mount.folder);
  return { metUtcMs, end: () => mountAgain(place, "umount") };
}

/** As if the disk was pulled: its path leads to what lies below. */
async function vanish(place: FaultPlace): Promise<Fault> {
  const metUtcMs = Date.now();
  await command("umount", "--lazy", place.mount.folder);
  return { metUtcMs, end: () => mountAgain(place, "nothing") };
}

/** Mounts the device anew, once the recorder has let go of it. Resolves with when it began to. */
async function mountAgain(place: FaultPlace, before: "umount" | "nothing"): Promise<number> {
  const { device, mount, rig } = place;
  if (before === "umount") {
    await until("the file system to be let go", async () => ((await runProgram("umount", [mount.folder])).code === 0 ? true : null));
  }
  await until("the loop device to be let go", async () => ((await command("losetup", "--associated", device.file)) === "" ? true : null));
  const endUtcMs = Date.now();
  place.mount = await rig.mount(device.file, mount.folder.slice(rig.folder.length + 1));
  return endUtcMs;
}

/** A file that is not ours takes all but so many bytes; what the ring deletes for that as well where `greedy`. */
function fill(leftBytes: number, greedy: boolean): FaultRow["begin"] {
  return async ({ mount }) => {
    const stranger = join(mount.folder, "stranger.bin");
    let [taken, filling] = [0, true];
    const take = async () => {
      const [, available = "0"] = (await command("df", "--output=avail", "--block-size=1", mount.folder)).split("\n");
      const bytes = Number(available) - leftBytes;
      if (bytes <= 0) return;
      await runProgram("fallocate", ["--offset", String(taken), "--length", String(bytes), stranger]);
      taken += bytes;
    };
    const metUtcMs = Date.now();
    await take();
    const growing = (async () => {
      for (; greedy && filling; await sleepMs(LOOK_MS)) await take();
    })();
    return {
      metUtcMs,
      end: async () => {
        filling = false;
        await growing;
        const endUtcMs = Date.now();
        await rm(stranger);
        return endUtcMs;
      },
    };
  };
}
