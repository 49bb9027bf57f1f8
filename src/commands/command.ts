import type * as z from "zod";
import { RecorderError } from "../base/errors.ts";
import { problemsOf } from "../config/problems.ts";
import type { CommandContext } from "./context.ts";

/** Where a command is found below `/api/v1`: the server mounts it there, the CLI calls it there. `{name}` is a field of the input. */
export interface Route {
  /** GET takes its input from the query, POST from a JSON body; DELETE from the path alone. */
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: `/${string}`;
  /** Status of success. */
  readonly status: 200 | 201;
}

interface CommandBase<In extends z.ZodType> {
  /** Kebab case, unique; the operation id of the OpenAPI document. */
  readonly name: string;
  /** One line for people. */
  readonly summary: string;
  readonly route: Route;
  readonly input: In;
}

/** A use case with one answer. */
export interface ReplyCommand<In extends z.ZodType = z.ZodType, Out extends z.ZodType = z.ZodType> extends CommandBase<In> {
  readonly kind: "reply";
  readonly output: Out;
  run(context: CommandContext, input: z.output<In>, signal: AbortSignal): Promise<z.output<Out>>;
}

/** A use case whose answer may be long or slow: batches of items, each batch sent on before the next is asked for. */
export interface StreamCommand<In extends z.ZodType = z.ZodType, Item extends z.ZodType = z.ZodType> extends CommandBase<In> {
  readonly kind: "stream";
  readonly item: Item;
  run(context: CommandContext, input: z.output<In>, signal: AbortSignal): AsyncIterable<readonly z.output<Item>[]>;
}

export type Command = ReplyCommand | StreamCommand;

/** Validates what came from outside. Throws INPUT_INVALID with all problems; values stay out of it since they may be secret. */
export function parseInput<In extends z.ZodType>(command: CommandBase<In>, raw: unknown): z.output<In> {
  const parsed = command.input.safeParse(raw);
  if (parsed.success) return parsed.data;
  throw new RecorderError(
    "INPUT_INVALID",
    `the request to ${command.name} is not valid`,
    {},
    { cause: parsed.error, problems: problemsOf(parsed.error) },
  );
}

/** Names of the input's fields that stand in the route's path. */
export function pathFields(route: Route): readonly string[] {
  return [...route.path.matchAll(/\{(\w+)\}/g)].flatMap((match) => match[1] ?? []);
}
