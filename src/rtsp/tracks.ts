import type { TrackSetup } from "../engine/types.ts";
import type { Codec } from "../media/types.ts";
import { excerpt } from "./message.ts";
import type { SdpFormat, SdpMedia, SessionDescription } from "./sdp.ts";

/** Parameter sets accepted from one SDP, and the size of one of them, in bytes. */
const MAX_PARAMETER_SETS = 16;
const MAX_PARAMETER_SET_BYTES = 4096;
const MAX_CONFIG_BYTES = 64;
const MAX_CLOCK_RATE_HZ = 1_000_000;
const MAX_CHANNELS = 8;

const NAL_TYPE_SPS = 7;
const NAL_TYPE_PPS = 8;

/** A track as described, recordable or not. */
export interface DescribedTrack {
  /** video, audio, application, … */
  readonly kind: string;
  readonly payloadType: number;
  readonly encodingName: string;
  readonly clockRateHz: number;
  readonly channels: number;
  readonly framesPerSecond: number | null;
  /** What SETUP needs; null when the track is not recorded. */
  readonly setup: PlannedSetup | null;
}

/** A track to be set up: what the engine must know except the channels, which the server's answer decides. */
export interface PlannedSetup {
  readonly control: string | null;
  readonly track: Omit<TrackSetup, "rtpChannel" | "rtcpChannel" | "ssrc">;
}

export interface TrackPlan {
  /** Every track of the presentation in the order of the SDP. */
  readonly described: readonly DescribedTrack[];
  /** At most one video and one audio track, video first. */
  readonly setups: readonly PlannedSetup[];
  /** What is left out and why, a sentence each. */
  readonly warnings: readonly string[];
}

type Reading = { readonly track: PlannedSetup["track"] } | { readonly problem: string };

/** Decides which tracks of a presentation are recorded: the first video and the first audio track in a codec that is spoken. */
export function planTracks(description: SessionDescription): TrackPlan {
  const described: DescribedTrack[] = [];
  const warnings: string[] = [];
  const chosen = new Map<string, PlannedSetup>();
  // ONVIF marks the way back to the loudspeaker "sendonly"; a few cameras mark everything so, meaning themselves.
  const backchannels = description.media.some(({ direction }) => direction !== "sendonly");
  for (const media of description.media) {
    const { format, reading } = readTrack(media);
    const base = {
      kind: excerpt(media.kind, 20),
      payloadType: format.payloadType,
      encodingName: excerpt(format.encodingName, 40),
      clockRateHz: format.clockRateHz,
      channels: format.channels,
      framesPerSecond: media.framesPerSecond,
    };
    const backchannel = backchannels && media.direction === "sendonly";
    let setup: PlannedSetup | null = null;
    if (media.kind === "video" || media.kind === "audio") {
      if ("problem" in reading) warnings.push(`${media.kind === "video" ? "video" : "sound"} is not recorded: ${reading.problem}`);
      else if (!backchannel && !chosen.has(media.kind)) setup = { control: media.control, track: reading.track };
      else if (!backchannel) warnings.push(`a second ${media.kind} track (${base.encodingName}) is not recorded`);
    }
    if (setup !== null) chosen.set(media.kind, setup);
    described.push({ ...base, setup });
  }
  const setups = [chosen.get("video"), chosen.get("audio")].filter((setup) => setup !== undefined);
  return { described, setups, warnings };
}

/** The first format of a section that is spoken; without one, the first at all and what is wrong with it. */
function readTrack(media: SdpMedia): { format: SdpFormat; reading: Reading } {
  let first: { format: SdpFormat; reading: Reading } | null = null;
  for (const format of media.formats) {
    const reading = readFormat(media.kind, format);
    if ("track" in reading) return { format, reading };
    first ??= { format, reading };
  }
  const none: SdpFormat = { payloadType: 0, encodingName: "", clockRateHz: 0, channels: 0, parameters: new Map() };
  return first ?? { format: none, reading: { problem: "the SDP names no payload type for it" } };
}

function readFormat(kind: string, format: SdpFormat): Reading {
  const name = format.encodingName.toUpperCase();
  const codec = `${kind}/${name}`;
  switch (codec) {
    case "video/H264":
      return readH264(format);
    case "audio/MPEG4-GENERIC":
      return readAac(format);
    case "audio/PCMA":
      return readG711("pcma", format);
    case "audio/PCMU":
      return readG711("pcmu", format);
    default:
      return { problem: name === "" ? `the SDP does not say what payload type ${format.payloadType} is` : unknownCodec(kind, format) };
  }
}

function unknownCodec(kind: string, format: SdpFormat): string {
  const spoken = kind === "video" ? "H264" : "MPEG4-GENERIC (AAC), PCMA and PCMU";
  return `its codec is ${excerpt(format.encodingName, 40)}, recorded ${kind === "video" ? "is" : "are"} ${spoken}`;
}

/** RFC 6184 8.1. */
function readH264(format: SdpFormat): Reading {
  const mode = format.parameters.get("packetization-mode") ?? "0";
  if (mode === "2") return { problem: "it is H.264 in interleaved mode (packetization-mode 2), allowed are 0 and 1" };
  const sets: string[] = [];
  for (const text of (format.parameters.get("sprop-parameter-sets") ?? "").split(",")) {
    const unit = withoutStartCode(Buffer.from(text.trim(), "base64"));
    const type = (unit[0] ?? 0) & 0x1f;
    const fits = unit.length > 1 && unit.length <= MAX_PARAMETER_SET_BYTES && sets.length < MAX_PARAMETER_SETS;
    if (fits && (type === NAL_TYPE_SPS || type === NAL_TYPE_PPS)) sets.push(unit.toString("base64"));
  }
  return withClock(format, 90_000, 0, { codec: "h264", config: sets, aac: null });
}

/** Some cameras leave the Annex B start code in sprop-parameter-sets. */
function withoutStartCode(unit: Buffer): Buffer {
  if (unit.length > 4 && unit.readUInt32BE(0) === 1) return unit.subarray(4);
  if (unit.length > 3 && unit.readUIntBE(0, 3) === 1) return unit.subarray(3);
  return unit;
}

/** Field lengths of the two modes that carry AAC when the SDP leaves them out (RFC 3640 3.3.5, 3.3.6). */
const AAC_MODES: Readonly<Record<string, readonly [sizeLength: number, indexLength: number, indexDeltaLength: number]>> = {
  "aac-hbr": [13, 3, 3],
  "aac-lbr": [6, 2, 2],
};

/** RFC 3640 4.1. */
function readAac(format: SdpFormat): Reading {
  const { parameters } = format;
  const mode = (parameters.get("mode") ?? "AAC-hbr").toLowerCase();
  const lengths = AAC_MODES[mode];
  if (lengths === undefined) return { problem: `it is MPEG4-GENERIC in mode ${excerpt(mode, 20)}, recorded are AAC-hbr and AAC-lbr` };
  const hex = (parameters.get("config") ?? "").replace(/\s/g, "");
  const valid = /^(?:[0-9a-f]{2}){2,}$/i.test(hex) && hex.length <= MAX_CONFIG_BYTES * 2;
  if (!valid) return { problem: "the SDP holds no readable AudioSpecificConfig for its AAC" };
  const config = Buffer.from(hex, "hex");
  const number = (name: string, otherwise: number): number => {
    const value = parameters.get(name);
    return value !== undefined && /^\d{1,2}$/.test(value) ? Math.min(Number(value), 32) : otherwise;
  };
  const aac = {
    sizeLength: number("sizelength", lengths[0]),
    indexLength: number("indexlength", lengths[1]),
    indexDeltaLength: number("indexdeltalength", lengths[2]),
  };
  const channels = format.channels > 0 ? format.channels : (aacChannels(config) ?? 1);
  return withClock(format, 0, channels, { codec: "aac", config: [config.toString("base64")], aac });
}

/** channelConfiguration of an AudioSpecificConfig as a count (ISO/IEC 14496-3 1.6.2.1, table 1.19); null where it does not tell. */
function aacChannels(config: Buffer): number | null {
  const bits = [...config].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const at = (offset: number, length: number): number => Number.parseInt(bits.slice(offset, offset + length), 2);
  let offset = at(0, 5) === 31 ? 11 : 5;
  offset += at(offset, 4) === 15 ? 28 : 4;
  const configuration = at(offset, 4);
  if (configuration >= 1 && configuration <= 6) return configuration;
  return configuration === 7 ? 8 : null;
}

function readG711(codec: "pcma" | "pcmu", format: SdpFormat): Reading {
  return withClock(format, 8000, Math.max(1, format.channels), { codec, config: [], aac: null });
}

function withClock(
  format: SdpFormat,
  defaultHz: number,
  channels: number,
  rest: { readonly codec: Codec; readonly config: readonly string[]; readonly aac: TrackSetup["aac"] },
): Reading {
  const clockRateHz = format.clockRateHz === 0 ? defaultHz : format.clockRateHz;
  if (clockRateHz < 1 || clockRateHz > MAX_CLOCK_RATE_HZ) {
    return { problem: `its clock rate is ${clockRateHz} Hz, allowed are 1 to ${MAX_CLOCK_RATE_HZ}` };
  }
  if (channels > MAX_CHANNELS) return { problem: `it has ${channels} channels, allowed are ${MAX_CHANNELS}` };
  return { track: { ...rest, clockRateHz, channels, payloadType: format.payloadType } };
}
