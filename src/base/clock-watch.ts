import type { Alarms } from "./alarms.ts";
import { type Clock, sleep, untilNext } from "./clock.ts";
import { toRecorderError } from "./errors.ts";
import type { Part } from "./lifecycle.ts";
import type { Logger } from "./log.ts";

/** The host's clocks as they are. Fractions of milliseconds are good to a microsecond. */
export interface HostReading {
  /** CLOCK_MONOTONIC: counts from the boot. */
  readonly monoMs: number;
  /** CLOCK_REALTIME. */
  readonly utcMs: number;
  /** The kernel says that its clock is kept right (NTP, PTP). */
  readonly synchronised: boolean;
}

/** The wall clock of the process: CLOCK_MONOTONIC plus an offset. Implemented by the addon, which stamps media by it. */
export interface WallClock {
  host(): HostReading;
  utcMs(): number;
  /** `step`: what was stamped before is of another clock; without it the change is drift. */
  set(offsetMs: number, step: boolean): void;
}

/** What the next process must know of this one's clock. */
export interface Heartbeat {
  /** As `readBootId` names it. */
  readonly boot: string;
  readonly monoMs: number;
  readonly utcMs: number;
  readonly hostUtcMs: number;
  readonly trusted: boolean;
  /** The newest time of a clock that was trusted, also of boots before; 0 if there never was one. */
  readonly knownUtcMs: number;
  /** The host's clock was set while this boot was watched. */
  readonly hostSet: boolean;
  /** Where this boot began by a clock that is not trusted; null once it is. */
  readonly untrustedSinceUtcMs: number | null;
  /** By how much what was recorded in this boot was moved when its clock became trusted. */
  readonly shiftMs: number;
}

/** The wall clock is moved: one instant by both clocks. */
export interface ClockMove {
  readonly fromUtcMs: number;
  readonly toUtcMs: number;
  /** Both clocks minus CLOCK_MONOTONIC. */
  readonly fromOffsetMs: number;
  readonly toOffsetMs: number;
  /**
   * The clock before was never trusted: what was recorded by it, from `sinceUtcMs` on, is moved along by this much. Null: it keeps its times.
   */
  readonly recorded: { readonly sinceUtcMs: number; readonly byMs: number } | null;
}

/** True for media that began by the clock before the move: two stamps of one moment tell. */
export function isBefore(move: ClockMove, startUtcMs: number, startMonoMs: number): boolean {
  const offsetMs = startUtcMs - startMonoMs;
  return Math.abs(offsetMs - move.fromOffsetMs) <= Math.abs(offsetMs - move.toOffsetMs);
}

/** Who has times of the clock before. */
export interface ClockFollower {
  /**
   * Makes durable what must be before recordings are moved along; resolves with by how much they may be. A rejection is tried again. Not
   * called for a move that leaves them where they are.
   */
  prepare(move: ClockMove): Promise<number>;
  /** Called in the same turn of the event loop as the clock is moved. Resolves once the recordings are; must not reject. */
  moved(move: ClockMove): Promise<void>;
}

export interface ClockWatchOptions {
  readonly wall: WallClock;
  readonly clock: Clock;
  readonly boot: string;
  /** The host has a clock that goes on without power. */
  readonly rtc: boolean;
  /** "always": the host's clock is right whenever it shows a date that is possible at all. */
  readonly trust: "auto" | "always";
  /** Of the process before; null if there was none. */
  readonly last: Heartbeat | null;
  /** Takes the newest heartbeat; must not throw. */
  readonly beat: (heartbeat: Heartbeat) => void;
  readonly alarms: Pick<Alarms, "raise" | "clear">;
  readonly log: Logger;
}

/** No box that records with this software has a right clock before this instant; one without RTC starts in 1970 or at its build date. */
const EARLIEST_UTC_MS = Date.UTC(2026, 0, 1);
/** Smaller differences are followed as drift. */
export const STEP_MS = 2000;
/** So long a step of a trusted clock must stand before it is believed: a wrong one is often taken back. */
export const STAND_MS = 300_000;
const PERIOD_MS = 1000;
/** A heartbeat may be so much older than the newest media: it is synced each 5 s, and a slow disk delays it. */
const BEAT_LAG_MS = 10_000;

/**
 * Decides what time it is: the host's clock while it can be believed, the monotonic clock from there on where not.
 *
 * - Differences under 2 s to a trusted clock are followed.
 * - A greater one is believed once it has stood for 5 minutes; what was recorded keeps its times.
 * - While the clock was never trusted in this boot, it goes on from the newest time known. The first time that can be believed is taken at
 *   once, and what this boot has recorded is moved along.
 * - A time that cannot be believed changes nothing: one before 2026, one before the newest known time unless the kernel says that it is
 *   synchronised, or any time of a host that has no RTC, is not synchronised and whose clock nobody has set since.
 */
export class ClockWatch implements Part {
  readonly name = "clock-watch";
  readonly #options: ClockWatchOptions;
  readonly #stopping = new AbortController();
  #follower: ClockFollower | null = null;
  #loop: Promise<void> = Promise.resolve();
  #offsetMs: number;
  #trusted: boolean;
  #hostOffsetMs: number;
  #hostSet: boolean;
  #untrustedSinceUtcMs: number | null;
  /** From the clock of a process before in this boot, which was not trusted, to this one's. Its heartbeat stays until it is done. */
  #pending: ClockMove | null = null;
  /** What was recorded is being moved. */
  #following = false;
  #shiftMs: number;
  readonly #knownUtcMs: number;
  /** A step of the host that stands since this monotonic time. */
  #candidate: { readonly offsetMs: number; readonly sinceMonoMs: number } | null = null;

  /** Sets the wall clock. `newestUtcMs`: end of the newest recording that is known of, 0 if none. */
  constructor(options: ClockWatchOptions, newestUtcMs: number) {
    this.#options = options;
    const { wall, last, boot } = options;
    const host = wall.host();
    const same = last?.boot === boot ? last : null;
    const lastOffsetMs = same === null ? null : same.utcMs - same.monoMs;
    this.#hostOffsetMs = host.utcMs - host.monoMs;
    this.#knownUtcMs = last?.knownUtcMs ?? newestUtcMs;
    const setMeanwhile = same !== null && Math.abs(this.#hostOffsetMs - (same.hostUtcMs - same.monoMs)) >= STEP_MS;
    this.#hostSet = (same?.hostSet ?? false) || setMeanwhile;
    this.#shiftMs = same?.shiftMs ?? 0;
    this.#trusted = same?.trusted === true || this.#problem(host, this.#knownUtcMs) === null;
    this.#untrustedSinceUtcMs = null;
    if (same?.trusted === true && lastOffsetMs !== null) {
      this.#offsetMs = Math.abs(this.#hostOffsetMs - lastOffsetMs) < STEP_MS ? this.#hostOffsetMs : lastOffsetMs;
    } else if (this.#trusted) {
      const byMs = lastOffsetMs === null ? 0 : Math.round(this.#hostOffsetMs - lastOffsetMs);
      this.#offsetMs = lastOffsetMs === null ? this.#hostOffsetMs : lastOffsetMs + byMs;
      if (same !== null) this.#pending = moveOf(host.monoMs, this.#offsetMs - byMs, byMs, same.untrustedSinceUtcMs);
    } else {
      const from = Math.max(host.utcMs, last === null ? 0 : last.utcMs + BEAT_LAG_MS, newestUtcMs);
      this.#offsetMs = lastOffsetMs ?? from - host.monoMs;
      this.#untrustedSinceUtcMs = same?.untrustedSinceUtcMs ?? Math.floor(host.monoMs + this.#offsetMs);
    }
    wall.set(this.#offsetMs, false);
  }

  get trusted(): boolean {
    return this.#trusted;
  }

  /** A clock that is not trusted goes on behind what was recorded. Only before anything is recorded by it. */
  notBefore(utcMs: number): void {
    const { wall, last, boot } = this.#options;
    if (this.#trusted || last?.boot === boot) return;
    const behindMs = utcMs - wall.utcMs();
    if (behindMs <= 0) return;
    this.#offsetMs += behindMs;
    this.#untrustedSinceUtcMs = utcMs;
    wall.set(this.#offsetMs, false);
  }

  /** From now on the clock is moved only in step with `follower`, which first moves what a process before has left to be moved. */
  async follow(follower: ClockFollower): Promise<void> {
    this.#follower = follower;
    try {
      await this.#catchUp(follower);
    } catch (error) {
      this.#options.log.error("clock.not-caught-up", { error: toRecorderError(error) });
    }
  }

  /** What a process before recorded in this boot by a clock that was not trusted is moved along. */
  async #catchUp(follower: ClockFollower): Promise<void> {
    const move = this.#pending;
    if (move === null) return;
    const prepared = await prepare(follower, move);
    this.#pending = null;
    await this.#follow(follower, prepared);
  }

  async start(): Promise<void> {
    const { wall, log } = this.#options;
    log.info("clock.started", { utc: text(wall.utcMs()), trusted: this.#trusted });
    await this.#tick();
    this.#loop = this.#every();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  async #every(): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = this.#stopping;
    for (;;) {
      try {
        await sleep(clock, untilNext(clock, PERIOD_MS), signal);
      } catch {
        return;
      }
      await this.#tick().catch((error: unknown) => log.error("clock.watch-failed", { error: toRecorderError(error) }));
    }
  }

  async #tick(): Promise<void> {
    const host = this.#options.wall.host();
    const hostOffsetMs = host.utcMs - host.monoMs;
    if (Math.abs(hostOffsetMs - this.#hostOffsetMs) >= STEP_MS) {
      this.#hostSet = true;
      this.#options.log.warn("clock.host-set", { from: text(host.monoMs + this.#hostOffsetMs), to: text(host.utcMs) });
    }
    this.#hostOffsetMs = hostOffsetMs;
    try {
      if (this.#pending !== null && this.#follower !== null) await this.#catchUp(this.#follower);
      await this.#judge(host, hostOffsetMs);
    } finally {
      if (this.#pending === null && !this.#following) this.#beat();
    }
  }

  async #judge(host: HostReading, hostOffsetMs: number): Promise<void> {
    const { alarms, log, wall } = this.#options;
    const differenceMs = hostOffsetMs - this.#offsetMs;
    const near = Math.abs(differenceMs) < STEP_MS;
    const problem = this.#problem(host, this.#trusted ? host.monoMs + this.#offsetMs : this.#knownUtcMs);
    if (!this.#trusted) {
      if (problem === null) await this.#move(host, hostOffsetMs);
      else alarms.raise("clock-untrusted", "", `the time is not known: ${problem}; what is recorded is moved to its place once it is`);
      return;
    }
    if (near) {
      this.#candidate = null;
      alarms.clear("clock-untrusted", "");
      if (Math.abs(differenceMs) < 1) return;
      this.#offsetMs = hostOffsetMs;
      wall.set(hostOffsetMs, false);
    } else if (problem !== null) {
      this.#candidate = null;
      alarms.raise("clock-untrusted", "", `the host's clock is not followed: ${problem}; recording goes on by ${text(wall.utcMs())}`);
    } else if (this.#candidate === null || Math.abs(hostOffsetMs - this.#candidate.offsetMs) >= STEP_MS) {
      this.#candidate = { offsetMs: hostOffsetMs, sinceMonoMs: host.monoMs };
      log.warn("clock.step-seen", { host: text(host.utcMs), utc: text(wall.utcMs()), believedAfterMs: STAND_MS });
    } else if (host.monoMs - this.#candidate.sinceMonoMs >= STAND_MS) {
      await this.#move(host, hostOffsetMs);
    }
  }

  async #move(host: HostReading, toOffsetMs: number): Promise<void> {
    const { alarms, wall, log } = this.#options;
    const near = Math.abs(toOffsetMs - this.#offsetMs) < STEP_MS;
    // What is right but for drift stays where it is; that it is right is noted all the same.
    const byMs = near ? 0 : Math.round(toOffsetMs - this.#offsetMs);
    const since = this.#untrustedSinceUtcMs;
    const follower = this.#follower;
    const { recorded } = await prepare(follower, moveOf(host.monoMs, this.#offsetMs, byMs, since));
    const move = { ...moveOf(wall.host().monoMs, this.#offsetMs, byMs, since), recorded };
    wall.set(move.toOffsetMs, !near);
    this.#offsetMs = move.toOffsetMs;
    this.#trusted = true;
    this.#untrustedSinceUtcMs = null;
    this.#candidate = null;
    alarms.clear("clock-untrusted", "");
    void this.#follow(follower, move);
    log.warn("clock.moved", { from: text(move.fromUtcMs), to: text(move.toUtcMs), recordedByMs: recorded?.byMs ?? null });
  }

  /** The heartbeat tells of the move only when it cannot be forgotten any more. */
  #follow(follower: ClockFollower | null, move: ClockMove): Promise<void> {
    this.#shiftMs += move.recorded?.byMs ?? 0;
    this.#following = true;
    const moved = follower?.moved(move) ?? Promise.resolve();
    return moved.then(() => {
      this.#following = false;
      this.#beat();
    });
  }

  /** Why the host's time cannot be believed; null if it can. `floorUtcMs`: it cannot be earlier by itself. */
  #problem(host: HostReading, floorUtcMs: number): string | null {
    const { trust, rtc } = this.#options;
    const shows = `the host's clock shows ${text(host.utcMs)}`;
    if (host.utcMs < EARLIEST_UTC_MS) return `${shows}, which is before ${text(EARLIEST_UTC_MS)}`;
    if (trust === "always" || host.synchronised) return null;
    if (!rtc && !this.#hostSet) return `${shows}, but it has no RTC, is not synchronised, and nobody has set it`;
    if (host.utcMs < floorUtcMs) return `${shows}, which is before ${text(floorUtcMs)}, and it is not synchronised`;
    return null;
  }

  #beat(): void {
    const host = this.#options.wall.host();
    const utcMs = Math.round(host.monoMs + this.#offsetMs);
    this.#options.beat({
      boot: this.#options.boot,
      monoMs: host.monoMs,
      utcMs,
      hostUtcMs: host.utcMs,
      trusted: this.#trusted,
      knownUtcMs: this.#trusted ? utcMs : this.#knownUtcMs,
      hostSet: this.#hostSet,
      untrustedSinceUtcMs: this.#untrustedSinceUtcMs,
      shiftMs: this.#shiftMs,
    });
  }
}

function moveOf(monoMs: number, fromOffsetMs: number, byMs: number, sinceUtcMs: number | null): ClockMove {
  const fromUtcMs = Math.round(monoMs + fromOffsetMs);
  const recorded = sinceUtcMs === null ? null : { sinceUtcMs, byMs };
  return { fromUtcMs, toUtcMs: fromUtcMs + byMs, fromOffsetMs, toOffsetMs: fromOffsetMs + byMs, recorded };
}

async function prepare(follower: ClockFollower | null, move: ClockMove): Promise<ClockMove> {
  if (follower === null || move.recorded === null) return move;
  return { ...move, recorded: { ...move.recorded, byMs: await follower.prepare(move) } };
}

function text(utcMs: number): string {
  return new Date(Math.floor(utcMs)).toISOString();
}
