import { describe, expect, it } from "vitest";
import { buildVerbs, checkDocs } from "./docs.ts";
import { checkLicences, isAllowed } from "./licences.ts";
import { checkPurity } from "./rust-purity.ts";

describe("isAllowed", () => {
  it.each([
    ["MIT", true],
    ["(MIT OR GPL-3.0-only)", true],
    ["GPL-3.0-only OR MIT", true],
    ["MIT AND GPL-3.0-only", false],
    ["(MIT OR Apache-2.0) AND Unicode-3.0", true],
    ["MIT/Apache-2.0", true],
    ["Apache-2.0 WITH LLVM-exception OR GPL-2.0-only", true],
    ["GPL-2.0-only WITH Classpath-exception-2.0", false],
    ["AGPL-3.0-or-later", false],
    ["", false],
    ["MIT MIT", false],
  ])("%s: %s", (expression, allowed) => {
    expect(isAllowed(expression)).toBe(allowed);
  });

  it("names the package that fails", () => {
    const findings = checkLicences(
      [
        { name: "good", licence: "ISC" },
        { name: "viral", licence: "GPL-3.0-only" },
        { name: "silent", licence: null },
      ],
      "package-lock.json",
    );
    expect(findings.map(({ message }) => message)).toEqual([
      "viral has the licence GPL-3.0-only, which is not on the list",
      "silent has the licence (none), which is not on the list",
    ]);
  });
});

describe("checkPurity", () => {
  const lines = (source: string) => checkPurity(new Map([["x.rs", source]])).map(({ line }) => line);

  it("finds sockets, files, clocks and callers", () => {
    expect(lines("use core::fmt;\nuse std::net::TcpStream;")).toEqual([2]);
    expect(lines("use std::{\n  sync::Arc,\n  time::Instant,\n};")).toEqual([1]);
    expect(lines("let page = libc::mmap();")).toEqual([1]);
  });

  it("leaves comments, inline tests and what is pure alone", () => {
    expect(
      lines("// std::fs is for others\nuse std::sync::Arc;\nuse core::time::Duration;\n#[cfg(test)]\nmod tests { use std::fs; }"),
    ).toEqual([]);
  });
});

describe("checkDocs", () => {
  const tree = {
    paths: new Set(["", "README.md", "src", "src/store", "src/store/README.md", "build.sh"]),
    verbs: new Set(["demo", "test"]),
    commands: new Set(["serve", "camera add"]),
  };
  const check = (path: string, text: string) => checkDocs(new Map([[path, text]]), tree).map(({ line, message }) => `${line}: ${message}`);

  it("passes what exists", () => {
    expect(
      check(
        "src/store/README.md",
        "[top](../../README.md#why) [here](.) [web](https://example.org)\n`./build.sh demo` `easyrms camera add ID`",
      ),
    ).toEqual([]);
  });

  it("names what does not", () => {
    expect(check("README.md", "see [store](src/stores/)\n\n`./build.sh tests` or dist/easyrms record, the easyrms service")).toEqual([
      "1: links to src/stores/, which does not exist",
      "3: quotes ./build.sh tests, which does not exist",
      "3: quotes easyrms record, which does not exist",
    ]);
  });

  it("reads the verbs out of build.sh", () => {
    const script =
      "other() {\n    case $x in\n    nope)\n}\nmain() {\n    demo)\n      inner)\n    help | -h | --help) usage ;;\n    *)\n}";
    expect(buildVerbs(script)).toEqual(new Set(["demo", "help"]));
  });
});
