import type { Clock } from "../base/clock.ts";
import type { SegmentId, SegmentLease, SegmentRow } from "./types.ts";

export const LEASE_IDLE_MS = 60_000;
export const MAX_LEASES = 256;

export const segmentKey = (id: SegmentId): string => `${id.run}/${id.sequence}`;

interface Lease {
  readonly key: string;
  readonly bytes: number;
  lastTouchMonoMs: number;
}

/** Files under a reader. Bounded: when too many files or bytes are held, the reader idle for longest loses its lease, never the recording. */
export class Leases {
  readonly #clock: Clock;
  readonly #maxBytes: number;
  /** In order of the last touch, oldest first. */
  readonly #leases = new Set<Lease>();
  readonly #holders = new Map<string, number>();
  #bytes = 0;
  #cancelSweep: (() => void) | null = null;

  constructor(clock: Clock, maxBytes: number) {
    this.#clock = clock;
    this.#maxBytes = maxBytes;
  }

  get size(): number {
    return this.#leases.size;
  }

  holds(id: SegmentId): boolean {
    return this.#holders.has(segmentKey(id));
  }

  grant(segment: SegmentRow): SegmentLease {
    const lease: Lease = { key: segmentKey(segment), bytes: segment.bytes, lastTouchMonoMs: this.#clock.monoMs() };
    this.#leases.add(lease);
    this.#bytes += lease.bytes;
    this.#holders.set(lease.key, (this.#holders.get(lease.key) ?? 0) + 1);
    for (const oldest of this.#leases) {
      const within = this.#leases.size <= MAX_LEASES && this.#bytes <= this.#maxBytes;
      if (within || oldest === lease) break;
      this.#drop(oldest);
    }
    this.#armSweep();
    return { segment, touch: () => this.#touch(lease), release: () => this.#drop(lease) };
  }

  /** Forgets all leases and the timer. */
  clear(): void {
    for (const lease of this.#leases) this.#drop(lease);
    this.#cancelSweep?.();
    this.#cancelSweep = null;
  }

  #touch(lease: Lease): void {
    if (!this.#leases.delete(lease)) return;
    lease.lastTouchMonoMs = this.#clock.monoMs();
    this.#leases.add(lease);
  }

  #drop(lease: Lease): void {
    if (!this.#leases.delete(lease)) return;
    this.#bytes -= lease.bytes;
    const holders = (this.#holders.get(lease.key) ?? 1) - 1;
    if (holders === 0) this.#holders.delete(lease.key);
    else this.#holders.set(lease.key, holders);
  }

  #armSweep(): void {
    if (this.#cancelSweep !== null) return;
    const [oldest] = this.#leases;
    if (oldest === undefined) return;
    const idleMs = this.#clock.monoMs() - oldest.lastTouchMonoMs;
    this.#cancelSweep = this.#clock.after(Math.max(1, LEASE_IDLE_MS - idleMs), () => this.#sweep());
  }

  #sweep(): void {
    this.#cancelSweep = null;
    const nowMs = this.#clock.monoMs();
    for (const lease of this.#leases) {
      if (nowMs - lease.lastTouchMonoMs < LEASE_IDLE_MS) break;
      this.#drop(lease);
    }
    this.#armSweep();
  }
}
