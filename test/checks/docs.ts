import { posix } from "node:path";
import type { Finding } from "./levels.ts";

/** What the pages may speak of. */
export interface Tree {
  /** Every file and folder of the repository, by path from its top. */
  readonly paths: ReadonlySet<string>;
  /** Verbs of build.sh. */
  readonly verbs: ReadonlySet<string>;
  /** Commands of easyrms, each as its words: `camera add`. */
  readonly commands: ReadonlySet<string>;
}

/**
 * Checks that relative links lead somewhere, and that every `./build.sh VERB` and `easyrms COMMAND` a page quotes exists.
 * @param pages Markdown text by path from the top of the repository
 */
export function checkDocs(pages: ReadonlyMap<string, string>, tree: Tree): Finding[] {
  const findings: Finding[] = [];
  for (const [path, text] of pages) {
    text.split("\n").forEach((content, index) => {
      for (const message of [...checkLinks(path, content, tree), ...checkQuotes(content, tree)]) {
        findings.push({ path, line: index + 1, message });
      }
    });
  }
  return findings;
}

function* checkLinks(path: string, content: string, tree: Tree): Generator<string> {
  for (const [, link = ""] of content.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(link) || link.startsWith("#")) continue;
    const target = posix.join(posix.dirname(path), link.split("#")[0] ?? "").replace(/\/$/, "");
    if (!tree.paths.has(target)) yield `links to ${link}, which does not exist`;
  }
}

function* checkQuotes(content: string, tree: Tree): Generator<string> {
  for (const [, verb = ""] of content.matchAll(/\.\/build\.sh +([a-z]+)/g)) {
    if (!tree.verbs.has(verb)) yield `quotes ./build.sh ${verb}, which does not exist`;
  }
  // A quoted command starts a code span or follows the launcher; prose that merely names easyrms is not one.
  for (const [, first = "", second = ""] of content.matchAll(/(?:`|dist\/)easyrms +([a-z]+)(?: +([a-z]+))?/g)) {
    if (!tree.commands.has(first) && !tree.commands.has(`${first} ${second}`)) {
      yield `quotes easyrms ${first}${second === "" ? "" : ` ${second}`}, which does not exist`;
    }
  }
}

/** Verbs of build.sh: the words before `)` in the `case` of its `main`. */
export function buildVerbs(script: string): Set<string> {
  const main = script.slice(script.indexOf("main() {"));
  return new Set([...main.matchAll(/^ {4}([a-z]+)(?: \|[^)]*)?\)/gm)].map(([, verb = ""]) => verb));
}
