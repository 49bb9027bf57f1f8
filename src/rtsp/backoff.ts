const MIN_PAUSE_MS = 500;
const MAX_PAUSE_MS = 30_000;
/** A pause is at most this part of the outage, so that waiting hardly makes it longer. */
const OUTAGE_PART = 40;
/** The random part: streams that were lost together come back apart. */
const JITTER = 0.3;

/** While an outage is young, a connection attempt is given up early: the next SYN must not be further away than the camera's return allows. */
const YOUNG_OUTAGE_MS = 120_000;
const SHORT_CONNECT_MS = 2000;
const LONG_CONNECT_MS = 5000;

/**
 * Milliseconds to wait before the next attempt: a fortieth of the outage so far, between 0.5 s and 30 s, less up to 30 % at random.
 * A camera that reboots for a minute is back within 2 s of its return; one that is gone for a day costs two attempts a minute.
 * `random` is in [0, 1).
 */
export function retryPauseMs(outageMs: number, random: number): number {
  const pause = Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, outageMs / OUTAGE_PART));
  return Math.round(pause * (1 - JITTER * random));
}

/** Time allowed for each TCP connection attempt. */
export function connectTimeoutMs(outageMs: number): number {
  return outageMs < YOUNG_OUTAGE_MS ? SHORT_CONNECT_MS : LONG_CONNECT_MS;
}
