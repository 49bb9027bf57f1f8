import type { RootUsage } from "../store/types.ts";

/** How a root fills, as recording sees it. */
export interface RootGrowth {
  /** Disk blocks reserved for open segments beyond the bytes the catalog knows of. */
  readonly reservedBytes: number;
  /** Step by which each open segment reserves space. */
  readonly reserveStepBytes: number;
  readonly openSegments: number;
  /** Media written per second, all streams of the root. */
  readonly bytesPerSecond: number;
}

/** Seconds of writing that stay free below a bound, so that a pass that comes late is still in time. */
const HEADROOM_SECONDS = 3;

/**
 * Bytes of the oldest segments to delete on a root so that neither its limit nor its reserve is passed before the next pass.
 * Headroom covers every open segment reserving its next step at once.
 */
export function planRemoval(usage: RootUsage, growth: RootGrowth): number {
  const headroom = growth.openSegments * growth.reserveStepBytes + HEADROOM_SECONDS * growth.bytesPerSecond;
  const held = usage.segmentBytes + growth.reservedBytes;
  const overLimit = usage.limitBytes === null ? 0 : held + headroom - usage.limitBytes;
  const underReserve = usage.reserveBytes + headroom - usage.availableBytes;
  return Math.max(0, Math.ceil(overLimit), Math.ceil(underReserve));
}
