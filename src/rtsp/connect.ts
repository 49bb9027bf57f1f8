import { isIP } from "node:net";
import { type Clock, sleep } from "../base/clock.ts";
import { type RecorderError, toRecorderError } from "../base/errors.ts";
import { ended } from "./ends.ts";
import { Exchange } from "./exchange.ts";
import { excerpt } from "./message.ts";
import type { Resolve, RtspTransport } from "./types.ts";
import type { RtspUrl } from "./url.ts";

/** Time allowed for a name to be resolved. */
const RESOLVE_TIMEOUT_MS = 5000;
/** Addresses of one name that are tried. */
const MAX_ADDRESSES = 8;

export interface ConnectOptions {
  readonly transport: RtspTransport;
  readonly resolve: Resolve;
  readonly clock: Clock;
  /** For each address. */
  readonly connectTimeoutMs: number;
}

/** Connects to the first address of the URL's host that answers; rejects with the last one's error, or the signal's reason. */
export async function connect(server: RtspUrl, options: ConnectOptions, signal: AbortSignal): Promise<Exchange> {
  const addresses = isIP(server.host) === 0 ? await lookUp(server.host, options, signal) : [server.host];
  let failure: RecorderError | null = null;
  for (const address of addresses) {
    signal.throwIfAborted();
    try {
      return await connectTo(address, server.port, options, signal);
    } catch (error) {
      signal.throwIfAborted();
      failure = toRecorderError(error, "CAMERA_UNREACHABLE");
    }
  }
  throw failure ?? ended("dns-failed", `the name "${excerpt(server.host)}" has no address`);
}

async function lookUp(host: string, options: ConnectOptions, signal: AbortSignal): Promise<readonly string[]> {
  const giveUp = new AbortController();
  const either = AbortSignal.any([signal, giveUp.signal]);
  const timeout = sleep(options.clock, RESOLVE_TIMEOUT_MS, either).then(() => {
    throw ended("dns-failed", `the name "${excerpt(host)}" was not resolved within ${RESOLVE_TIMEOUT_MS / 1000} s`);
  });
  try {
    const addresses = await Promise.race([options.resolve(host, either), timeout]);
    return addresses.slice(0, MAX_ADDRESSES);
  } catch (error) {
    signal.throwIfAborted();
    const known = toRecorderError(error);
    if (known.context["end"] !== undefined) throw known;
    throw ended("dns-failed", `the name "${excerpt(host)}" could not be resolved: ${excerpt(known.message, 200)}`, { cause: error });
  } finally {
    giveUp.abort();
    timeout.catch(() => {});
  }
}

/** Aborting does not wait for the attempt: a connection that still comes is closed at once. */
function connectTo(address: string, port: number, options: ConnectOptions, signal: AbortSignal): Promise<Exchange> {
  const exchange = new Exchange(options.clock);
  const connecting = options.transport.connect(address, port, options.connectTimeoutMs, exchange.handlers);
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    connecting.then(
      (connection) => {
        signal.removeEventListener("abort", onAbort);
        exchange.attach(connection);
        if (signal.aborted) connection.disconnect(null);
        else resolve(exchange);
      },
      (error: unknown) => {
        signal.removeEventListener("abort", onAbort);
        reject(error);
      },
    );
  });
}
