import type { StreamStatus } from "../../src/recording/types.ts";
import { type Fault, type FaultKind, RTSP_METHODS, type RtspMethod } from "../fakes/camera/faults.ts";
import { deaf, floodOfHead, floodOfNoise, nowhere, type OpenSource, redirected, redirectedInCircles, virtual } from "./sources.ts";

interface CaseBase {
  /** Camera id. */
  readonly id: string;
  /** What is wrong with the camera, for people. */
  readonly fault: string;
  readonly open: OpenSource;
}

/** Cause and code that listings and log must name; one of each. */
interface Named {
  readonly causes: readonly string[];
  readonly codes: readonly string[];
}

/** Recording never begins. */
export interface NeverCase extends CaseBase, Named {
  readonly kind: "never";
  /** False where asking again would lock an account. */
  readonly retried: boolean;
}

/** Recording is interrupted while the fault lasts. */
export interface InterruptedCase extends CaseBase, Named {
  readonly kind: "interrupted";
  /** Happen together, in this order; those that last are cleared when they have been seen. */
  readonly faults: readonly Fault[];
  /** Recording begins again by itself. */
  readonly recovers: boolean;
}

/** Recording goes on in one run; what the fault costs is said by the counters. */
export interface RecordedCase extends CaseBase {
  readonly kind: "recorded";
  readonly during: readonly Fault[];
  /** Pictures that cannot be there, at most. */
  readonly missingPictures: number;
  /** The file is cut where the fault happens, before the segment is full. */
  readonly cut: boolean;
  /** What `camera list` says besides; problems are returned. */
  readonly says: (status: StreamStatus) => string[];
  readonly firstFrame: number;
  /** It may also end sessions, which are then named as a stream fault or missing media. */
  readonly breaks: boolean;
}

export type FaultCase = NeverCase | InterruptedCase | RecordedCase;

function never(
  id: string,
  fault: string,
  open: OpenSource,
  causes: string | readonly string[],
  codes: string | readonly string[],
  retried = true,
): NeverCase {
  return { kind: "never", id, fault, open, causes: [causes].flat(), codes: [codes].flat(), retried };
}

function interrupted(
  id: string,
  fault: string,
  faults: readonly Fault[],
  causes: string | readonly string[],
  codes: string | readonly string[],
): InterruptedCase {
  return { kind: "interrupted", id, fault, open: virtual(), faults, causes: [causes].flat(), codes: [codes].flat(), recovers: true };
}

function recorded(id: string, fault: string, open: OpenSource, expected: Partial<RecordedCase> = {}): RecordedCase {
  return {
    kind: "recorded",
    id,
    fault,
    open,
    during: [],
    missingPictures: 0,
    cut: false,
    says: () => [],
    firstFrame: 0,
    breaks: false,
    ...expected,
  };
}

const BROKEN_REPLIES = [
  "status line without a number",
  "reply without CSeq",
  "reply with a CSeq that is no number",
  "reply that announces 100 GB",
  "reply with a header of 100 kB",
  "reply that begins with other bytes",
];
/** Noise sometimes looks like the head of a long frame, which then swallows what follows: as good as no media. */
const NOISE = { causes: ["stream-fault", "no-media"], codes: ["garbage", "media-silence"] } as const;
const HANGING: readonly RtspMethod[] = ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"];
const ACCOUNT = { username: "admin", password: "right-one" };

const counts =
  (name: "lostPackets" | "malformedPackets" | "timeJumps", low: number, high: number) =>
  ({ numbers }: StreamStatus): string[] =>
    numbers[name] >= low && numbers[name] <= high ? [] : [`${name} is ${numbers[name]}, expected are ${low} to ${high}`];

const warns =
  (pattern: RegExp) =>
  ({ warnings }: StreamStatus): string[] =>
    warnings.some((warning) => pattern.test(warning)) ? [] : [`no warning says ${pattern}; there is ${JSON.stringify(warnings)}`];

/** Everything a camera is known to do wrong, and what the recorder must make of it. */
export const FAULT_CASES: readonly FaultCase[] = [
  never("unreachable", "no route to the host", nowhere("rtsp://255.255.255.255:554/live"), "camera-unreachable", "unreachable"),
  never("no-name", "the name has no address", nowhere("rtsp://camera.invalid/live"), "camera-unreachable", "dns-failed"),
  never("refused", "nobody listens", virtual({ faults: [{ kind: "refused" }] }), "camera-unreachable", "refused"),
  never("deaf", "connections are never accepted", deaf(), "camera-unreachable", "connect-timeout"),
  never(
    "wrong-password",
    "wrong password",
    virtual({ server: { auth: ACCOUNT }, credentials: { ...ACCOUNT, password: "wrong-one" } }),
    "auth-refused",
    "bad-password",
    false,
  ),
  never(
    "no-password",
    "a password is asked for, none is known",
    async () => {
      const source = await virtual({ server: { auth: ACCOUNT } })();
      return { ...source, url: source.url.replace(/\/\/.*@/, "//") };
    },
    "auth-refused",
    "password-missing",
  ),
  never(
    "locked",
    "every credential is refused",
    virtual({ server: { auth: ACCOUNT }, faults: [{ kind: "credentials-refused" }] }),
    "auth-refused",
    "bad-password",
    false,
  ),
  never("other-protocol", "another protocol answers", virtual({ faults: [{ kind: "binary-banner" }] }), "stream-fault", "not-rtsp"),
  never("http", "HTTP answers", virtual({ faults: [{ kind: "http-reply" }] }), "stream-fault", "not-rtsp"),
  never("noise-flood", "noise for ever, as fast as it is read", floodOfNoise(), "stream-fault", "not-rtsp"),
  never("head-flood", "a reply head that never ends", floodOfHead(), "stream-fault", ["malformed-reply", "not-rtsp"]),
  never("not-found", "404", virtual({ faults: [{ kind: "not-found" }] }), "stream-fault", "rejected"),
  never("redirect-loop", "redirects to itself", redirectedInCircles(), "stream-fault", "redirect-loop"),
  never(
    "redirect-away",
    "redirects to HTTP",
    virtual({ faults: [{ kind: "redirect", location: "http://127.0.0.1/" }] }),
    "stream-fault",
    "redirect-refused",
  ),
  never("sdp-garbage", "DESCRIBE brings no SDP", virtual({ faults: [{ kind: "sdp-garbage" }] }), "stream-fault", [
    "no-sdp",
    "sdp-without-video",
  ]),
  never("no-video", "SDP without video", virtual({ faults: [{ kind: "sdp-without-video" }] }), "stream-fault", "sdp-without-video"),
  never("no-media", "PLAY is answered, no media comes", virtual({ faults: [{ kind: "no-media" }] }), "no-media", "media-silence"),
  never("garbage-only", "noise for ever instead of media", virtual({ faults: [{ kind: "garbage-only" }] }), NOISE.causes, NOISE.codes),
  ...HANGING.map((method) =>
    never(
      `hang-${method.toLowerCase()}`,
      `${method} is never answered`,
      virtual({ faults: [{ kind: "hang", method }] }),
      "stream-fault",
      "no-reply",
    ),
  ),
  ...BROKEN_REPLIES.map((what, from) =>
    never(`broken-reply-${from}`, what, virtual({ faults: [{ kind: "malformed-rtsp", from }] }), "stream-fault", [
      "malformed-reply",
      "not-rtsp",
    ]),
  ),

  interrupted("silence", "media stops, the socket stays open", [{ kind: "silence" }], "no-media", "media-silence"),
  interrupted("half-open", "half-open socket", [{ kind: "half-open" }], "no-media", "media-silence"),
  interrupted("bye", "RTCP BYE, then nothing", [{ kind: "bye" }], "no-media", "media-silence"),
  interrupted("reset", "connection reset", [{ kind: "reset" }], "camera-unreachable", "reset"),
  interrupted("close", "connection closed", [{ kind: "close" }], "camera-unreachable", "closed-by-camera"),
  interrupted("reboot", "reset, then nobody listens", [{ kind: "refused" }, { kind: "reset" }], "camera-unreachable", "refused"),
  interrupted("garbage-later", "noise instead of media, after a while", [{ kind: "garbage-only" }], NOISE.causes, NOISE.codes),
  {
    ...interrupted(
      "new-password",
      "password changed, then a reset",
      [{ kind: "password-changed", password: "another" }, { kind: "reset" }],
      "auth-refused",
      "bad-password",
    ),
    open: virtual({ server: { auth: ACCOUNT } }),
    recovers: false,
  },

  ...(["basic", "digest-md5", "digest-sha256"] as const).map((scheme) =>
    recorded(`auth-${scheme}`, `asks for ${scheme}`, virtual({ server: { auth: { ...ACCOUNT, schemes: [scheme] } } })),
  ),
  recorded(
    "auth-choice",
    "offers basic before SHA-256 before MD5",
    virtual({ server: { auth: { ...ACCOUNT, schemes: ["basic", "digest-sha256", "digest-md5"] } } }),
  ),
  recorded("auth-old", "digest without qop (RFC 2069)", virtual({ server: { auth: { ...ACCOUNT, qop: false } } })),
  recorded(
    "auth-stale",
    "nonces expire after a second",
    virtual({ server: { auth: { ...ACCOUNT, nonceLifetimeMs: 1000 }, sessionTimeoutS: 4 } }),
  ),
  recorded("redirected", "redirects to another camera", redirected()),
  recorded("content-location", "relative control, Content-Location", virtual({ server: { base: "content-location" } })),
  recorded("no-base", "relative control without a base", virtual({ server: { base: "none" } })),
  recorded("absolute-control", "absolute control", virtual({ server: { base: "none", control: "absolute" } })),
  recorded(
    "few-methods",
    "knows no GET_PARAMETER, session of 4 s",
    virtual({ server: { sessionTimeoutS: 4, methods: RTSP_METHODS.filter((method) => !/PARAMETER|PAUSE/.test(method)) } }),
  ),
  recorded("unknown-sound", "sound in an unknown codec", virtual({ stream: { audio: "unknown" } }), { says: warns(/sound|audio/i) }),
  recorded("sets-in-band", "SDP without parameter sets", virtual({ faults: [{ kind: "sdp-without-parameter-sets" }] })),
  recorded("sets-in-band-only", "parameter sets in band only", virtual({ stream: { parameterSets: "in-band-only" } })),
  recorded("sets-in-sdp-only", "parameter sets in the SDP only", virtual({ stream: { parameterSets: "sdp-only" } })),
  recorded("mid-group", "begins in the middle of a group", virtual({ stream: { firstFrame: 20 } }), { firstFrame: 50 }),
  recorded("wrap", "RTP timestamps and numbers wrap", virtual({ faults: [{ kind: "wrap", afterSeconds: 3 }] }), {
    says: counts("timeJumps", 0, 0),
  }),
  recorded("parameter-change", "another picture size in mid-stream", virtual(), { during: [{ kind: "parameter-change" }], cut: true }),
  recorded("jump-forth", "timestamps jump an hour forth", virtual(), {
    during: [{ kind: "timestamp-jump", seconds: 3600 }],
    cut: true,
    says: counts("timeJumps", 1, 4),
  }),
  recorded("jump-back", "timestamps jump an hour back", virtual(), {
    during: [{ kind: "timestamp-jump", seconds: -3600 }],
    cut: true,
    says: counts("timeJumps", 1, 4),
  }),
  recorded("outlier", "one picture is an hour off", virtual(), {
    during: [{ kind: "timestamp-jump", seconds: 3600, frames: 1 }],
    says: counts("timeJumps", 0, 0),
  }),
  recorded("gap", "two packets are lost", virtual({ stream: { bitrateBps: 1_000_000 } }), {
    during: [{ kind: "sequence-gap", packets: 2 }],
    missingPictures: 2,
    says: counts("lostPackets", 2, 2),
  }),
  recorded("duplicates", "every packet comes twice", virtual(), { during: [{ kind: "duplicates" }], says: counts("lostPackets", 0, 0) }),
  recorded("ssrc-change", "another SSRC in mid-stream", virtual(), {
    during: [{ kind: "ssrc-change" }],
    cut: true,
    says: counts("timeJumps", 1, 4),
  }),
  recorded("malformed-rtp", "a broken RTP packet with each picture", virtual(), {
    during: [{ kind: "malformed-rtp" }],
    says: counts("malformedPackets", 1, Number.POSITIVE_INFINITY),
  }),
  recorded("garbage-between", "noise between frames", virtual(), {
    during: [{ kind: "garbage", bytes: 40 }],
    missingPictures: Number.POSITIVE_INFINITY,
    breaks: true,
  }),
];

/** The case that plays each kind of fault the virtual camera has; a kind without one does not compile. */
export const CASE_OF_KIND: Readonly<Record<FaultKind, string>> = {
  silence: "silence",
  "half-open": "half-open",
  refused: "reboot",
  "credentials-refused": "locked",
  "password-changed": "new-password",
  "sdp-without-parameter-sets": "sets-in-band",
  "sdp-without-video": "no-video",
  "sdp-garbage": "sdp-garbage",
  "parameter-change": "parameter-change",
  wrap: "wrap",
  garbage: "garbage-between",
  "garbage-only": "garbage-only",
  "http-reply": "http",
  "binary-banner": "other-protocol",
  "no-media": "no-media",
  hang: "hang-play",
  "malformed-rtp": "malformed-rtp",
  "malformed-rtsp": "broken-reply-0",
  duplicates: "duplicates",
  "not-found": "not-found",
  redirect: "redirected",
  reset: "reset",
  close: "close",
  bye: "bye",
  "timestamp-jump": "jump-forth",
  "sequence-gap": "gap",
  "ssrc-change": "ssrc-change",
};
