import { nativeAsync } from "./engine.ts";
import type { FolderEntry, NativeFiles, SegmentBrief, SegmentScan, UnreadFile } from "./types.ts";

/** `NativeFiles` with its texts parsed, and scans at the caller's pace. */
export interface EngineFiles
  extends Omit<NativeFiles, "readSegments" | "listFolder" | "scanSegment" | "openScan" | "stepScan" | "closeScan"> {
  /** `rest` is awaited between pieces of 1 MiB; where it rejects the scan is given up. */
  scanSegment(path: string, rest: () => Promise<void>): Promise<SegmentScan>;
  readSegments(directory: string, names: readonly string[]): Promise<readonly (SegmentBrief | UnreadFile)[]>;
  listFolder(directory: string): Promise<readonly FolderEntry[]>;
}

/** Steps that change the same root at a time. */
const WIDTH = 2;
/** Read at a time by a scan: some 10 ms of a slow disk. */
const PIECE_BYTES = 1024 * 1024;

/**
 * The addon's file steps with its errors mapped to `RecorderError`. Few at a time change the same root, the others in order behind them: a
 * disk that hangs must not occupy all worker threads, which databases and other disks need too.
 */
export function engineFiles(files: NativeFiles): EngineFiles {
  const lanes = new RootLanes();
  return {
    inspectRoot: (path) => nativeAsync(() => files.inspectRoot(path)),
    adoptRoot: (path, inspected, id, serial) => nativeAsync(() => files.adoptRoot(path, inspected, id, serial)),
    openRoot: (path, id) => nativeAsync(() => files.openRoot(path, id)),
    closeRoot: (root) => nativeAsync(() => files.closeRoot(root)),
    checkRoot: (root) => nativeAsync(() => files.checkRoot(root)),
    testRoot: (root) => nativeAsync(() => files.testRoot(root)),
    scanSegment: (path, rest) => scanSegment(files, path, rest),
    readSegment: (path) => nativeAsync(() => files.readSegment(path)),
    readSegments: async (directory, names) => JSON.parse(await nativeAsync(() => files.readSegments(directory, names))),
    listFolder: async (directory) => JSON.parse(await nativeAsync(() => files.listFolder(directory))),
    recoverSegment: (root, path) => lanes.run(root, () => nativeAsync(() => files.recoverSegment(root, path))),
    renameDurable: (root, from, to) => lanes.run(root, () => nativeAsync(() => files.renameDurable(root, from, to))),
    removeDurable: (root, path, pruneDirectory) =>
      lanes.run(root, () => nativeAsync(() => files.removeDurable(root, path, pruneDirectory))),
    appendDurable: (root, path, line) => lanes.run(root, () => nativeAsync(() => files.appendDurable(root, path, line))),
    freeSpace: (root) => nativeAsync(() => files.freeSpace(root)),
  };
}

async function scanSegment(files: NativeFiles, path: string, rest: () => Promise<void>): Promise<SegmentScan> {
  const scan = await nativeAsync(() => files.openScan(path));
  try {
    for (;;) {
      const found = await nativeAsync(() => files.stepScan(scan, PIECE_BYTES));
      if (found !== null) return found;
      await rest();
    }
  } finally {
    files.closeScan(scan);
  }
}

/** Runs a bounded number of steps of each root. */
class RootLanes {
  readonly #lanes = new Map<number, { running: number; readonly waiting: (() => void)[] }>();

  async run<T>(root: number, step: () => Promise<T>): Promise<T> {
    const lane = this.#lanes.get(root) ?? { running: 0, waiting: [] };
    this.#lanes.set(root, lane);
    if (lane.running < WIDTH) lane.running += 1;
    else await new Promise<void>((resolve) => lane.waiting.push(resolve));
    try {
      return await step();
    } finally {
      // Who waits takes this one's place.
      const next = lane.waiting.shift();
      if (next !== undefined) next();
      else lane.running -= 1;
      if (lane.running === 0) this.#lanes.delete(root);
    }
  }
}
