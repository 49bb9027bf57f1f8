/** RTSP methods the camera knows (RFC 2326 10). */
export const RTSP_METHODS = ["OPTIONS", "DESCRIBE", "SETUP", "PLAY", "PAUSE", "GET_PARAMETER", "SET_PARAMETER", "TEARDOWN"] as const;
export type RtspMethod = (typeof RTSP_METHODS)[number];

/** Lasts until it is cleared. */
export type LastingFault =
  /** Media stops, its time goes on; the socket stays open and requests are answered. */
  | { readonly kind: "silence" }
  /** Nothing is read or written any more on the connections of the stream, new ones too; no FIN is sent. */
  | { readonly kind: "half-open" }
  /** The listener is closed: connections are refused. Of the whole server, since the port is shared. */
  | { readonly kind: "refused" }
  /** Every request is answered 401, whatever the credentials. */
  | { readonly kind: "credentials-refused" }
  /** The password is another one now; asked of each request. */
  | { readonly kind: "password-changed"; readonly password: string }
  /** The SDP has no sprop-parameter-sets; what is in band stays. */
  | { readonly kind: "sdp-without-parameter-sets" }
  /** The SDP has the sound alone (nothing at all when there is none). */
  | { readonly kind: "sdp-without-video" }
  /** DESCRIBE is answered with something that is no SDP. */
  | { readonly kind: "sdp-garbage" }
  /** From the next IDR picture on the other size is sent, with its parameter sets in band; back at the first one after clearing. */
  | { readonly kind: "parameter-change" }
  /** Sessions that begin now have their video timestamps wrap (and sequence numbers, 100 packets later) after so many seconds. */
  | { readonly kind: "wrap"; readonly afterSeconds: number }
  /** So many bytes of noise stand between any two frames of an interleaved connection. */
  | { readonly kind: "garbage"; readonly bytes: number }
  /** Noise instead of all media, for as long as it lasts. */
  | { readonly kind: "garbage-only" }
  /** An HTTP error answers every request. */
  | { readonly kind: "http-reply" }
  /** A connection is greeted with bytes of another protocol, and nothing is answered. Of the whole server, since no path is known by then. */
  | { readonly kind: "binary-banner" }
  /** PLAY is answered, and no packet ever follows. */
  | { readonly kind: "no-media" }
  /** Requests of the method are read and never answered. */
  | { readonly kind: "hang"; readonly method: RtspMethod }
  /** One broken packet a frame, beside the good ones: versions, lengths, payload types and channels that cannot be, in turn. */
  | { readonly kind: "malformed-rtp" }
  /** Replies have broken status lines and headers, in turn; each connection begins with the way of this number (0). */
  | { readonly kind: "malformed-rtsp"; readonly from?: number }
  /** Every packet comes twice. */
  | { readonly kind: "duplicates" }
  /** DESCRIBE is answered 404. */
  | { readonly kind: "not-found" }
  /** DESCRIBE is answered 302 with this Location. */
  | { readonly kind: "redirect"; readonly location: string };

/** Happens to every client of the stream at once. */
export type SuddenFault =
  /** RST. */
  | { readonly kind: "reset" }
  /** FIN, without a word. */
  | { readonly kind: "close" }
  /** RTCP BYE on all tracks; then nothing, on an open socket. */
  | { readonly kind: "bye" }
  /** Timestamps of all tracks step by so many seconds (negative: back), for good or for a number of frames. */
  | { readonly kind: "timestamp-jump"; readonly seconds: number; readonly frames?: number }
  /** So many packets are lost on the way, from the second of a frame on. */
  | { readonly kind: "sequence-gap"; readonly packets: number }
  /** Another SSRC, sequence number and timestamp on all tracks, as after a restart inside the camera. */
  | { readonly kind: "ssrc-change" };

/** Everything that can be wrong with a camera; each is a vector that tests, the demo and people can name. */
export type Fault = LastingFault | SuddenFault;
export type FaultKind = Fault["kind"];

/** A fault that comes by itself. */
export interface ScriptStep {
  /** When any client has been sent this many frames; or so long after the camera started. */
  readonly when: { readonly frame: number } | { readonly ms: number };
  readonly fault: Fault;
  /** A lasting fault is cleared after so long; without it, never. */
  readonly forMs?: number;
}

const SUDDEN: readonly string[] = [
  "reset",
  "close",
  "bye",
  "timestamp-jump",
  "sequence-gap",
  "ssrc-change",
] satisfies SuddenFault["kind"][];

export function isSudden(fault: Fault): fault is SuddenFault {
  return SUDDEN.includes(fault.kind);
}

/** The lasting faults of one stream; a kind is there once. */
export class ActiveFaults {
  readonly #faults = new Map<string, LastingFault>();

  get any(): boolean {
    return this.#faults.size > 0;
  }

  set(fault: LastingFault): void {
    this.#faults.set(fault.kind, fault);
  }

  clear(kind: FaultKind): void {
    this.#faults.delete(kind);
  }

  has(kind: LastingFault["kind"]): boolean {
    return this.#faults.has(kind);
  }

  get<Kind extends LastingFault["kind"]>(kind: Kind): Extract<LastingFault, { kind: Kind }> | undefined {
    return this.#faults.get(kind) as Extract<LastingFault, { kind: Kind }> | undefined;
  }
}
