import { type ClientRecord, Connection } from "./connection.ts";
import type { Fault, FaultKind } from "./faults.ts";
import { resolveOptions, type ServerOptions, type VirtualCameraOptions } from "./options.ts";
import { packetLoop } from "./packets.ts";
import type { Instant } from "./player.ts";
import { StreamSource } from "./stream.ts";

/** One wake-up for all clients. Spread packets want it finer than whole frames. */
const TICK_MS = { burst: 10, spread: 2 } as const;
/** Connections that are remembered after their end. */
const RECORD_LIMIT = 1000;

/** A running virtual camera. */
export interface VirtualCamera {
  readonly port: number;
  /** Names of the streams, in the order of the options. */
  readonly streams: readonly string[];
  /** URL of a stream; with user and password where they are asked for. */
  url(stream: string, credentials?: { readonly username: string; readonly password: string }): string;
  /** Switches a fault on; the returned function ends it, if it is one that lasts. */
  inject(stream: string, fault: Fault): () => void;
  clear(stream: string, kind: FaultKind): void;
  /** Connections of the stream (of all streams without a name) from the first one on, ended ones too. */
  clients(stream?: string): readonly ClientRecord[];
  /** Ends every stream with RTCP BYE and frees the port. Safe to call twice. */
  stop(): Promise<void>;
}

/** Starts a camera; it accepts connections when this resolves. */
export async function startVirtualCamera(options: VirtualCameraOptions = {}): Promise<VirtualCamera> {
  return new Server(resolveOptions(options));
}

class Server implements VirtualCamera {
  readonly port: number;
  readonly streams: readonly string[];
  readonly #options: ServerOptions;
  readonly #sources: ReadonlyMap<string, StreamSource>;
  readonly #connections = new Set<Connection>();
  readonly #records: ClientRecord[] = [];
  readonly #timer: ReturnType<typeof setInterval>;
  #listener: Bun.TCPSocketListener<Connection> | null;
  #stopped = false;

  constructor(options: ServerOptions) {
    this.#options = options;
    const switches = { refuseConnections: (refuse: boolean) => this.#refuse(refuse) };
    this.#sources = new Map(options.streams.map((stream) => [stream.name, new StreamSource(stream, switches)]));
    this.streams = [...this.#sources.keys()];
    // Built now: the first PLAY must not make the other clients wait.
    for (const { video, audio, bitrateBps, payloadBytes, parameterSets } of options.streams) {
      packetLoop({ video, audio, bitrateBps, payloadBytes, inBandParameterSets: parameterSets !== "sdp-only" });
    }
    this.#listener = this.#listen(options.port);
    this.port = this.#listener.port;
    const spread = options.streams.some((stream) => stream.pacing === "spread");
    this.#timer = setInterval(() => this.#tick(), spread ? TICK_MS.spread : TICK_MS.burst);
    for (const source of this.#sources.values()) source.start();
  }

  url(stream: string, credentials?: { readonly username: string; readonly password: string }): string {
    const user = credentials ?? this.#options.auth;
    const userInfo = user === null ? "" : `${encodeURIComponent(user.username)}:${encodeURIComponent(user.password)}@`;
    return `rtsp://${userInfo}${this.#options.hostname}:${this.port}/${stream}`;
  }

  inject(stream: string, fault: Fault): () => void {
    return this.#source(stream).inject(fault);
  }

  clear(stream: string, kind: FaultKind): void {
    this.#source(stream).clear(kind);
  }

  clients(stream?: string): readonly ClientRecord[] {
    return this.#records.filter((record) => stream === undefined || record.stream === stream);
  }

  stop(): Promise<void> {
    if (!this.#stopped) {
      this.#stopped = true;
      clearInterval(this.#timer);
      for (const source of this.#sources.values()) source.stop();
      for (const connection of [...this.#connections]) connection.close("stopped");
      this.#listener?.stop(true);
      this.#listener = null;
    }
    return Promise.resolve();
  }

  #source(name: string): StreamSource {
    const source = this.#sources.get(name);
    if (source === undefined) throw new Error(`the virtual camera has no stream ${name}; it has ${this.streams.join(", ")}`);
    return source;
  }

  #tick(): void {
    const now = this.#now();
    for (const connection of this.#connections) connection.advance(now);
  }

  #now(): Instant {
    const monoMs = performance.now();
    return { monoMs, utcMs: performance.timeOrigin + monoMs };
  }

  #refuse(refuse: boolean): void {
    if (refuse) this.#listener?.stop();
    if (refuse || this.#stopped) this.#listener = null;
    else this.#listener ??= this.#listen(this.port);
  }

  #listen(port: number): Bun.TCPSocketListener<Connection> {
    return Bun.listen<Connection>({
      hostname: this.#options.hostname,
      port,
      socket: {
        binaryType: "uint8array",
        open: (socket) => {
          socket.setNoDelay(true);
          const connection = new Connection(this.#options, this.#sources, socket, () => this.#now());
          socket.data = connection;
          this.#connections.add(connection);
          if (this.#records.length < RECORD_LIMIT) this.#records.push(connection.record);
        },
        data: (socket, chunk) => socket.data.received(chunk),
        drain: (socket) => socket.data.drain(),
        close: (socket) => {
          socket.data?.ended("client");
          this.#connections.delete(socket.data);
        },
        error: (socket) => socket.data?.ended("client"),
      },
    });
  }
}
