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
    inspectRoot: (path) => nativeAsync(() => files.inspectRoot(path)),
    adoptRoot: (path, inspected, id, serial) => nativeAsync(() => files.adoptRoot(path, inspected, id, serial)),
    openRoot: (path, id) => nativeAsync(() => files.openRoot(path, id)),
    closeRoot: (root) => nativeAsync(() => files.closeRoot(root)),
    checkRoot: (root) => nativeAsync(() => files.checkRoot(root)),
    testRoot: (root) => nativeAsync(() => files.testRoot(root)),
    scanSegment: (path, bytesPerSecond) => nativeAsync(() => files.scanSegment(path, bytesPerSecond)),
    readSegment: (path) => nativeAsync(() => files.readSegment(path)),
    readSegments: async (directory, names) => JSON.parse(await nativeAsync(() => files.readSegments(directory, names))),
    listFolder: async (directory) => JSON.parse(await nativeAsync(() => files.listFolder(directory))),
    recoverSegment: (root, path) => nativeAsync(() => files.recoverSegment(root, path)),
    renameDurable: (root, from, to) => nativeAsync(() => files.renameDurable(root, from, to)),
    removeDurable: (root, path, pruneDirectory) => nativeAsync(() => files.removeDurable(root, path, pruneDirectory)),
    appendDurable: (root, path, line) => nativeAsync(() => files.appendDurable(root, path, line)),
    freeSpace: (root) => nativeAsync(() => files.freeSpace(root)),
  };
}
