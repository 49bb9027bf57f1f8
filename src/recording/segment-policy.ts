/** How long the next segment may get and how much disk it reserves at a time. */
export interface SegmentSizing {
  readonly maxDurationMs: number;
  readonly preallocateBytes: number;
}

const MIB = 1024 * 1024;
/** Assumed until a stream's rate is known. */
const ASSUMED_BYTES_PER_SECOND = 500_000;
/** No root is so small that segments get shorter than this, unless they were asked to be. */
const MIN_SEGMENT_MS = 5_000;
const MAX_STEP_BYTES = 32 * MIB;
/** A whole segment reserved in one step is one extent on flash; a tenth more covers a rate that grows. */
const STEP_MARGIN = 1.1;

/**
 * Segments are kept small against the room there is: deletion works in whole segments, so a root must hold several per stream,
 * and what all open segments reserve must stay a small part of it.
 *
 * @param segmentMs the length asked for, never exceeded
 * @param capacityBytes room for segments on the root; Infinity where nothing bounds it
 * @param streams streams that record to the root
 * @param bytesPerSecond of this stream; 0 when not known yet
 */
export function sizeSegment(segmentMs: number, capacityBytes: number, streams: number, bytesPerSecond: number): SegmentSizing {
  const rate = bytesPerSecond > 0 ? bytesPerSecond : ASSUMED_BYTES_PER_SECOND;
  const share = capacityBytes / Math.max(1, streams);
  const fitMs = Math.floor(((share / 4) * 1000) / rate);
  const maxDurationMs = Math.min(segmentMs, Math.max(MIN_SEGMENT_MS, fitMs));
  const wholeBytes = (rate * STEP_MARGIN * maxDurationMs) / 1000;
  const stepBytes = Math.min(wholeBytes, MAX_STEP_BYTES, share / 16);
  return { maxDurationMs, preallocateBytes: Math.max(MIB, Math.ceil(stepBytes / MIB) * MIB) };
}
