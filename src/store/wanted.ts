import type { DesiredCamera } from "../config/types.ts";
import { STREAM_KINDS, type StreamKey, streamKeyText } from "../media/types.ts";
import { streamName } from "./paths.ts";
import type { StreamPlace } from "./types.ts";

/** What the desired document says of streams: whose time has to be accounted for. */
export class Wanted {
  readonly #streams = new Set<string>();
  readonly #keys = new Set<string>();
  /** Camera ids by channel. */
  readonly #cameras = new Map<number, string>();

  constructor(serial: string, cameras: readonly DesiredCamera[]) {
    for (const { id, channel, subUrl } of cameras) {
      this.#cameras.set(channel, id);
      for (const stream of subUrl === null ? (["main"] as const) : STREAM_KINDS) {
        this.#streams.add(`${id}/${streamName(serial, channel, stream)}`);
        this.#keys.add(streamKeyText({ camera: id, stream }));
      }
    }
  }

  /** True if the stream is in the document, recorded or not. */
  has(stream: Pick<StreamPlace, "camera" | "name">): boolean {
    return this.#streams.has(`${stream.camera}/${stream.name}`);
  }

  /** True if the stream is in the document, under whatever name. */
  hasKey(stream: StreamKey): boolean {
    return this.#keys.has(streamKeyText(stream));
  }

  /** Who records on a channel of this box; null if nobody. */
  cameraOf(channel: number): string | null {
    return this.#cameras.get(channel) ?? null;
  }
}
