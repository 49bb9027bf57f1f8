import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { LedgerItem } from "../../src/commands/ledger.ts";
import { Box } from "../e2e/box.ts";
import { ffprobeComplaints, scan } from "../e2e/segments.ts";
import { MEDIA, STATE } from "./disk-judge.ts";
import { WITH_PARENT } from "./disks/disk-rig.ts";
import { segmentKey } from "./promises.ts";

/** What the whole product makes of a disk. All lists must be empty. */
export interface ProductJudgement {
  /** Promised fragments that are in no file that is listed. */
  readonly lost: readonly string[];
  /** Files that a player complains about. */
  readonly unplayable: readonly string[];
  /** Everything else: the time since is told of as something else than the end of a process in this boot, or `check --deep` finds something. */
  readonly wrong: readonly string[];
}

/**
 * Starts `serve` on the disk mounted at `folder` as the cut left it, asks `ls` and `ledger` while it records on, and `check --deep` once it has
 * ended. The machine has not booted meanwhile; what another boot makes of the disk is told by `judgeDisk`.
 */
export async function startProduct(
  name: string,
  folder: string,
  cameras: readonly string[],
  promised: ReadonlyMap<string, number>,
): Promise<ProductJudgement> {
  const [lost, unplayable, wrong]: [string[], string[], string[]] = [[], [], []];
  const box = await Box.create({ name, roots: [join(folder, MEDIA)], stateDir: join(folder, STATE), reserve: "1MB" });
  try {
    await box.serve(WITH_PARENT);
    const closed = (await box.list()).filter(({ kind, state }) => kind === "segment" && state === "closed");
    const paths = new Map(closed.map(({ run = "", sequence = 0, path = "" }) => [segmentKey(run, sequence), path]));
    for (const [key, count] of promised) {
      const path = paths.get(key);
      const held = path === undefined ? 0 : (await scan(path)).fragments.length;
      if (held < count) lost.push(`${key}: ${held} of ${count} fragments`);
    }
    for (const camera of cameras) {
      const newest = closed.filter((row) => row.camera === camera).at(-1)?.path ?? "";
      const said = await ffprobeComplaints(newest);
      if (said !== "") unplayable.push(`${newest}: ${said}`);
      const items = await box.json<LedgerItem>("ledger", camera, "--zoom", "exact", "--from", "-1h");
      const causes = items.flatMap((item) => (item.kind === "interval" && item.state !== "recorded" ? [item.state] : []));
      if (!causes.includes("process-down") || causes.includes("power-lost") || causes.includes("unknown")) {
        wrong.push(`${camera}: the ledger tells of ${causes.join(", ")}`);
      }
    }
    await box.end();
    const { code, stdout, stderr } = await box.run("check", "--deep", "--json");
    if (code !== 0) wrong.push(stdout + stderr);
  } finally {
    await box.end("SIGKILL");
    await rm(box.dir, { recursive: true, force: true });
  }
  return { lost, unplayable, wrong };
}
