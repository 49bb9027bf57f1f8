import type * as z from "zod";
import { isErrorCode, type Problem, RecorderError } from "../base/errors.ts";
import { type Command, pathFields, type ReplyCommand, type StreamCommand } from "../commands/command.ts";

/** Calls the commands of the running service over its unix socket. */
export class Client {
  readonly #socket: string;
  readonly #signal: AbortSignal;

  constructor(socket: string, signal: AbortSignal) {
    this.#socket = socket;
    this.#signal = signal;
  }

  /** Whether a service answers. Rejects if one may, but we must not ask it. */
  async isRunning(): Promise<boolean> {
    try {
      return (await this.#fetch("GET", "/healthz", null)).ok;
    } catch (error) {
      if (error instanceof RecorderError && error.code === "NOT_RUNNING") return false;
      throw error;
    }
  }

  /** Rejects with the service's own error, or NOT_RUNNING. */
  async call<In extends z.ZodType, Out extends z.ZodType>(command: ReplyCommand<In, Out>, input: z.input<In>): Promise<z.output<Out>> {
    const response = await this.#request(command, input);
    const reply: unknown = await response.json().catch((error: unknown) => {
      throw this.#connectionError(error);
    });
    return command.output.parse(reply);
  }

  /** Items in batches as they arrive. */
  async *stream<In extends z.ZodType, Item extends z.ZodType>(
    command: StreamCommand<In, Item>,
    input: z.input<In>,
  ): AsyncIterable<readonly z.output<Item>[]> {
    const response = await this.#request(command, input);
    if (response.body === null) return;
    const decoder = new TextDecoder();
    let rest = "";
    try {
      for await (const chunk of response.body) {
        const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
        rest = lines.pop() ?? "";
        if (lines.length > 0) yield lines.map((line) => parseItem(command, line));
      }
    } catch (error) {
      throw this.#connectionError(error);
    }
    if (rest !== "") throw this.#broken(undefined);
  }

  async #request(command: Command, input: unknown): Promise<Response> {
    const fields = new Map(Object.entries(input ?? {}));
    let path: string = command.route.path;
    for (const field of pathFields(command.route)) {
      path = path.replace(`{${field}}`, encodeURIComponent(String(fields.get(field))));
      fields.delete(field);
    }
    const given = [...fields].filter(([, value]) => value !== null && value !== undefined);
    const query =
      command.route.method === "GET" && given.length > 0
        ? `?${new URLSearchParams(given.map(([name, value]): [string, string] => [name, String(value)]))}`
        : "";
    const body = command.route.method === "POST" ? JSON.stringify(Object.fromEntries(given)) : null;
    const response = await this.#fetch(command.route.method, `/api/v1${path}${query}`, body);
    if (!response.ok) throw errorOf(await response.json().catch(() => null), response.status);
    return response;
  }

  async #fetch(method: string, path: string, body: string | null): Promise<Response> {
    const headers = body === null ? {} : { "content-type": "application/json" };
    try {
      // A check or a probe takes as long as it takes; the user can interrupt it.
      return await fetch(`http://easyrms${path}`, { unix: this.#socket, method, body, headers, signal: this.#signal, timeout: false });
    } catch (error) {
      throw this.#connectionError(error);
    }
  }

  #connectionError(error: unknown): unknown {
    if (error instanceof RecorderError || this.#signal.aborted || !(error instanceof Error)) return error;
    const code = "code" in error ? error.code : undefined;
    const context = { socket: this.#socket };
    if (code === "EACCES" || code === "EPERM") {
      return new RecorderError("PERMISSION_DENIED", `not allowed to open ${this.#socket}; ask to join its group`, context, {
        cause: error,
      });
    }
    if (code === "ENOENT" || code === "ECONNREFUSED") {
      return new RecorderError("NOT_RUNNING", `no easyrms serve answers at ${this.#socket}`, context, { cause: error });
    }
    if (code === "ECONNRESET") return this.#broken(error);
    return new RecorderError("NOT_RUNNING", `cannot talk to easyrms serve at ${this.#socket}: ${error.message}`, context, { cause: error });
  }

  #broken(cause: unknown): RecorderError {
    return new RecorderError("NOT_RUNNING", "easyrms serve ended before its answer was complete", { socket: this.#socket }, { cause });
  }
}

function parseItem<Item extends z.ZodType>(command: StreamCommand<z.ZodType, Item>, line: string): z.output<Item> {
  const value: unknown = JSON.parse(line);
  if (typeof value === "object" && value !== null && "kind" in value && value.kind === "error") throw errorOf(value, 200);
  return command.item.parse(value);
}

/** The error of a reply's body `{code, message, details}`, which `http` makes of a `RecorderError`. */
function errorOf(body: unknown, status: number): RecorderError {
  const { code, message, details } = (body ?? {}) as { code?: unknown; message?: unknown; details?: unknown };
  if (typeof code !== "string" || !isErrorCode(code) || typeof message !== "string") {
    return new RecorderError("INTERNAL", `easyrms serve answered with HTTP status ${status}`, { status });
  }
  const { problems, ...context } = (details ?? {}) as { problems?: readonly Problem[] } & Record<string, string | number | boolean | null>;
  return new RecorderError(code, message, context, { problems: problems ?? [] });
}
