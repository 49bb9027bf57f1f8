/** Time as the service sees it. Everything timed takes a `Clock`, so that tests run on `SimulatedClock`. */
export interface Clock {
  /** Wall time, UTC milliseconds. May step in either direction. */
  utcMs(): number;
  /** Monotonic milliseconds from an unknown origin (Bun's is the start of the process): not comparable with the addon's stamps. */
  monoMs(): number;
  /** Runs `work` once after `delayMs`; the returned function cancels it. */
  after(delayMs: number, work: () => void): () => void;
}

/** Resolves after `delayMs`, or rejects with the signal's reason as soon as it is aborted. */
export function sleep(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = () => {
      cancel();
      reject(signal.reason);
    };
    const cancel = clock.after(delayMs, () => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    });
    signal.addEventListener("abort", onAbort, { once: true });
  });
}

/** Milliseconds to the clock's next multiple of `periodMs`, at least 1: what is periodic waits for it, so that all of it shares a wake-up. */
export function untilNext(clock: Clock, periodMs: number): number {
  return periodMs - (clock.monoMs() % periodMs);
}

/** The clock of a command: the host's. The service has its own wall clock, see `clock-watch.ts`. */
export const systemClock: Clock = {
  utcMs: () => Date.now(),
  monoMs: () => Number(process.hrtime.bigint() / 1_000_000n),
  after(delayMs, work) {
    const timer = setTimeout(work, delayMs);
    return () => clearTimeout(timer);
  },
};
