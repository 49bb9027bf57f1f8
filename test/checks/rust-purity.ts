import type { Finding } from "./levels.ts";

/** Parts of std, and crates, with which a parser could do I/O, read a clock or know who calls it. */
const FORBIDDEN = ["net", "fs", "time", "thread", "process", "env"];
const FORBIDDEN_CRATES = ["napi", "napi_derive", "mio", "socket2", "libc", "tokio", "rustix"];

const STD_PATH = new RegExp(`\\bstd::(?:${FORBIDDEN.join("|")})\\b`);
const STD_GROUP = new RegExp(`\\bstd::\\{[^;]*\\b(?:${FORBIDDEN.join("|")})\\b[^;]*;`);
const CRATE_PATH = new RegExp(`\\b(?:${FORBIDDEN_CRATES.join("|")})::`);

/**
 * `native/media` is pure: no I/O, no clock, no threads, no napi. Its inline tests, at the end of a file, may do more.
 * @param files Rust sources of that crate by path
 */
export function checkPurity(files: ReadonlyMap<string, string>): Finding[] {
  const findings: Finding[] = [];
  for (const [path, source] of files) {
    const code = (source.split("#[cfg(test)]")[0] ?? "").replace(/\/\/[^\n]*/g, "");
    for (const pattern of [STD_PATH, STD_GROUP, CRATE_PATH]) {
      const match = pattern.exec(code);
      if (match === null) continue;
      const line = code.slice(0, match.index).split("\n").length;
      findings.push({ path, line, message: `${match[0].trim()}: native/media does no I/O and reads no clock` });
    }
  }
  return findings;
}
