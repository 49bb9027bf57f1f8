import { join } from "node:path";
import type { SegmentHead } from "../engine/types.ts";
import { exists, type Root, type StoreContext, sizeOf } from "./context.ts";
import { parseOpenName } from "./paths.ts";
import type { StreamPlace } from "./types.ts";

/**
 * Start 4, also used for a file the writer gave up: trims to the last whole fragment and seals, then goes on as Close 4 to 6.
 * A file without a whole fragment is removed; one whose stream nobody knows is left.
 */
export async function saveOpenFile(
  context: StoreContext,
  root: Root,
  name: string,
  file: string,
  placeOf: (head: SegmentHead) => Promise<StreamPlace | null>,
): Promise<"saved" | "removed" | "left"> {
  const { files, catalog, names } = context;
  const path = join(root.path, name, file);
  const scan = await files.recoverSegment(root.handle, path);
  const last = scan.fragments.at(-1);
  const { head } = scan;
  if (head === null || last === undefined) {
    const id = parseOpenName(file.slice(file.indexOf("/") + 1));
    await files.removeDurable(root.handle, path, true);
    if (id !== null) await catalog.dropSegment(id);
    return "removed";
  }
  const place = await placeOf(head);
  if (place === null) return "left";
  const startUtcMs = head.startUtcMs + (await catalog.runShiftMs(head.run));
  const final = await names.hold(root, name, startUtcMs, scan.durationMs);
  try {
    await files.renameDurable(root.handle, path, join(root.path, name, final.file));
    const sealed = await files.readSegment(join(root.path, name, final.file));
    await enterFile(context, root, place, sealed, final.file);
  } finally {
    final.release();
  }
  return "saved";
}

/** Saves what a writer gave up: renamed already if only the last steps of the close failed, else as start would find it. */
export async function saveFailed(
  context: StoreContext,
  root: Root,
  place: StreamPlace,
  file: string,
  finalFile: string | null,
): Promise<void> {
  const folder = join(root.path, place.name);
  if (finalFile !== null && !(await exists(join(folder, file)))) {
    const head = await context.files.readSegment(join(folder, finalFile));
    await enterFile(context, root, place, head, finalFile);
    return;
  }
  await saveOpenFile(context, root, place.name, file, async () => place);
}

/** Close 6 for a file that is finished: its row, from what the file says. */
export async function enterFile(context: StoreContext, root: Root, place: StreamPlace, head: SegmentHead, file: string): Promise<void> {
  const { camera, stream, channel, name } = place;
  const { run, sequence, startUtcMs, startMonoMs, clockTrusted, crc64, blake3 } = head;
  const bytes = (await sizeOf(join(root.path, name, file))) ?? head.bytes;
  await context.catalog.closeSegment({ camera, stream, channel, name, run, startUtcMs, startMonoMs, clockTrusted, boot: null }, sequence, {
    root: root.id,
    file,
    startUtcMs,
    endUtcMs: head.endUtcMs ?? startUtcMs,
    bytes,
    crc64,
    blake3,
  });
}
