import { DEFAULT_AUTH, type VirtualCameraOptions } from "../fakes/camera/options.ts";

/** A virtual camera of the demo and how it is added. */
export interface DemoCamera {
  readonly id: string;
  readonly options: VirtualCameraOptions;
  readonly credentials: { readonly username: string; readonly password: string } | null;
}

/** Name of each camera's only stream. */
export const STREAM = "stream1";

const PASSWORD = { username: DEFAULT_AUTH.username, password: DEFAULT_AUTH.password };

/** Four cameras as one finds them on a site: sizes, sound, pacing and passwords differ. */
export const DEMO_CAMERAS: readonly DemoCamera[] = [
  {
    id: "gate",
    options: { streams: [{ name: STREAM, video: "1080p", audio: "aac", bitrateBps: 4_000_000 }], auth: { schemes: ["digest-sha256"] } },
    credentials: PASSWORD,
  },
  {
    id: "yard",
    options: {
      streams: [{ name: STREAM, video: "1080p", audio: "pcma", bitrateBps: 2_000_000, pacing: "spread", parameterSets: "in-band-only" }],
      auth: { schemes: ["digest-md5"] },
    },
    credentials: PASSWORD,
  },
  {
    id: "lobby",
    options: { streams: [{ name: STREAM, video: "720p", audio: "pcmu", bitrateBps: 1_000_000 }], auth: { schemes: ["basic"] } },
    credentials: PASSWORD,
  },
  {
    id: "store-room",
    options: { streams: [{ name: STREAM, video: "720p", audio: "none", firstFrame: 17 }], control: "absolute", base: "none" },
    credentials: null,
  },
];
