// Usage: bun test/checks/static.ts levels|docs|licences. Prints what it finds, one a line; exit code 1 where there is something.
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { CLI_COMMANDS } from "../../src/cli/run.ts";
import { buildVerbs, checkDocs } from "./docs.ts";
import { checkTree, type Finding } from "./levels.ts";
import { checkLicences, type Licensed } from "./licences.ts";
import { readTree } from "./read-tree.ts";
import { checkPurity } from "./rust-purity.ts";

const REPOSITORY = resolve(import.meta.dir, "..", "..");

/** Packages that state their licence in another way than by the field `license`; looked at by hand. */
const STATED_ELSEWHERE: ReadonlyMap<string, string> = new Map([["systemd-notify", "MIT"]]);

const CHECKS: Readonly<Record<string, () => Finding[]>> = {
  levels: () => [
    ...prefixed("src", checkTree(readTree(join(REPOSITORY, "src"), ".ts"))),
    ...prefixed("native/media/src", checkPurity(readTree(join(REPOSITORY, "native", "media", "src"), ".rs"))),
  ],
  docs: () => {
    const paths = trackedPaths();
    const pages = [...paths].filter((path) => path.endsWith(".md"));
    return checkDocs(new Map(pages.map((path) => [path, readFileSync(join(REPOSITORY, path), "utf8")])), {
      paths,
      verbs: buildVerbs(readFileSync(join(REPOSITORY, "build.sh"), "utf8")),
      commands: new Set(CLI_COMMANDS.map(({ words }) => words.join(" "))),
    });
  },
  licences: () => [...checkLicences(npmPackages(), "package-lock.json"), ...checkLicences(crates(), "native/Cargo.lock")],
};

const prefixed = (folder: string, findings: readonly Finding[]): Finding[] =>
  findings.map((finding) => ({ ...finding, path: `${folder}/${finding.path}` }));

/** Files of the repository, known to git or about to be, and their folders. */
function trackedPaths(): Set<string> {
  const listed = run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], REPOSITORY);
  const paths = new Set<string>([""]);
  for (const path of listed.split("\n").filter((line) => line !== "")) {
    const parts = path.split("/");
    parts.forEach((_, index) => {
      paths.add(parts.slice(0, index + 1).join("/"));
    });
  }
  return paths;
}

function npmPackages(): Licensed[] {
  const lock = JSON.parse(readFileSync(join(REPOSITORY, "package-lock.json"), "utf8")) as {
    packages: Record<string, { license?: string }>;
  };
  return Object.entries(lock.packages).map(([path, { license }]) => {
    const name = path.split("node_modules/").at(-1) ?? path;
    return { name, licence: license ?? STATED_ELSEWHERE.get(name) ?? null };
  });
}

function crates(): Licensed[] {
  const metadata = JSON.parse(run(["cargo", "metadata", "--format-version", "1", "--locked"], join(REPOSITORY, "native"))) as {
    packages: { name: string; license: string | null }[];
  };
  return metadata.packages.map(({ name, license }) => ({ name, licence: license }));
}

function run(command: string[], cwd: string): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { cwd });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: exit code ${exitCode}: ${stderr}`);
  return stdout.toString();
}

const name = process.argv[2] ?? "";
const check = CHECKS[name];
if (check === undefined) {
  console.error(`static.ts: no check '${name}'; there is: ${Object.keys(CHECKS).join(", ")}`);
  process.exit(2);
}
const findings = check();
for (const { path, line, message } of findings) console.error(`${path}${line === null ? "" : `:${line}`}: ${message}`);
process.exitCode = findings.length === 0 ? 0 : 1;
