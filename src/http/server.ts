import type { Part } from "../base/lifecycle.ts";
import type { CommandContext } from "../commands/context.ts";
import { createHttpApplication } from "./application.ts";
import { UnixServer } from "./unix-server.ts";

/** The HTTP API on the unix socket `api.socket`: listens from `start`, ends running replies and frees the path in `stop`. */
export function createHttpApi(context: CommandContext): Part {
  return new UnixServer(createHttpApplication(context), context.config.api.socket, context.log);
}
