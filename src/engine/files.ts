import { nativeAsync } from "./engine.ts";
import type { NativeFiles } from "./types.ts";

/** The addon's file steps with its errors mapped to `RecorderError`. */
export function engineFiles(files: NativeFiles): NativeFiles {
  return {
    scanSegment: (path, bytesPerSecond) => nativeAsync(() => files.scanSegment(path, bytesPerSecond)),
    readSegment: (path) => nativeAsync(() => files.readSegment(path)),
    recoverSegment: (path) => nativeAsync(() => files.recoverSegment(path)),
    renameDurable: (from, to) => nativeAsync(() => files.renameDurable(from, to)),
    removeDurable: (path, pruneDirectory) => nativeAsync(() => files.removeDurable(path, pruneDirectory)),
    appendDurable: (path, line) => nativeAsync(() => files.appendDurable(path, line)),
    freeSpace: (path) => nativeAsync(() => files.freeSpace(path)),
  };
}
