import { nativeAsync } from "./engine.ts";
import type { FolderEntry, NativeFiles, SegmentBrief, UnreadFile } from "./types.ts";

/** `NativeFiles` with its texts parsed. */
export interface EngineFiles extends Omit<NativeFiles, "readSegments" | "listFolder"> {
  readSegments(directory: string, names: readonly string[]): Promise<readonly (SegmentBrief | UnreadFile)[]>;
  listFolder(directory: string): Promise<readonly FolderEntry[]>;
}

/** The addon's file steps with its errors mapped to `RecorderError`. */
export function engineFiles(files: NativeFiles): EngineFiles {
  return {
    scanSegment: (path, bytesPerSecond) => nativeAsync(() => files.scanSegment(path, bytesPerSecond)),
    readSegment: (path) => nativeAsync(() => files.readSegment(path)),
    readSegments: async (directory, names) => JSON.parse(await nativeAsync(() => files.readSegments(directory, names))),
    listFolder: async (directory) => JSON.parse(await nativeAsync(() => files.listFolder(directory))),
    recoverSegment: (path) => nativeAsync(() => files.recoverSegment(path)),
    renameDurable: (from, to) => nativeAsync(() => files.renameDurable(from, to)),
    removeDurable: (path, pruneDirectory) => nativeAsync(() => files.removeDurable(path, pruneDirectory)),
    appendDurable: (path, line) => nativeAsync(() => files.appendDurable(path, line)),
    freeSpace: (path) => nativeAsync(() => files.freeSpace(path)),
  };
}
