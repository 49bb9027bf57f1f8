import { cameraAdd } from "./camera-add.ts";
import { cameraList } from "./camera-list.ts";
import { cameraProbe } from "./camera-probe.ts";
import { cameraRemove } from "./camera-remove.ts";
import { check } from "./check.ts";
import type { Command } from "./command.ts";
import { ledger } from "./ledger.ts";
import { ls } from "./ls.ts";
import { reindex } from "./reindex.ts";
import { status } from "./status.ts";

/** Every use case of a running service; what is not here cannot be asked for over HTTP. */
export const COMMANDS: readonly Command[] = [cameraAdd, cameraList, cameraRemove, cameraProbe, ls, ledger, check, reindex, status];
