import { toRecorderError } from "../base/errors.ts";
import { parseDesiredCameras } from "../config/desired.ts";
import type { DesiredCamera, DesiredState } from "../config/types.ts";
import type { CommandContext } from "./context.ts";

/** Somebody else may change the document between our read and our write; after so many such collisions the caller is told. */
const MAX_ATTEMPTS = 5;

interface DesiredChange {
  readonly cameras: readonly DesiredCamera[];
  /** Changed passwords by camera id, null to forget. */
  readonly passwords: ReadonlyMap<string, string | null>;
}

/**
 * Applies `plan` to the desired-state document and returns the new revision; `plan` runs again on the newer document if it changed meanwhile.
 * The recorder is asked to follow at once. If it cannot, the change stands: its loop will come to it.
 */
export async function changeDesired(context: CommandContext, plan: (document: DesiredState) => DesiredChange): Promise<number> {
  const revision = await writeWithRetry(context, plan);
  try {
    await context.recorder.reconcile();
  } catch (error) {
    context.log.warn("desired.reconcile-failed", { revision, error });
  }
  return revision;
}

async function writeWithRetry(context: CommandContext, plan: (document: DesiredState) => DesiredChange): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const { document } = await context.desired.read();
    const change = plan(document);
    const cameras = parseDesiredCameras(change.cameras);
    try {
      return await context.desired.write(cameras, change.passwords, document.revision);
    } catch (error) {
      if (toRecorderError(error).code !== "CONFLICT" || attempt === MAX_ATTEMPTS) throw error;
    }
  }
}
