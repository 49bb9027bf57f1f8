import { dirname, posix } from "node:path";
import { scanImports } from "./imports.ts";

/** One broken rule: where, and what is wrong there. */
export interface Finding {
  readonly path: string;
  /** 1-based; null where the finding is about the whole file. */
  readonly line: number | null;
  readonly message: string;
}

/** The levels of `src`, lowest first. An import points to a lower level or stays in its own folder. */
const LEVELS: readonly (readonly string[])[] = [
  ["base"],
  ["config", "media", "plan", "hls"],
  ["engine"],
  ["store", "rtsp", "onvif"],
  ["timeline", "playback", "live", "push", "sync"],
  ["recording", "ledger", "retention"],
  ["commands"],
  ["control", "http", "cli"],
  ["app.ts"],
  ["main.ts"],
];

const LEVEL = new Map(LEVELS.flatMap((names, level) => names.map((name) => [name, level] as const)));

/** Packages that one folder alone may use. */
const OWNERS: ReadonlyMap<string, string> = new Map([
  ["sqlite3", "store"],
  ["mqtt", "control"],
  ["ali-oss", "sync"],
]);

/** How native code gets into the process; only `engine` does that. */
const NATIVE = /\bcreateRequire\b|\bprocess\s*\.\s*dlopen\b|\.node["'`]/;

/**
 * Checks a tree of TypeScript sources.
 * @param files source text by path below `src`, with forward slashes
 */
export function checkTree(files: ReadonlyMap<string, string>): Finding[] {
  const findings: Finding[] = [];
  const graph = new Map<string, readonly string[]>();
  for (const [path, source] of files) {
    const part = partOf(path);
    if (!LEVEL.has(part)) findings.push({ path, line: null, message: `${part} has no level; the known ones are in test/checks/levels.ts` });
    if (part !== "engine" && NATIVE.test(source)) {
      findings.push({ path, line: null, message: "loads native code; only engine/ loads the addon" });
    }
    const targets: string[] = [];
    for (const { specifier, line } of scanImports(source)) {
      const problem = specifier === null ? "imports a computed path, which cannot be checked" : checkImport(path, specifier);
      if (problem !== null) findings.push({ path, line, message: problem });
      if (specifier?.startsWith(".")) targets.push(resolveFrom(path, specifier));
    }
    graph.set(
      path,
      targets.filter((target) => files.has(target)),
    );
  }
  for (const cycle of findCycles(graph)) {
    findings.push({ path: cycle[0] ?? "", line: null, message: `import cycle: ${[...cycle, cycle[0]].join(" → ")}` });
  }
  return findings;
}

function checkImport(path: string, specifier: string): string | null {
  const part = partOf(path);
  if (!specifier.startsWith(".")) {
    const name = specifier.startsWith("@") ? specifier.split("/").slice(0, 2).join("/") : (specifier.split("/")[0] ?? specifier);
    const owner = OWNERS.get(name);
    return owner === undefined || owner === part ? null : `imports ${name}, which only ${owner}/ may use`;
  }
  const target = resolveFrom(path, specifier);
  if (target === "../package.json") return null;
  if (target.startsWith("../")) return `imports ${specifier}, which is outside src`;
  const targetPart = partOf(target);
  if (targetPart === part) return null;
  const from = LEVEL.get(part);
  const to = LEVEL.get(targetPart);
  if (from === undefined || to === undefined) return `imports ${targetPart}, and one of ${part} and ${targetPart} has no level`;
  if (to > from) return `imports ${target}: up from ${part} to ${targetPart}`;
  if (to === from) return `imports ${target}: sideways from ${part} to ${targetPart}`;
  return null;
}

/** The folder a path belongs to, or the file itself at the top. */
const partOf = (path: string): string => path.split("/")[0] ?? path;

const resolveFrom = (path: string, specifier: string): string => posix.join(dirname(path), specifier);

/** One shortest cycle for every group of files that reach each other. */
function findCycles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const cycles: string[][] = [];
  const covered = new Set<string>();
  for (const start of [...graph.keys()].sort()) {
    if (covered.has(start)) continue;
    const cycle = shortestCycle(graph, start);
    if (cycle === null) continue;
    for (const path of cycle) covered.add(path);
    cycles.push(cycle);
  }
  return cycles;
}

function shortestCycle(graph: ReadonlyMap<string, readonly string[]>, start: string): string[] | null {
  const cameFrom = new Map<string, string>();
  const queue = [start];
  for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
    for (const target of graph.get(path) ?? []) {
      if (target === start) {
        const cycle = [path];
        for (let back = cameFrom.get(path); back !== undefined; back = cameFrom.get(back)) cycle.unshift(back);
        return cycle;
      }
      if (cameFrom.has(target)) continue;
      cameFrom.set(target, path);
      queue.push(target);
    }
  }
  return null;
}
