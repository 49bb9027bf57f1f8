import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { RecorderError } from "../base/errors.ts";
import { type Command, parseInput, pathFields, type StreamCommand } from "../commands/command.ts";
import type { CommandContext } from "../commands/context.ts";
import { COMMANDS } from "../commands/registry.ts";
import { errorBody, STATUS_OF_CODE } from "./errors.ts";
import { honoPath, openApiDocument } from "./openapi.ts";

/** A camera with two URLs at their limit is some 4 KiB. */
const MAX_BODY_BYTES = 64 * 1024;

/** Answers one request; `stopping` ends what is still running when the service stops. */
export type HttpApplication = (request: Request, stopping: AbortSignal) => Response | Promise<Response>;

interface Environment {
  Bindings: { readonly stopping: AbortSignal };
}

/** The routes of `/api/v1` over the registry of commands, `/healthz`, and the document that describes them. */
export function createHttpApplication(context: CommandContext): HttpApplication {
  const app = new Hono<Environment>();
  const openApi = openApiDocument(COMMANDS, context.version);

  app.use(
    bodyLimit({
      maxSize: MAX_BODY_BYTES,
      onError: (c) => {
        const message = `the body is larger than ${MAX_BODY_BYTES} bytes`;
        return c.json({ code: "INPUT_INVALID", message, details: { maxBytes: MAX_BODY_BYTES } }, 413);
      },
    }),
  );
  app.get("/healthz", (c) => c.json({ status: "ok", version: context.version }));
  app.get("/api/v1/openapi.json", (c) => c.json(openApi));
  for (const command of COMMANDS) {
    app.on(command.route.method, `/api/v1${honoPath(command.route)}`, (c) => answer(command, context, c));
  }
  app.notFound((c) => {
    const message = `there is no ${c.req.method} ${c.req.path}; see /api/v1/openapi.json`;
    return c.json({ code: "NOT_FOUND", message, details: {} }, 404);
  });
  app.onError((thrown, c) => {
    const { error, body } = errorBody(thrown, context.log);
    return c.json(body, STATUS_OF_CODE[error.code]);
  });
  return (request, stopping) => app.fetch(request, { stopping });
}

async function answer(command: Command, context: CommandContext, c: Context<Environment>): Promise<Response> {
  const input = parseInput(command, await rawInput(command, c));
  const signal = AbortSignal.any([c.req.raw.signal, c.env.stopping]);
  if (command.kind === "reply") return c.json(await command.run(context, input, signal), command.route.status);
  return streamed(command, context, input, signal);
}

async function rawInput(command: Command, c: Context<Environment>): Promise<unknown> {
  const inPath = Object.fromEntries(pathFields(command.route).map((field) => [field, c.req.param(field)]));
  switch (command.route.method) {
    case "GET":
      return { ...singleValues(c.req.queries()), ...inPath };
    case "DELETE":
      return inPath;
    case "POST": {
      const body = await jsonBody(c);
      // Anything but an object is left for the schema to refuse.
      return typeof body === "object" && body !== null && !Array.isArray(body) ? { ...body, ...inPath } : body;
    }
  }
}

function singleValues(queries: Readonly<Record<string, string[]>>): Record<string, string> {
  const entries = Object.entries(queries).map(([name, values]) => {
    const [value = "", ...more] = values;
    if (more.length === 0) return [name, value] as const;
    throw new RecorderError("INPUT_INVALID", `the query gives ${name} ${values.length} times; allowed: once`, { parameter: name });
  });
  return Object.fromEntries(entries);
}

async function jsonBody(c: Context<Environment>): Promise<unknown> {
  const type = c.req.header("content-type") ?? "none";
  // Refusing other types keeps foreign web pages from posting without a CORS preflight.
  if (!/^application\/json\s*(?:;|$)/i.test(type)) {
    throw new RecorderError("INPUT_INVALID", `content type ${type} is not supported; allowed: application/json`);
  }
  const text = await c.req.text();
  try {
    return JSON.parse(text);
  } catch {
    // The parser's message may quote the body, and with it a password.
    throw new RecorderError("INPUT_INVALID", "the body is not valid JSON");
  }
}

/** Newline-delimited JSON. What fails before the first item still gets its status; later the last line says so. */
async function streamed(command: StreamCommand, context: CommandContext, input: unknown, signal: AbortSignal): Promise<Response> {
  const batches = command.run(context, input, signal)[Symbol.asyncIterator]();
  const encoder = new TextEncoder();
  const encode = (items: readonly unknown[]) => encoder.encode(items.map((item) => `${JSON.stringify(item)}\n`).join(""));
  let next: IteratorResult<readonly unknown[]> | undefined = await batches.next();
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const batch = next ?? (await batches.next());
          next = undefined;
          if (batch.done === true) controller.close();
          else controller.enqueue(encode(batch.value));
        } catch (thrown) {
          controller.enqueue(encode([{ kind: "error", ...errorBody(thrown, context.log).body }]));
          controller.close();
        }
      },
      async cancel() {
        await batches.return?.();
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { status: command.route.status, headers: { "content-type": "application/x-ndjson" } });
}
