import { type DestinationStream, pino } from "pino";

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";
export type LogFields = Readonly<Record<string, unknown>>;

/** Structured log: one event name (`noun.verb`), the rest as fields. Never a secret, never bytes. */
export interface Logger {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  /** The same log with `fields` on every line. */
  with(fields: LogFields): Logger;
}

/** JSON lines on stdout (or `destination`). */
export function createLogger(level: LogLevel, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: null,
    messageKey: "event",
    formatters: { level: (label: string) => ({ level: label }) },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
  };
  return wrap(destination === undefined ? pino(options) : pino(options, destination));
}

interface LevelMethods {
  debug(fields: object, event: string): void;
  info(fields: object, event: string): void;
  warn(fields: object, event: string): void;
  error(fields: object, event: string): void;
  child(fields: object): LevelMethods;
}

function wrap(log: LevelMethods): Logger {
  return {
    debug: (event, fields = {}) => log.debug(describe(fields), event),
    info: (event, fields = {}) => log.info(describe(fields), event),
    warn: (event, fields = {}) => log.warn(describe(fields), event),
    error: (event, fields = {}) => log.error(describe(fields), event),
    with: (fields) => wrap(log.child(fields)),
  };
}

function describe(fields: LogFields): LogFields {
  const error = fields["error"];
  if (!(error instanceof Error)) return fields;
  const code = "code" in error ? error.code : undefined;
  return { ...fields, error: error.message, ...(code === undefined ? {} : { code }) };
}

export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  with: () => silentLogger,
};
