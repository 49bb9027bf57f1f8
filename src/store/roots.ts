import { join, relative, resolve, sep } from "node:path";
import { RecorderError } from "../base/errors.ts";
import { streamKeyText } from "../media/types.ts";
import type { Root } from "./context.ts";
import { parseStreamName } from "./paths.ts";
import type { StreamPlace } from "./types.ts";

/** Which stream records on which root. */
export class Roots {
  readonly #roots: readonly Root[];
  readonly #assigned = new Map<string, number>();

  constructor(roots: readonly Root[]) {
    this.#roots = roots;
  }

  /** A stream keeps the root it got first; new ones go to the root with the fewest. */
  of(place: StreamPlace): Root {
    const key = streamKeyText(place);
    const known = this.#assigned.get(key);
    if (known !== undefined) return this.at(known);
    const load = this.#roots.map(() => 0);
    for (const index of this.#assigned.values()) load[index] = (load[index] ?? 0) + 1;
    const index = load.indexOf(Math.min(...load));
    this.#assigned.set(key, index);
    return this.at(index);
  }

  /** A root by its index in the configuration. */
  at(index: number): Root {
    const root = this.#roots[index];
    if (root === undefined) {
      throw new RecorderError("INPUT_INVALID", `root ${index} is not configured, there are ${this.#roots.length}`, { root: index });
    }
    return root;
  }

  /** Takes the path of a stream's file on an open root apart; refuses one that is not in a day folder of this stream. */
  locate(place: StreamPlace, handle: number, path: string): { readonly root: Root; readonly file: string } {
    assertName(place);
    const root = this.#roots.find((candidate) => candidate.handle === handle);
    if (root === undefined) throw new RecorderError("INPUT_INVALID", `root ${handle} was never opened`, { root: handle });
    const folder = join(root.path, place.name);
    const file = relative(folder, resolve(path));
    if (file.startsWith("..") || file.split(sep).length !== 2) {
      throw new RecorderError("INPUT_INVALID", `${path} is not in a day folder of ${folder}`, { path });
    }
    return { root, file };
  }
}

/** Folder names come from outside this folder: nothing but the form of paths.ts may become a path. */
export function assertName(place: StreamPlace): void {
  const parsed = parseStreamName(place.name);
  if (parsed?.channel === place.channel && parsed.stream === place.stream) return;
  const message = `"${place.name}" is not the folder name of channel ${place.channel}, ${place.stream}: <Serial>_<Channel>[_sub]`;
  throw new RecorderError("INPUT_INVALID", message, { name: place.name });
}
