import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { scanImports } from "./imports.ts";
import { checkTree } from "./levels.ts";
import { readTree } from "./read-tree.ts";

const SRC = new URL("../../src/", import.meta.url).pathname;

const specifiers = (source: string) => scanImports(source).map(({ specifier }) => specifier);
const messages = (files: Record<string, string>) =>
  checkTree(new Map(Object.entries(files))).map(({ path, line, message }) => `${path}${line === null ? "" : `:${line}`} ${message}`);

describe("scanImports", () => {
  it("finds every form, types included", () => {
    const source = `#!/usr/bin/env bun
      import "./effect.ts";
      import whole from "./whole.ts";
      import whole2, { type A, b as c } from './single.ts';
      import * as all from "./all.ts";
      import type { T } from "./type.ts";
      import type D from "./type-default.ts";
      import data from "./data.json" with { type: "json" };
      export { d, type E } from "./again.ts";
      export * from "./star.ts";
      export * as named from "./star-named.ts";
      export type { F } from "./again-type.ts";
      const lazy = await import("./lazy.ts");
      let shape: import("./shape.ts").Shape;
      const old = require("./old.ts");`;
    expect(specifiers(source)).toEqual([
      "./effect.ts",
      "./whole.ts",
      "./single.ts",
      "./all.ts",
      "./type.ts",
      "./type-default.ts",
      "./data.json",
      "./again.ts",
      "./star.ts",
      "./star-named.ts",
      "./again-type.ts",
      "./lazy.ts",
      "./shape.ts",
      "./old.ts",
    ]);
  });

  it("is not taken in by text that only looks like an import", () => {
    const source = `
      // import "./comment.ts";
      /* export * from "./block.ts"; */
      const a = 'import "./string.ts"';
      const b = \`import "./template.ts" \${ nest(\`\${"}"} import("./inner.ts")\`) } export * from "./rest.ts"\`;
      const c = /import "\\.\\/[/"'\`]regex"/g.test(a) ? 4 / 2 : 8 / 4;
      const here = import.meta.url;
      thing.import("./method.ts");
      export const from = "./constant.ts";
      export { a, b };
      export default from;
      export type Alias = { from: "./member.ts" };
      export function request(from: "./parameter.ts") {}`;
    expect(specifiers(source)).toEqual([]);
  });

  it("goes on after what it skips", () => {
    const source = `const t = \`a\${ { b: "}" }.b }c\`; const r = /[/]'/; const q = x / 2; // '
      import { late } from "./late.ts";`;
    expect(scanImports(source)).toEqual([{ specifier: "./late.ts", line: 2 }]);
  });

  it("sees imports inside a template's expression, and a computed path as null", () => {
    expect(specifiers("const t = `$" + "{await import('./in.ts')}`; import(name);")).toEqual(["./in.ts", null]);
  });

  it("finds at least what Bun's own scanner finds in the sources of the product", () => {
    const transpiler = new Bun.Transpiler({ loader: "ts" });
    const tree = readTree(SRC, ".ts");
    expect(tree.size).toBeGreaterThan(20);
    for (const [path, source] of tree) {
      const found = new Set(specifiers(source));
      for (const { path: specifier } of transpiler.scanImports(source)) expect(found, path).toContain(specifier);
    }
  });
});

describe("checkTree", () => {
  it("lets a well-built tree pass", () => {
    expect(
      messages({
        "main.ts": 'import { run } from "./app.ts";\nimport { cli } from "./cli/run.ts";',
        "app.ts": 'import { Store } from "./store/store.ts";\nexport const run = () => new Store();',
        "cli/run.ts": 'import "./table.ts";\nimport { add } from "../commands/add.ts";',
        "cli/table.ts": "export {};",
        "commands/add.ts": 'import type { Store } from "../store/store.ts";',
        "store/store.ts": 'import sqlite3 from "sqlite3";\nimport { join } from "node:path";\nimport { clock } from "../base/clock.ts";',
        "engine/loader.ts": 'import { createRequire } from "node:module";\nconst file = "easyrms.node";',
        "config/version.ts": 'import json from "../../package.json" with { type: "json" };',
        "base/clock.ts": "export const clock = 0;",
      }),
    ).toEqual([]);
  });

  it("names each rule that a bad tree breaks", () => {
    expect(
      messages({
        "base/errors.ts": 'import type { Config } from "../config/types.ts";',
        "config/types.ts": 'export type { Track } from "../media/types.ts";',
        "media/types.ts": "export type Track = 0;",
        "retention/ring.ts": 'import { Database } from "sqlite3";\nconst x = await import("../recording/recorder.ts");',
        "recording/recorder.ts": 'import addon from "../../dist/easyrms.node";',
        "utils/strings.ts": "export {};",
        "http/server.ts": 'import "../app.ts";\nconst addon = createRequire(import.meta.url)(path);\nimport("./" + name);',
        "app.ts": 'import { help } from "../test/help.ts";\nimport "./utils/strings.ts";',
      }),
    ).toEqual([
      "base/errors.ts:1 imports config/types.ts: up from base to config",
      "config/types.ts:1 imports media/types.ts: sideways from config to media",
      "retention/ring.ts:1 imports sqlite3, which only store/ may use",
      "retention/ring.ts:2 imports recording/recorder.ts: sideways from retention to recording",
      "recording/recorder.ts loads native code; only engine/ loads the addon",
      "recording/recorder.ts:1 imports ../../dist/easyrms.node, which is outside src",
      "utils/strings.ts utils has no level; the known ones are in test/checks/levels.ts",
      "http/server.ts loads native code; only engine/ loads the addon",
      "http/server.ts:1 imports app.ts: up from http to app.ts",
      "http/server.ts:3 imports a computed path, which cannot be checked",
      "app.ts:1 imports ../test/help.ts, which is outside src",
      "app.ts:2 imports utils, and one of app.ts and utils has no level",
    ]);
  });

  it("finds cycles inside a folder, of types too, each once", () => {
    expect(
      messages({
        "store/a.ts": 'import type { B } from "./b.ts";',
        "store/b.ts": 'import { c } from "./c.ts";',
        "store/c.ts": 'export * from "./a.ts";',
        "store/d.ts": 'import "./a.ts";',
        "rtsp/self.ts": 'import type { Self } from "./self.ts";',
      }),
    ).toEqual([
      "rtsp/self.ts import cycle: rtsp/self.ts → rtsp/self.ts",
      "store/a.ts import cycle: store/a.ts → store/b.ts → store/c.ts → store/a.ts",
    ]);
  });

  it("knows the folders of the design in their order", () => {
    const above = (upper: string, lower: string) =>
      messages({ [`${lower}/x.ts`]: `import "../${upper}/y.ts";`, [`${upper}/y.ts`]: `import "../${lower}/z.ts";`, [`${lower}/z.ts`]: "" });
    for (const [upper, lower] of [
      ["http", "commands"],
      ["commands", "recording"],
      ["recording", "timeline"],
      ["timeline", "store"],
      ["rtsp", "engine"],
      ["engine", "config"],
      ["media", "base"],
    ] as const) {
      expect(above(upper, lower)).toEqual([`${lower}/x.ts:1 imports ${upper}/y.ts: up from ${lower} to ${upper}`]);
    }
  });
});

it("reads the tree it checks", () => {
  expect(readTree(SRC, ".ts").get("engine/types.ts")).toBe(readFileSync(`${SRC}engine/types.ts`, "utf8"));
});
