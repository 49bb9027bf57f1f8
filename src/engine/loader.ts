import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { RecorderError } from "../base/errors.ts";
import type { NativeAddon } from "./types.ts";

/** Beside the bundle when installed or built; in `dist` when run from source. */
const CANDIDATES = [join(import.meta.dirname, "easyrms.node"), join(import.meta.dirname, "..", "..", "dist", "easyrms.node")];

/**
 * Loads the addon, once per process and on the main thread only: its callback must not outlive a worker.
 * Throws ENGINE_UNAVAILABLE where it is missing or made for another machine.
 */
export function loadAddon(): NativeAddon {
  if (!Bun.isMainThread) {
    throw new RecorderError("ENGINE_MISUSE", "the addon is loaded on the main thread only");
  }
  const path = CANDIDATES.find((candidate) => existsSync(candidate));
  if (path === undefined) {
    throw new RecorderError("ENGINE_UNAVAILABLE", `easyrms.node is missing; looked at ${CANDIDATES.join(" and ")}; run ./build.sh`);
  }
  try {
    return createRequire(import.meta.url)(path) as NativeAddon;
  } catch (error) {
    throw new RecorderError("ENGINE_UNAVAILABLE", `${path} does not load: ${String(error)}`, { path }, { cause: error });
  }
}
