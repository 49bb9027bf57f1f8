import type { DisconnectCause, TrackSetup } from "../engine/types.ts";
import type { GapCause } from "../media/types.ts";

/** What signalling needs of the network; implemented over the engine, and by tests. */
export interface RtspTransport {
  /** Resolves to a connected connection; rejects with a `RecorderError` CAMERA_UNREACHABLE. `address` is numeric. */
  connect(address: string, port: number, timeoutMs: number, handlers: RtspConnectionHandlers): Promise<RtspConnection>;
}

export interface RtspConnectionHandlers {
  /** A reply, or a request of the server: start line, headers, empty line, body. */
  onMessage(text: string): void;
  /** Exactly once, also after `disconnect`. */
  onDisconnected(cause: DisconnectCause, detail: string): void;
}

export interface RtspConnection {
  send(text: string): void;
  play(tracks: readonly TrackSetup[]): void;
  /** `{cseq}` in `template` is replaced by the engine, counting from `firstCseq`. 2xx replies do not come up. */
  keepalive(template: string, firstCseq: number, intervalMs: number): void;
  disconnect(lastText: string | null): void;
  /**
   * When the last media of this connection's stream came, by the engine's clock (CLOCK_MONOTONIC milliseconds, another origin than
   * `Clock.monoMs` under Bun); 0 before the first.
   */
  lastMediaMonoMs(): number;
  /** Random access points of video in this connection's stream since it was opened; only ever grows. */
  keyFrames(): number;
}

/** Numeric addresses of a host name. */
export type Resolve = (host: string, signal: AbortSignal) => Promise<readonly string[]>;

export interface CameraEndpoint {
  /** rtsp URL without user info. */
  readonly url: string;
  readonly username: string | null;
  readonly password: string | null;
}

/** Why a session ended or could not begin: `cause` is what ledger and listings show, `detail` one sentence for people without secrets. */
export interface SessionEnd {
  readonly cause: GapCause;
  readonly detail: string;
  /** Stable word for programs and tests, e.g. "refused", "bad-password", "sdp-without-video", "media-silence". */
  readonly code: string;
}

export type SourceState =
  | { readonly state: "idle" }
  | { readonly state: "connecting"; readonly attempt: number }
  | { readonly state: "playing"; readonly warnings: readonly string[] }
  | { readonly state: "waiting"; readonly attempt: number; readonly retryAtUtcMs: number; readonly end: SessionEnd };
