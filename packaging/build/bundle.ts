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
  // Packages that ask where they are must not hear where they were built: sqlite3 compares stack traces with its own file;
  // pino looks beside itself for the workers of its transports, which are not bundled and not used.
  define: { __filename: "Bun.main", __dirname: JSON.stringify("beside-the-bundle") },
  plugins: [sqliteBesideBundle],
  throw: false,
});
if (!result.success) {
  for (const message of result.logs) console.error(String(message));
  process.exitCode = 1;
} else {
  const bundle = await Bun.file(join(outdir, "main.js")).text();
  if (bundle.includes(repository)) {
    console.error(`${join(outdir, "main.js")} names ${repository}, which is missing where it will run`);
    process.exitCode = 1;
  }
}
