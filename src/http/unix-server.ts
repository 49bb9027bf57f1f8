import { chmod, lstat, mkdir, unlink } from "node:fs/promises";
import { connect } from "node:net";
import { dirname } from "node:path";
import { RecorderError, toRecorderError } from "../base/errors.ts";
import type { Part } from "../base/lifecycle.ts";
import type { Logger } from "../base/log.ts";
import type { HttpApplication } from "./application.ts";

/** Owner and group may talk to the service. */
const SOCKET_MODE = 0o660;
/**
 * Longest silence of a reply, seconds: a probe, or a check's first progress on slow flash, comes well within it. The most Bun allows.
 * Bun 1.4.5 honours it on unix sockets, but its types know it for TCP only; the default of 10 s would cut a probe off.
 */
const IDLE_TIMEOUT: object = { idleTimeout: 255 };
/** Backstop behind the application's own, smaller limit. */
const MAX_BODY_BYTES = 1024 * 1024;
/** Replies still running when the service stops get this long. */
const DRAIN_MS = 2000;

/** An HTTP application on a unix socket. */
export class UnixServer implements Part {
  readonly name = "http";
  readonly #application: HttpApplication;
  readonly #socket: string;
  readonly #log: Logger;
  readonly #stopping = new AbortController();
  #server: Bun.Server<undefined> | undefined;

  constructor(application: HttpApplication, socket: string, log: Logger) {
    this.#application = application;
    this.#socket = socket;
    this.#log = log;
  }

  /** Takes the place of a socket whose process is gone; rejects with CONFLICT if a live one or another kind of file is there, or nothing can be. */
  async start(signal: AbortSignal): Promise<void> {
    try {
      await mkdir(dirname(this.#socket), { recursive: true, mode: 0o750 });
      await clearStaleSocket(this.#socket);
      signal.throwIfAborted();
      await this.#listen();
    } catch (error) {
      if (signal.aborted || error instanceof RecorderError) throw error;
      const { message } = toRecorderError(error);
      throw new RecorderError("CONFLICT", `cannot listen at ${this.#socket}: ${message}`, { socket: this.#socket }, { cause: error });
    }
    this.#log.info("http.listening", { socket: this.#socket });
  }

  async #listen(): Promise<void> {
    // Restrictive from the first moment on, not only after the chmod. Nothing runs between the two calls of umask.
    const umask = process.umask(0o777 & ~SOCKET_MODE);
    try {
      this.#server = Bun.serve({
        unix: this.#socket,
        ...IDLE_TIMEOUT,
        maxRequestBodySize: MAX_BODY_BYTES,
        fetch: (request) => this.#application(request, this.#stopping.signal),
      });
    } finally {
      process.umask(umask);
    }
    await chmod(this.#socket, SOCKET_MODE);
  }

  async stop(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    this.#stopping.abort(new RecorderError("NOT_RUNNING", "the service is stopping"));
    const drained = Promise.withResolvers<void>();
    const timer = setTimeout(drained.resolve, DRAIN_MS);
    await Promise.race([server.stop(), drained.promise]);
    clearTimeout(timer);
    await server.stop(true);
  }
}

async function clearStaleSocket(path: string): Promise<void> {
  const stats = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (stats === null) return;
  if (!stats.isSocket()) throw new RecorderError("CONFLICT", `${path} exists and is not a socket; it is left alone`, { socket: path });
  if (await answers(path)) throw new RecorderError("CONFLICT", `another easyrms serve answers at ${path}`, { socket: path });
  await unlink(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED" || error.code === "ENOENT") resolve(false);
      else
        reject(new RecorderError("PERMISSION_DENIED", `cannot tell who owns ${path}: ${error.code}`, { socket: path }, { cause: error }));
    });
  });
}
