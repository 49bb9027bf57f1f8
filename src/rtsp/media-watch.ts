import { type Clock, sleep, untilNext } from "../base/clock.ts";
import type { RecorderError } from "../base/errors.ts";
import { ended } from "./ends.ts";
import type { RtspConnection } from "./types.ts";

/** Media must come within this time after PLAY, and never pause longer. */
export const MEDIA_SILENCE_MS = 5000;
/** Video without a key frame for so long, and for `DROUGHT_GOPS` of its longest intervals so far, is nothing that can be recorded. */
export const KEY_FRAME_DROUGHT_MS = 60_000;
const DROUGHT_GOPS = 4;
const PERIOD_MS = 1000;
/** Before the first media: the state follows the media, so it should not lag behind it. */
const START_PERIOD_MS = 100;

/** Watches what a playing connection delivers. An open socket proves nothing, and packets prove little: only media that can be recorded does. */
export class MediaWatch {
  readonly #connection: RtspConnection;
  readonly #clock: Clock;
  readonly #hasVideo: boolean;
  readonly #startMonoMs: number;
  #keyFrames: number;
  #keyFrameMonoMs: number;
  #longestGopMs = 0;
  /** The engine's stamp of the newest media, by its own clock. */
  #stampMs: number;
  /** Our clock less the engine's, as the least-delayed look saw it: Bun counts from the start of the process, the engine from boot. */
  #offsetMs = Number.POSITIVE_INFINITY;
  /** By our clock, as all that follows. */
  #firstMediaMonoMs: number | null = null;
  #lastMediaMonoMs = 0;
  #recordableMonoMs: number | null = null;

  /** To be constructed when PLAY is sent: media counts from then on. */
  constructor(connection: RtspConnection, clock: Clock, hasVideo: boolean) {
    this.#connection = connection;
    this.#clock = clock;
    this.#hasVideo = hasVideo;
    this.#startMonoMs = clock.monoMs();
    this.#stampMs = connection.lastMediaMonoMs();
    this.#keyFrames = connection.keyFrames();
    this.#keyFrameMonoMs = this.#startMonoMs;
  }

  /** True once media has come. */
  get flowing(): boolean {
    this.#look();
    return this.#firstMediaMonoMs !== null;
  }

  /** How long media has flowed that can be recorded: from the first key frame on, for video. */
  get recordableMs(): number {
    return this.#recordableMonoMs === null ? 0 : Math.max(0, this.#lastMediaMonoMs - this.#recordableMonoMs);
  }

  /** Throws what is wrong with the media, or the signal's reason; never returns. `onFlowing` is called at the first media. */
  async run(onFlowing: () => void, signal: AbortSignal): Promise<never> {
    let told = false;
    for (;;) {
      if (this.flowing && !told) onFlowing();
      told = this.#firstMediaMonoMs !== null;
      const silentMs = this.#clock.monoMs() - Math.max(this.#lastMediaMonoMs, this.#startMonoMs);
      if (silentMs >= MEDIA_SILENCE_MS) throw this.#silence(silentMs);
      const droughtMs = this.#clock.monoMs() - this.#keyFrameMonoMs;
      if (this.#hasVideo && droughtMs >= Math.max(KEY_FRAME_DROUGHT_MS, DROUGHT_GOPS * this.#longestGopMs)) {
        throw ended("no-key-frame", `media flows, but no key frame came for ${seconds(droughtMs)} s, so nothing can be recorded`);
      }
      const periodMs = this.#firstMediaMonoMs === null ? START_PERIOD_MS : PERIOD_MS;
      await sleep(this.#clock, Math.min(untilNext(this.#clock, periodMs), MEDIA_SILENCE_MS - silentMs), signal);
    }
  }

  #look(): void {
    const now = this.#clock.monoMs();
    const stampMs = this.#connection.lastMediaMonoMs();
    // Unchanged: nothing new. 0: the engine has begun a new run and forgotten the media of the connection before.
    if (stampMs === this.#stampMs) return;
    this.#stampMs = stampMs;
    if (stampMs === 0) return;
    this.#offsetMs = Math.min(this.#offsetMs, now - stampMs);
    this.#lastMediaMonoMs = stampMs + this.#offsetMs;
    this.#firstMediaMonoMs ??= this.#lastMediaMonoMs;
    if (!this.#hasVideo) this.#recordableMonoMs ??= this.#firstMediaMonoMs;
    const keyFrames = this.#connection.keyFrames();
    if (keyFrames <= this.#keyFrames) return;
    this.#longestGopMs = Math.max(this.#longestGopMs, now - this.#keyFrameMonoMs);
    this.#keyFrames = keyFrames;
    this.#keyFrameMonoMs = now;
    this.#recordableMonoMs ??= this.#lastMediaMonoMs;
  }

  #silence(silentMs: number): RecorderError {
    const allowed = `${MEDIA_SILENCE_MS / 1000} s are allowed`;
    if (this.#firstMediaMonoMs === null) {
      return ended("media-silence", `the camera accepted PLAY and sent no media for ${seconds(silentMs)} s, ${allowed}`);
    }
    const flowed = seconds(this.#lastMediaMonoMs - this.#firstMediaMonoMs);
    return ended("media-silence", `no media came for ${seconds(silentMs)} s, ${allowed}; before, it flowed for ${flowed} s`);
  }
}

const seconds = (ms: number): string => (ms / 1000).toFixed(1);
