import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The files below `root` whose name ends in `suffix`, by path from `root`, in order. */
export function readTree(root: string, suffix: string): Map<string, string> {
  const paths = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(suffix))
    .map((entry) => join(entry.parentPath, entry.name).slice(join(root, "/").length))
    .sort();
  return new Map(paths.map((path) => [path, readFileSync(join(root, path), "utf8")]));
}
