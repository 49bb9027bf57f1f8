import { type ErrorCode, RecorderError } from "../base/errors.ts";
import type { DisconnectCause } from "../engine/types.ts";
import type { GapCause } from "../media/types.ts";
import type { SessionEnd } from "./types.ts";

const ERROR_OF_CAUSE = {
  "camera-unreachable": "CAMERA_UNREACHABLE",
  "auth-refused": "CAMERA_AUTH_REFUSED",
  "stream-fault": "CAMERA_STREAM_FAULT",
  "no-media": "CAMERA_NO_MEDIA",
} as const satisfies Partial<Record<GapCause, ErrorCode>>;

/** Every way a session ends, and the cause the ledger files it under. The words are stable: programs and tests rely on them. */
const CAUSE_OF_END = {
  "dns-failed": "camera-unreachable",
  refused: "camera-unreachable",
  unreachable: "camera-unreachable",
  "connect-timeout": "camera-unreachable",
  reset: "camera-unreachable",
  "closed-by-camera": "camera-unreachable",
  "send-blocked": "camera-unreachable",
  "bad-password": "auth-refused",
  "nonce-refused": "auth-refused",
  "password-missing": "auth-refused",
  "auth-unsupported": "auth-refused",
  "auth-waiting": "auth-refused",
  forbidden: "auth-refused",
  "bad-url": "stream-fault",
  "not-rtsp": "stream-fault",
  "malformed-reply": "stream-fault",
  "no-reply": "stream-fault",
  rejected: "stream-fault",
  "closed-early": "stream-fault",
  "no-sdp": "stream-fault",
  "sdp-without-video": "stream-fault",
  "no-supported-codec": "stream-fault",
  "transport-refused": "stream-fault",
  "redirect-refused": "stream-fault",
  "redirect-loop": "stream-fault",
  "session-lost": "stream-fault",
  "ended-by-camera": "stream-fault",
  "request-flood": "stream-fault",
  garbage: "stream-fault",
  "no-key-frame": "stream-fault",
  internal: "stream-fault",
  "media-silence": "no-media",
} as const satisfies Record<string, keyof typeof ERROR_OF_CAUSE>;

/** Stable word for why a session ended. */
export type EndCode = keyof typeof CAUSE_OF_END;

/** A session's end as an error, to unwind with. `detail` must be fit for people and free of secrets. */
export function ended(code: EndCode, detail: string, options?: ErrorOptions): RecorderError {
  return new RecorderError(ERROR_OF_CAUSE[CAUSE_OF_END[code]], detail, { end: code }, options);
}

/** What an error that ended a session means for ledger, listings and programs. */
export function sessionEnd(error: RecorderError): SessionEnd {
  const code = endCode(error);
  return { cause: CAUSE_OF_END[code], code, detail: error.message };
}

function endCode(error: RecorderError): EndCode {
  const end = error.context["end"];
  if (typeof end === "string" && isEndCode(end)) return end;
  // The transport's rejections carry the engine's word.
  if (error.code === "CAMERA_UNREACHABLE") return error.context["cause"] === "refused" ? "refused" : connectEnd(error.context["cause"]);
  if (error.code === "INPUT_INVALID") return "bad-url";
  return "internal";
}

function connectEnd(cause: unknown): EndCode {
  return cause === "timeout" ? "connect-timeout" : "unreachable";
}

function isEndCode(text: string): text is EndCode {
  return Object.hasOwn(CAUSE_OF_END, text);
}

/** The end that a lost connection stands for. `heard`: an RTSP message came; `playing`: PLAY was accepted. */
export function disconnectEnd(
  cause: DisconnectCause,
  detail: string,
  progress: { readonly heard: boolean; readonly playing: boolean },
): RecorderError {
  const because = detail === "" ? "" : `: ${detail}`;
  switch (cause) {
    case "refused":
      return ended("refused", `the camera refused the connection${because}`);
    case "unreachable":
      return ended("unreachable", `the camera became unreachable${because}`);
    case "timeout":
      return ended("connect-timeout", `the connection timed out${because}`);
    case "reset":
      return ended("reset", `the camera reset the connection${because}`);
    case "closed-by-peer":
      return progress.playing
        ? ended("closed-by-camera", "the camera closed the connection while playing")
        : ended("closed-early", "the camera closed the connection before PLAY was accepted");
    case "framing":
      return progress.heard
        ? ended("garbage", `bytes came that are neither RTSP nor interleaved media${because}`)
        : ended("not-rtsp", `the answer is not RTSP${because}`);
    case "message-too-large":
      return ended("malformed-reply", `an RTSP message was larger than allowed${because}`);
    case "send-blocked":
      return ended("send-blocked", `the camera stopped reading what is sent to it${because}`);
    case "requested":
      return ended("internal", `the connection was given up${because}`);
  }
}
