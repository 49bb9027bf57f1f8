import { RecorderError } from "../base/errors.ts";

const MAX_MEDIA = 32;
const MAX_LINES = 2000;
const MAX_LINE_CHARS = 16 * 1024;
const MAX_ATTRIBUTES_PER_MEDIA = 200;
/** Above this a declared frame rate is a mistake of units. */
const MAX_FRAMES_PER_SECOND = 480;

/** Payload types that need no rtpmap (RFC 3551 6), as far as cameras use them. */
const STATIC_TYPES: Readonly<Record<number, readonly [encoding: string, clockRateHz: number, channels: number]>> = {
  0: ["PCMU", 8000, 1],
  3: ["GSM", 8000, 1],
  4: ["G723", 8000, 1],
  8: ["PCMA", 8000, 1],
  9: ["G722", 8000, 1],
  10: ["L16", 44100, 2],
  11: ["L16", 44100, 1],
  14: ["MPA", 90000, 1],
  18: ["G729", 8000, 1],
  26: ["JPEG", 90000, 0],
  32: ["MPV", 90000, 0],
  33: ["MP2T", 90000, 0],
};

/** One payload format that a media section offers. */
export interface SdpFormat {
  readonly payloadType: number;
  /** As written; compare without regard to case. Empty when the SDP does not say. */
  readonly encodingName: string;
  /** 0 when the SDP does not say. */
  readonly clockRateHz: number;
  /** 0 when the SDP does not say. */
  readonly channels: number;
  /** Parameters of fmtp: names in lower case, values as written. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** One `m=` section. */
export interface SdpMedia {
  /** Lower case: video, audio, application, … */
  readonly kind: string;
  readonly formats: readonly SdpFormat[];
  readonly control: string | null;
  /** Seen from the client, as ONVIF uses it for the way back to the camera's loudspeaker: "sendonly" carries nothing to us. */
  readonly direction: string | null;
  readonly framesPerSecond: number | null;
}

/** What DESCRIBE tells. */
export interface SessionDescription {
  /** Aggregate control of the session level. */
  readonly control: string | null;
  readonly media: readonly SdpMedia[];
}

interface Section {
  readonly line: string;
  readonly attributes: (readonly [name: string, value: string])[];
}

/**
 * Reads a session description (RFC 4566, RFC 8866) as cameras write it: only `m=` and `a=` lines matter, so missing, repeated or broken
 * `v= o= s= c= t=` lines do no harm; blanks and case are taken loosely. Throws CAMERA_STREAM_FAULT when the text is no SDP at all.
 */
export function parseSdp(text: string): SessionDescription {
  const session: Section = { line: "", attributes: [] };
  const sections: Section[] = [];
  let recognised = 0;
  let lines = 0;
  for (const raw of text.split(/[\r\n\0]+/)) {
    if (++lines > MAX_LINES) break;
    const line = /^\s*([a-z])\s*=\s*(.*)$/i.exec(raw.slice(0, MAX_LINE_CHARS));
    if (line === null) continue;
    recognised += 1;
    const [, type = "", value = ""] = line;
    if (type === "m") {
      if (sections.length === MAX_MEDIA) break;
      sections.push({ line: value, attributes: [] });
    } else if (type === "a") {
      const { attributes } = sections.at(-1) ?? session;
      const parts = /^([^:\s]+)\s*(?::\s*(.*))?$/.exec(value.trim());
      if (parts !== null && attributes.length < MAX_ATTRIBUTES_PER_MEDIA) {
        attributes.push([(parts[1] ?? "").toLowerCase(), (parts[2] ?? "").trim()]);
      }
    }
  }
  if (recognised === 0) {
    throw new RecorderError("CAMERA_STREAM_FAULT", `the answer to DESCRIBE holds no SDP (${text.length} characters of something else)`, {
      end: "no-sdp",
    });
  }
  const frameRate = framesPerSecond(session);
  return { control: attribute(session, "control"), media: sections.map((section) => readMedia(section, frameRate)) };
}

function readMedia(section: Section, sessionFrameRate: number | null): SdpMedia {
  const words = section.line.trim().split(/\s+/);
  const kind = (words[0] ?? "").toLowerCase();
  return {
    kind,
    formats: payloadTypes(words, section).map((payloadType) => readFormat(payloadType, section)),
    control: attribute(section, "control"),
    direction: section.attributes.find(([name]) => /^(sendonly|recvonly|sendrecv|inactive)$/.test(name))?.[0] ?? null,
    framesPerSecond: framesPerSecond(section) ?? (kind === "video" ? sessionFrameRate : null),
  };
}

/** The numbers behind the protocol word, wherever the port went; without any, those that rtpmap lines speak of. */
function payloadTypes(words: readonly string[], section: Section): readonly number[] {
  const protocol = words.findIndex((word) => word.includes("/") && /[a-z]/i.test(word));
  const listed = protocol < 0 ? words.slice(2) : words.slice(protocol + 1);
  const numbers = listed.filter((word) => /^\d{1,3}$/.test(word)).map(Number);
  const mapped = values(section, "rtpmap").flatMap((value) => /^(\d{1,3})\s/.exec(value)?.[1] ?? []);
  const types = (numbers.length > 0 ? numbers : mapped.map(Number)).filter((type) => type <= 127);
  return [...new Set(types)];
}

function readFormat(payloadType: number, section: Section): SdpFormat {
  const [encoding, clockRateHz, channels] = STATIC_TYPES[payloadType] ?? ["", 0, 0];
  for (const value of values(section, "rtpmap")) {
    const map = /^(\d{1,3})\s+([^\s/]+)(?:\s*\/\s*(\d{1,9}))?(?:\s*\/\s*(\d{1,3}))?/.exec(value);
    if (map === null || Number(map[1]) !== payloadType) continue;
    return {
      payloadType,
      encodingName: map[2] ?? "",
      clockRateHz: map[3] === undefined ? clockRateHz : Number(map[3]),
      channels: map[4] === undefined ? channels : Number(map[4]),
      parameters: formatParameters(payloadType, section),
    };
  }
  return { payloadType, encodingName: encoding, clockRateHz, channels, parameters: formatParameters(payloadType, section) };
}

/** fmtp of this payload type only: some cameras repeat another track's line here. */
function formatParameters(payloadType: number, section: Section): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  for (const value of values(section, "fmtp")) {
    const line = /^(\d{1,3})\s+(.*)$/.exec(value);
    if (line === null || Number(line[1]) !== payloadType) continue;
    for (const part of (line[2] ?? "").split(";")) {
      const equals = part.indexOf("=");
      if (equals > 0) parameters.set(part.slice(0, equals).trim().toLowerCase(), unquoted(part.slice(equals + 1).trim()));
    }
  }
  return parameters;
}

function unquoted(text: string): string {
  return text.length > 1 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text;
}

function framesPerSecond(section: Section): number | null {
  for (const name of ["framerate", "x-framerate"]) {
    const rate = Number.parseFloat(attribute(section, name) ?? "");
    if (rate > 0 && rate <= MAX_FRAMES_PER_SECOND) return rate;
  }
  return null;
}

function attribute(section: Section, name: string): string | null {
  return section.attributes.find(([key]) => key === name)?.[1] ?? null;
}

function values(section: Section, name: string): readonly string[] {
  return section.attributes.filter(([key]) => key === name).map(([, value]) => value);
}
