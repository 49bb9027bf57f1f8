import { type Clock, sleep } from "../base/clock.ts";
import { RecorderError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Transport } from "../config/types.ts";
import type { Engine } from "../engine/engine.ts";
import type { TrackDescription } from "../media/types.ts";
import { Accounts } from "../rtsp/accounts.ts";
import { type Playing, runSession } from "../rtsp/session.ts";
import type { CameraEndpoint, Resolve } from "../rtsp/types.ts";
import { parseRtspUrl } from "../rtsp/url.ts";
import { measure, type StreamSample } from "./probe-measure.ts";
import { engineTransport } from "./transport.ts";
import type { ProbeReport } from "./types.ts";

const SAMPLE_PERIOD_MS = 200;
const CONNECT_TIMEOUT_MS = 5000;
/** A probe keeps almost no media: what it wants is numbers. */
const STREAM_OPTIONS = { fragmentMs: 1000, ringMs: 1000, ringBytes: 4 * 1024 * 1024, queueBytes: 1024 * 1024 };

export interface ProbeCameraOptions {
  readonly engine: Pick<Engine, "openStream">;
  readonly endpoint: CameraEndpoint;
  readonly resolve: Resolve;
  readonly clock: Clock;
  readonly log: Logger;
  /** "auto" means TCP, the only transport spoken. */
  readonly transport: Transport;
  /** How long to watch from PLAY on. */
  readonly watchMs: number;
  readonly signal: AbortSignal;
  /** Shared with the sources of the service, so that a probe cannot lock an account either; its own by default. */
  readonly accounts?: Accounts;
}

/**
 * Watches a stream for `watchMs` on a connection of its own, without recording, and says what the camera really sends.
 * Rejects with the CAMERA_* error that ended the session when it ends before, or with the signal's reason.
 */
export async function probeCamera(options: ProbeCameraOptions): Promise<ProbeReport> {
  const { clock, signal, watchMs } = options;
  const url = parseRtspUrl(options.endpoint.url);
  let sent: readonly TrackDescription[] = [];
  const stream = options.engine.openStream(STREAM_OPTIONS, {
    onMedia: (fact) => {
      sent = fact.tracks;
    },
    onClockStepped() {},
    onSegmentOpened() {},
    onDurable() {},
    onSegmentEnded() {},
    onSegmentFailed() {},
    onDropped() {},
    onFactsLost() {},
  });
  const enough = new AbortController();
  const until = AbortSignal.any([signal, enough.signal]);
  const { promise: playing, resolve: onPlaying } = Promise.withResolvers<Playing>();
  const { username, password } = options.endpoint;
  const user = username ?? url.username;
  const session = runSession(
    {
      url,
      credentials: user === null ? null : { username: user, password: password ?? url.password ?? "" },
      transport: engineTransport(stream),
      resolve: options.resolve,
      clock,
      log: options.log,
      accounts: options.accounts ?? new Accounts(clock),
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      withAudio: true,
      onPlaying,
    },
    until,
  );
  try {
    const failed = session.then(({ error }): never => {
      signal.throwIfAborted();
      throw error ?? new RecorderError("INTERNAL", "the probe's session ended without a reason");
    });
    const start = await Promise.race([playing, failed]);
    const samples: StreamSample[] = [];
    const watch = async (): Promise<void> => {
      const startMonoMs = clock.monoMs();
      for (let leftMs = watchMs; leftMs > 0; leftMs = watchMs - (clock.monoMs() - startMonoMs)) {
        await sleep(clock, Math.min(SAMPLE_PERIOD_MS, leftMs), until);
        samples.push({ monoMs: clock.monoMs(), numbers: stream.numbers() });
      }
    };
    await Promise.race([watch(), failed]);
    return { url: url.url, server: start.server, ...measure(start, sent, samples, watchMs) };
  } finally {
    enough.abort();
    await session;
    stream.close();
  }
}
