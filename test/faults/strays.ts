import { stat } from "node:fs/promises";
import { parseOpenName } from "../../src/store/paths.ts";
import type { Box, ListedRow } from "../e2e/box.ts";
import { segmentFiles } from "../e2e/segments.ts";

/** Files and rows without each other. All must be empty once start is over. */
export interface Strays {
  /** Segments that a process before this one left growing. */
  readonly leftOpen: readonly string[];
  /** Closed files that no listing names. */
  readonly withoutRow: readonly string[];
  /** Rows of closed segments that have no file. */
  readonly withoutFile: readonly string[];
}

/** Compares the roots of a running service with its listing. What opens, closes or goes meanwhile is no stray. */
export async function findStrays(box: Box, serveStartedUtcMs: number): Promise<Strays & { readonly rows: readonly ListedRow[] }> {
  const before = await filesOf(box);
  const rows = (await box.list()).filter((row) => row.kind === "segment");
  const after = new Set(await filesOf(box));
  const stood = before.filter((path) => after.has(path));
  const listed = new Set(rows.map((row) => row.path));
  const leftOpen: string[] = [];
  for (const path of stood.filter((candidate) => parseOpenName(candidate.slice(candidate.lastIndexOf("/") + 1)) !== null)) {
    const file = await stat(path).catch(() => null);
    if (file !== null && file.birthtimeMs < serveStartedUtcMs) leftOpen.push(path);
  }
  const withoutRow = stood.filter((path) => path.endsWith(".mp4") && !listed.has(path));
  const missing = rows.filter(
    (row) => row.state === "closed" && row.path !== undefined && !before.includes(row.path) && !after.has(row.path),
  );
  if (missing.length === 0) return { leftOpen, withoutRow, withoutFile: [], rows };
  const again = new Set((await box.list()).map((row) => row.path));
  return { leftOpen, withoutRow, withoutFile: missing.flatMap(({ path = "" }) => (again.has(path) ? [path] : [])), rows };
}

async function filesOf(box: Box): Promise<string[]> {
  return (await Promise.all(box.roots.map((root) => segmentFiles(root)))).flat();
}

/** As sentences. */
export function strayLines({ leftOpen, withoutRow, withoutFile }: Strays): string[] {
  return [
    ...leftOpen.map((path) => `left growing: ${path}`),
    ...withoutRow.map((path) => `without a row: ${path}`),
    ...withoutFile.map((path) => `without a file: ${path}`),
  ];
}
