import { open } from "node:fs/promises";
import { dirname, resolve, sep } from "node:path";
import { parse, TomlError } from "smol-toml";
import * as z from "zod";
import { type Problem, RecorderError } from "../base/errors.ts";
import type { LogLevel } from "../base/log.ts";
import { problemsOf } from "./problems.ts";
import { parseDuration, parseSize } from "./quantities.ts";
import type { BoxConfig } from "./types.ts";

/** Where packages put the box file. */
export const DEFAULT_CONFIG_PATH = "/etc/easyrms/easyrms.toml";

/** A box file is some kilobytes; a larger one is a mistake (a log, a device). */
const MAX_FILE_BYTES = 256 * 1024;
/** `sun_path` of unix(7) is 108 bytes with its terminating zero. */
const MAX_SOCKET_PATH_BYTES = 107;
const MAX_ROOTS = 8;

const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const satisfies readonly LogLevel[];

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** Reads and validates the box file. Rejects with CONFIG_INVALID that carries every problem with its path. */
export async function loadBoxConfig(configPath: string): Promise<BoxConfig> {
  const absolute = resolve(configPath);
  let text: string;
  try {
    text = await readBounded(absolute);
  } catch (error) {
    if (error instanceof RecorderError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new RecorderError(
      "CONFIG_INVALID",
      `cannot read the configuration file ${absolute}: ${reason}`,
      { file: absolute },
      { cause: error },
    );
  }
  return parseBoxConfig(text, absolute);
}

/** The box file's text as configuration. `configPath` is where it came from: relative paths in it are relative to its directory. */
export function parseBoxConfig(text: string, configPath: string): BoxConfig {
  const absolute = resolve(configPath);
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    throw invalid(absolute, [syntaxProblem(error)], error);
  }
  const parsed = boxSchema(dirname(absolute)).safeParse(document);
  if (!parsed.success) throw invalid(absolute, problemsOf(parsed.error, document), parsed.error);
  const { serial, zone, storage, state, api, recording, clock, log } = parsed.data;
  const shared = storage.roots.indexOf(state.dir);
  if (shared >= 0) throw invalid(absolute, [{ path: "state.dir", message: `${state.dir} is also storage.roots[${shared}]` }], null);
  return {
    serial,
    zone,
    storage: { roots: storage.roots, limitBytes: storage.limit ?? null, reserveBytes: storage.reserve },
    state,
    api: { socket: api.socket, listen: null },
    recording: {
      segmentMs: recording.segment,
      fragmentMs: recording.fragment,
      ringMs: recording.ring,
      ringBytes: recording.ring_bytes,
      queueBytes: recording.queue_bytes,
    },
    clock,
    log,
  };
}

async function readBounded(path: string): Promise<string> {
  await using file = await open(path, "r");
  const buffer = new Uint8Array(MAX_FILE_BYTES + 1);
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  if (length > MAX_FILE_BYTES) {
    throw new RecorderError("CONFIG_INVALID", `the configuration file ${path} is larger than ${MAX_FILE_BYTES} bytes`, { file: path });
  }
  return new TextDecoder().decode(buffer.subarray(0, length));
}

function invalid(file: string, problems: readonly Problem[], cause: unknown): RecorderError {
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  return new RecorderError("CONFIG_INVALID", `${file} has ${count}`, { file }, { cause, problems });
}

function syntaxProblem(error: unknown): Problem {
  if (!(error instanceof TomlError)) return { path: "", message: String(error) };
  const firstLine = error.message.split("\n", 1)[0] ?? "";
  return { path: `line ${error.line}, column ${error.column}`, message: firstLine };
}

/** Keys and tables exactly as in packaging/easyrms.toml. A factory, since paths depend on where the file is. */
function boxSchema(baseDir: string) {
  const path = z
    .string()
    .min(1)
    .refine((text) => !text.includes("\0"), "must not contain a zero byte")
    .transform((text) => resolve(baseDir, text));
  return z.strictObject({
    serial: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/, "must be 1 to 64 letters, digits or hyphens, and not start with a hyphen"),
    zone: z
      .string()
      .refine(isZone, "must be an IANA time zone such as Asia/Shanghai")
      .default(() => Intl.DateTimeFormat().resolvedOptions().timeZone),
    storage: z.strictObject({
      roots: z.array(path).min(1, "needs at least one directory").max(MAX_ROOTS).superRefine(checkRoots),
      limit: size(64 * MIB).optional(),
      reserve: size(0).prefault("1GiB"),
    }),
    state: z.strictObject({ dir: path.prefault("/var/lib/easyrms/state") }).prefault({}),
    api: z
      .strictObject({
        socket: path
          .refine(
            (text) => Buffer.byteLength(text) <= MAX_SOCKET_PATH_BYTES,
            `must be at most ${MAX_SOCKET_PATH_BYTES} bytes as an absolute path`,
          )
          .prefault("/run/easyrms/easyrms.sock"),
        listen: z
          .string()
          .refine((text) => text === "", "must be empty: this version has no accounts, so the API answers on the unix socket only")
          .prefault(""),
      })
      .prefault({}),
    recording: z
      .strictObject({
        segment: duration(1000, 3_600_000).prefault("60s"),
        fragment: duration(100, 2000).prefault("1s"),
        ring: duration(2000, 300_000).prefault("10s"),
        ring_bytes: size(MIB, GIB).prefault("16MiB"),
        queue_bytes: size(MIB, GIB).prefault("16MiB"),
      })
      .prefault({}),
    clock: z.strictObject({ trust: z.enum(["auto", "always"], "must be auto or always").default("auto") }).prefault({}),
    log: z.strictObject({ level: z.enum(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(", ")}`).default("info") }).prefault({}),
  });
}

function size(minBytes: number, maxBytes = 2 ** 50) {
  return z.unknown().transform((value, context) => {
    const bytes = parseSize(value);
    if (bytes === null) return refuse(context, `must be a size such as "200MB", "1.5GiB" or a whole number of bytes; got ${show(value)}`);
    if (bytes < minBytes || bytes > maxBytes) {
      return refuse(context, `must be from ${minBytes} to ${maxBytes} bytes; got ${show(value)} (${bytes} bytes)`);
    }
    return bytes;
  });
}

function duration(minMs: number, maxMs: number) {
  return z.unknown().transform((value, context) => {
    const ms = parseDuration(value);
    if (ms === null) return refuse(context, `must be a duration with a unit such as "500ms", "60s" or "5m"; got ${show(value)}`);
    if (ms < minMs || ms > maxMs) return refuse(context, `must be from ${minMs}ms to ${maxMs}ms; got ${show(value)} (${ms}ms)`);
    return ms;
  });
}

function refuse(context: z.RefinementCtx, message: string): never {
  context.addIssue({ code: "custom", message });
  return z.NEVER;
}

function show(value: unknown): string {
  return JSON.stringify(value) ?? String(value);
}

/** Two roots on one directory tree would count and delete each other's files. */
function checkRoots(roots: readonly string[], context: z.RefinementCtx): void {
  roots.forEach((root, index) => {
    const other = roots.findIndex((earlier, at) => at < index && (isWithin(root, earlier) || isWithin(earlier, root)));
    if (other < 0) return;
    const relation = roots[other] === root ? "is the same directory as" : "overlaps";
    context.addIssue({ code: "custom", path: [index], message: `${root} ${relation} roots[${other}] ${roots[other]}` });
  });
}

function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory.endsWith(sep) ? directory : directory + sep);
}

function isZone(text: string): boolean {
  // Offsets such as "+08:00" would pass Intl, but have no name and no daylight saving rules.
  if (!/^[A-Za-z][A-Za-z0-9_+/-]{0,63}$/.test(text)) return false;
  try {
    return Intl.DateTimeFormat("en", { timeZone: text }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}
