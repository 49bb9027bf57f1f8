import notify from "systemd-notify";
import type { Logger } from "./log.ts";

/** What the service manager is told: `ready` once recording runs, `status` as the line that `systemctl status` shows. */
export interface ServiceNotice {
  readonly ready?: boolean;
  readonly status?: string;
}

/**
 * Tells the service manager that started us, if one did (`NOTIFY_SOCKET`, see sd_notify(3)). The package knows READY and STATUS only:
 * the way down is told as a status. A manager that cannot be reached is logged; recording does not depend on it.
 */
export async function notifyServiceManager(notice: ServiceNotice, log: Logger): Promise<void> {
  if (process.env["NOTIFY_SOCKET"] === undefined) return;
  try {
    await notify(notice);
  } catch (error) {
    log.warn("service.notify-failed", { ...notice, error: error instanceof Error ? error : new Error(String(error)) });
  }
}
