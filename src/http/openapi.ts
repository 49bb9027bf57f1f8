import * as z from "zod";
import { type Command, pathFields, type Route } from "../commands/command.ts";
import { errorBodySchema } from "./errors.ts";

type Json = Readonly<Record<string, unknown>>;

/** The OpenAPI 3.1 document of the API, made from the schemas that validate it. */
export function openApiDocument(commands: readonly Command[], version: string): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const command of commands) {
    const path = paths[command.route.path] ?? {};
    path[command.route.method.toLowerCase()] = operation(command);
    paths[command.route.path] = path;
  }
  return {
    openapi: "3.1.0",
    info: { title: "EasyRMS Edge", version, license: { name: "Apache-2.0", identifier: "Apache-2.0" } },
    servers: [{ url: "/api/v1" }],
    paths,
    components: { schemas: { Error: schemaOf(errorBodySchema, "output") } },
  };
}

function operation(command: Command): Json {
  const { properties, required, body } = inputOf(command);
  const inPath = pathFields(command.route);
  const parameters = Object.entries(properties)
    .filter(([name]) => inPath.includes(name) || command.route.method === "GET")
    .map(([name, schema]) =>
      inPath.includes(name)
        ? { name, in: "path", required: true, schema }
        : { name, in: "query", required: required.includes(name), schema },
    );
  const content =
    command.kind === "reply"
      ? { "application/json": { schema: schemaOf(command.output, "output") } }
      : { "application/x-ndjson": { schema: schemaOf(command.item, "output") } };
  return {
    operationId: command.name,
    summary: command.summary,
    parameters,
    ...(command.route.method === "POST" ? { requestBody: { required: true, content: { "application/json": { schema: body } } } } : {}),
    responses: {
      [String(command.route.status)]: { description: description(command), content },
      default: { description: "An error", content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } } },
    },
  };
}

function description(command: Command): string {
  if (command.kind === "reply") return "The answer";
  return 'One JSON object a line. A failure after the first line is a last line {"kind":"error","code","message","details"}';
}

function inputOf(command: Command): { properties: Readonly<Record<string, Json>>; required: readonly string[]; body: Json } {
  const body = schemaOf(command.input, "input");
  const { properties = {}, required = [] } = body as { properties?: Record<string, Json>; required?: string[] };
  return { properties, required, body };
}

function schemaOf(schema: z.ZodType, io: "input" | "output"): Json {
  const { $schema: _, "~standard": __, ...json } = z.toJSONSchema(schema, { io, unrepresentable: "any" }) as Record<string, unknown>;
  return json;
}

/** The route as hono writes it. */
export function honoPath(route: Route): string {
  return route.path.replaceAll(/\{(\w+)\}/g, ":$1");
}
