import type { StateMs } from "./types.ts";

/** How well the time of a stretch was used. */
export interface Share {
  /** Time that has passed and was meant to be recorded. */
  readonly plannedMs: number;
  /** Of it, what was recorded, deleted by rule since or not. */
  readonly recordedMs: number;
  /** 0 to 1, rounded down to a millionth so that 1 means everything; null where nothing was planned. */
  readonly share: number | null;
}

export function shareOf(states: StateMs): Share {
  const total = Object.values(states).reduce((sum, ms) => sum + ms, 0);
  const plannedMs = total - (states["not-planned"] ?? 0);
  const recordedMs = (states.recorded ?? 0) + (states["deleted-by-rule"] ?? 0);
  if (plannedMs === 0) return { plannedMs, recordedMs, share: null };
  return { plannedMs, recordedMs, share: recordedMs === plannedMs ? 1 : Math.floor((recordedMs * 1e6) / plannedMs) / 1e6 };
}
