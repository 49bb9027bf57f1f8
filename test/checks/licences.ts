import type { Finding } from "./levels.ts";

/** Licences a dependency may have, as SPDX identifiers. */
const ALLOWED = new Set([
  "0BSD",
  "Apache-2.0",
  "Apache-2.0 WITH LLVM-exception",
  "BlueOak-1.0.0",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "CC0-1.0",
  "ISC",
  "MIT",
  "MPL-2.0",
  "PSF-2.0",
  "Unicode-3.0",
  "Unlicense",
  "WTFPL",
  "Zlib",
]);

/** A package and the SPDX expression it declares; null where it declares none. */
export interface Licensed {
  readonly name: string;
  readonly licence: string | null;
}

export function checkLicences(packages: readonly Licensed[], path: string): Finding[] {
  return packages
    .filter(({ licence }) => licence === null || !isAllowed(licence))
    .map(({ name, licence }) => ({
      path,
      line: null,
      message: `${name} has the licence ${licence ?? "(none)"}, which is not on the list`,
    }));
}

/** Whether an SPDX expression can be satisfied with allowed licences. Cargo's old `A/B` means `A OR B`. */
export function isAllowed(expression: string): boolean {
  const tokens = expression.replaceAll("/", " OR ").match(/\(|\)|[^\s()]+/g) ?? [];
  let at = 0;
  const either = (): boolean => {
    let allowed = both();
    while (tokens[at] === "OR") {
      at++;
      const other = both();
      allowed ||= other;
    }
    return allowed;
  };
  const both = (): boolean => {
    let allowed = one();
    while (tokens[at] === "AND") {
      at++;
      const other = one();
      allowed &&= other;
    }
    return allowed;
  };
  const one = (): boolean => {
    if (tokens[at] === "(") {
      at++;
      const allowed = either();
      at++;
      return allowed;
    }
    let name = tokens[at++] ?? "";
    if (tokens[at] === "WITH") {
      name += ` WITH ${tokens[at + 1] ?? ""}`;
      at += 2;
    }
    return ALLOWED.has(name);
  };
  return either() && at === tokens.length;
}
