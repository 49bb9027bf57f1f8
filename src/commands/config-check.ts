import { type Problem, toRecorderError } from "../base/errors.ts";
import { loadBoxConfig } from "../config/box.ts";
import type { BoxConfig } from "../config/types.ts";

/** Verdict on a box file: the configuration it makes, or everything that is wrong with it. */
export type ConfigVerdict =
  | { readonly valid: true; readonly config: BoxConfig; readonly problems: readonly [] }
  | { readonly valid: false; readonly message: string; readonly problems: readonly Problem[] };

/** Reads a box file as `serve` would, without touching anything it names. Not on the network: it would read any file of the machine. */
export async function configCheck(configPath: string): Promise<ConfigVerdict> {
  try {
    return { valid: true, config: await loadBoxConfig(configPath), problems: [] };
  } catch (thrown) {
    const error = toRecorderError(thrown);
    if (error.code !== "CONFIG_INVALID") throw error;
    return { valid: false, message: error.message, problems: error.problems };
  }
}
