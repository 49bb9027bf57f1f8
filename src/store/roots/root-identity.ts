import type { RootInspection } from "../../engine/types.ts";
import { parseStreamName } from "../paths.ts";

/** What `state.db` holds of a configured path. */
export interface RememberedRoot {
  /** Of the root that was open there last. */
  readonly uuid: string;
  /** Where the file system of that root began. */
  readonly mountPoint: string;
}

/** What may be known of the disk behind a path. */
export interface KnownRoots {
  readonly serial: string;
  readonly remembered: RememberedRoot | null;
  /** Every root that this box has ever recorded to. */
  readonly uuids: ReadonlySet<string>;
}

export type Verdict =
  /** A root of ours, at whatever path it was before. */
  | { readonly kind: "ours"; readonly uuid: string }
  /** No marker. It gets this one, or a new one where null. */
  | { readonly kind: "unmarked"; readonly uuid: string | null }
  /** Nothing that may be written; why, as a sentence for people. */
  | { readonly kind: "refused"; readonly reason: string };

/**
 * Whether the directory behind a configured path is one to record to.
 * @param folders names in it; [] where there is no directory
 */
export function recognise(path: string, found: RootInspection, folders: readonly string[], known: KnownRoots): Verdict {
  const { remembered, serial } = known;
  // Both are `path` or above it: the longer one is further down.
  if (remembered !== null && remembered.mountPoint.length > found.mountPoint.length) {
    return refused(`nothing is mounted at ${remembered.mountPoint}: ${path} would be on the file system of ${found.mountPoint}`);
  }
  const { marker } = found;
  if (marker !== null) {
    if (marker.serial === serial || known.uuids.has(marker.id)) return { kind: "ours", uuid: marker.id };
    return refused(`the disk at ${path} belongs to ${marker.serial}, this box is ${serial}`);
  }
  const serials = new Set(folders.map((name) => parseStreamName(name)?.serial).filter((name) => name !== undefined));
  if (serials.size > 0 && !serials.has(serial)) {
    return refused(`the disk at ${path} holds recordings of ${[...serials].slice(0, 3).join(", ")}, this box is ${serial}`);
  }
  // Recordings without a marker are those that were here, if any were: the marker has been lost.
  return { kind: "unmarked", uuid: serials.size > 0 ? (remembered?.uuid ?? null) : null };
}

const refused = (reason: string): Verdict => ({ kind: "refused", reason });
