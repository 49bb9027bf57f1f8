import type { AuthOptions } from "./auth.ts";
import type { AudioKind, VideoVariant } from "./clip.ts";
import { RTSP_METHODS, type RtspMethod, type ScriptStep } from "./faults.ts";

/** One stream of the camera: a path of its URL. */
export interface StreamOptions {
  /** Path without the leading slash; may hold slashes. */
  readonly name: string;
  readonly video: VideoVariant;
  readonly audio: AudioKind;
  /** Video is padded up to this rate; 0 sends the clip as it is (about 180 kbit/s at 1080p). */
  readonly bitrateBps: number;
  readonly parameterSets: "sdp-and-in-band" | "sdp-only" | "in-band-only";
  /** A frame in one burst, or its packets spread over 80 % of the time to the next one, as real cameras send them. */
  readonly pacing: "burst" | "spread";
  /** Picture of the loop with which a client's timeline begins; any but a multiple of 50 is in the middle of a group. */
  readonly firstFrame: number;
  /** Sequence number and timestamp of each track's first packet; null is random. */
  readonly firstSequence: number | null;
  readonly firstTimestamp: number | null;
  readonly payloadBytes: number;
  /** 0 sends no sender reports. */
  readonly senderReportMs: number;
  /** How much faster the camera's clock runs than ours. */
  readonly clockDriftPpm: number;
  readonly script: readonly ScriptStep[];
}

export interface ServerOptions {
  readonly hostname: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly auth: AuthOptions | null;
  /** A session without a request for so long is dropped. */
  readonly sessionTimeoutS: number;
  /** Methods in `Public`; others are answered 501. */
  readonly methods: readonly RtspMethod[];
  /** Header of the DESCRIBE reply that names the base of relative control URLs. */
  readonly base: "content-base" | "content-location" | "none";
  readonly control: "relative" | "absolute";
  /** A client with more than this in its queue loses whole frames. */
  readonly queueBytes: number;
  readonly streams: readonly StreamOptions[];
}

/** As `ServerOptions`, but everything has a default; streams need a name alone. */
export type VirtualCameraOptions = Partial<Omit<ServerOptions, "streams" | "auth">> & {
  readonly auth?: Partial<AuthOptions> | null;
  readonly streams?: readonly (Partial<StreamOptions> & { readonly name: string })[];
};

export const DEFAULT_STREAM: StreamOptions = {
  name: "cam1",
  video: "1080p",
  audio: "aac",
  bitrateBps: 0,
  parameterSets: "sdp-and-in-band",
  pacing: "burst",
  firstFrame: 0,
  firstSequence: null,
  firstTimestamp: null,
  payloadBytes: 1400,
  senderReportMs: 5000,
  clockDriftPpm: 0,
  script: [],
};

export const DEFAULT_AUTH: AuthOptions = {
  schemes: ["digest-md5"],
  realm: "Virtual Camera",
  username: "admin",
  password: "easy-darwin",
  qop: true,
  nonceLifetimeMs: 3_600_000,
};

/** Fills in the defaults; throws if an option is out of range. */
export function resolveOptions(options: VirtualCameraOptions): ServerOptions {
  const streams = (options.streams ?? [{ name: DEFAULT_STREAM.name }]).map((stream) => ({ ...DEFAULT_STREAM, ...stream }));
  const names = new Set(streams.map((stream) => stream.name));
  if (names.size !== streams.length) throw new Error(`stream names ${streams.map((stream) => stream.name).join(", ")} are not unique`);
  for (const { name, payloadBytes, bitrateBps, firstFrame } of streams) {
    const check = (what: string, value: number, low: number, high: number) => {
      if (!(value >= low && value <= high)) throw new Error(`${what} of stream ${name} is ${value}, allowed are ${low} to ${high}`);
    };
    check("payloadBytes", payloadBytes, 100, 65_000);
    check("bitrateBps", bitrateBps, 0, 100_000_000);
    check("firstFrame", firstFrame, 0, 1499);
  }
  return {
    hostname: options.hostname ?? "127.0.0.1",
    port: options.port ?? 0,
    auth: options.auth == null ? null : { ...DEFAULT_AUTH, ...options.auth },
    sessionTimeoutS: options.sessionTimeoutS ?? 60,
    methods: options.methods ?? RTSP_METHODS.filter((method) => method !== "PAUSE"),
    base: options.base ?? "content-base",
    control: options.control ?? "relative",
    queueBytes: options.queueBytes ?? 4 << 20,
    streams,
  };
}
