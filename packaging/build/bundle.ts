import { join, resolve } from "node:path";
import type { BunPlugin } from "bun";

/**
 * sqlite3 finds its addon by walking up from its own source file, which a bundle no longer has.
 * Its one-line binding module is replaced by a require of the addon beside the bundle.
 */
const sqliteBesideBundle: BunPlugin = {
  name: "sqlite3-beside-bundle",
  setup(build) {
    build.onLoad({ filter: /[\\/]sqlite3[\\/]lib[\\/]sqlite3-binding\.js$/ }, () => ({
      contents: 'module.exports = require("./node_sqlite3.node");',
      loader: "js",
    }));
    build.onResolve({ filter: /^\.\/node_sqlite3\.node$/ }, ({ path }) => ({ path, external: true }));
  },
};

const repository = resolve(import.meta.dir, "..", "..");
const outdir = resolve(process.argv[2] ?? "dist");

const result = await Bun.build({
  entrypoints: [join(repository, "src", "main.ts")],
  outdir,
  target: "bun",
  sourcemap: "linked",
  plugins: [sqliteBesideBundle],
  throw: false,
});
if (!result.success) {
  for (const message of result.logs) console.error(String(message));
  process.exitCode = 1;
} else {
  const bundle = await Bun.file(join(outdir, "main.js")).text();
  // A path of the machine that built is a path that is missing where it runs.
  if (bundle.includes(repository)) {
    console.error(`${join(outdir, "main.js")} names the folder it was built in: a bundled package uses __dirname`);
    process.exitCode = 1;
  }
}
