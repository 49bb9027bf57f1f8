import { CLIP_FPS, loadVideo } from "./clip.ts";
import type { StreamOptions } from "./options.ts";
import { audioFormat, VIDEO_CLOCK_HZ, VIDEO_PAYLOAD_TYPE } from "./packets.ts";

/** What the faults leave of a description. */
export interface SdpShape {
  readonly video: boolean;
  readonly parameterSets: boolean;
  /** Put before each control name; empty for relative ones. */
  readonly controlPrefix: string;
}

/** Name in the control URL of each track. */
export const TRACK_CONTROLS = { video: "track1", audio: "track2" } as const;

/** The description of a stream (RFC 4566; H.264 as RFC 6184 8.2.1). */
export function describeStream(stream: StreamOptions, host: string, shape: SdpShape): string {
  const lines = [
    "v=0",
    `o=- 1 1 IN IP4 ${host}`,
    `s=${stream.name}`,
    "c=IN IP4 0.0.0.0",
    "t=0 0",
    `a=control:${shape.controlPrefix === "" ? "*" : shape.controlPrefix.replace(/\/$/, "")}`,
    "a=range:npt=now-",
  ];
  if (shape.video) {
    const { sps, pps } = loadVideo(stream.video);
    const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
    const profile = Buffer.from(sps.subarray(1, 4)).toString("hex").toUpperCase();
    const sets = shape.parameterSets ? `;sprop-parameter-sets=${base64(sps)},${base64(pps)}` : "";
    lines.push(
      `m=video 0 RTP/AVP ${VIDEO_PAYLOAD_TYPE}`,
      `a=rtpmap:${VIDEO_PAYLOAD_TYPE} H264/${VIDEO_CLOCK_HZ}`,
      `a=fmtp:${VIDEO_PAYLOAD_TYPE} packetization-mode=1;profile-level-id=${profile}${sets}`,
      `a=framerate:${CLIP_FPS}`,
      `a=control:${shape.controlPrefix}${TRACK_CONTROLS.video}`,
    );
  }
  const audio = audioFormat(stream.audio);
  if (audio !== null) {
    lines.push(`m=audio 0 RTP/AVP ${audio.payloadType}`, `a=rtpmap:${audio.payloadType} ${audio.rtpmap}`);
    if (audio.fmtp !== null) lines.push(`a=fmtp:${audio.payloadType} ${audio.fmtp}`);
    lines.push(`a=control:${shape.controlPrefix}${TRACK_CONTROLS.audio}`);
  }
  return `${lines.join("\r\n")}\r\n`;
}
