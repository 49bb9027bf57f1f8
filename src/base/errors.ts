/** What a caller that owns a retry policy should do about an error; looked up by code, never parsed from a message. */
export type Reaction = "report" | "backoff" | "backoff-long" | "reopen" | "fatal";

const CODES = {
  // Input
  CONFIG_INVALID: "fatal",
  INPUT_INVALID: "report",
  NOT_FOUND: "report",
  CONFLICT: "report",
  NOT_RUNNING: "report",
  PERMISSION_DENIED: "report",
  // Cameras
  CAMERA_UNREACHABLE: "backoff",
  CAMERA_AUTH_REFUSED: "backoff-long",
  CAMERA_NOT_RTSP: "backoff",
  CAMERA_STREAM_FAULT: "backoff",
  CAMERA_NO_MEDIA: "backoff",
  // Storage
  ROOT_LOCKED: "fatal",
  ROOT_UNAVAILABLE: "backoff",
  DISK_FULL: "reopen",
  DISK_FAULT: "reopen",
  SEGMENT_DAMAGED: "report",
  SEGMENT_MISMATCH: "report",
  DATABASE_FAILED: "backoff",
  SCHEMA_UNSUPPORTED: "fatal",
  // The addon
  ENGINE_UNAVAILABLE: "fatal",
  ENGINE_MISUSE: "fatal",
  INTERNAL: "report",
} as const satisfies Record<string, Reaction>;

export type ErrorCode = keyof typeof CODES;
export type ErrorContext = Readonly<Record<string, string | number | boolean | null>>;

/** One finding of a validation: where (a dotted path) and what is wrong, observed against allowed. */
export interface Problem {
  readonly path: string;
  readonly message: string;
}

/** The only error class the service throws on purpose. The code is the contract; the message is for people. */
export class RecorderError extends Error {
  override readonly name = "RecorderError";
  readonly code: ErrorCode;
  readonly context: ErrorContext;
  /** All findings at once where the error is about a document. */
  readonly problems: readonly Problem[];

  constructor(
    code: ErrorCode,
    message: string,
    context: ErrorContext = {},
    options: ErrorOptions & { readonly problems?: readonly Problem[] } = {},
  ) {
    super(message, options);
    this.code = code;
    this.context = context;
    this.problems = options.problems ?? [];
  }

  get reaction(): Reaction {
    return CODES[this.code];
  }
}

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(CODES, code);
}

/** A thrown value of unknown origin as a `RecorderError`; one that already is passes through. */
export function toRecorderError(thrown: unknown, code: ErrorCode = "INTERNAL"): RecorderError {
  if (thrown instanceof RecorderError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new RecorderError(code, message, {}, { cause: thrown });
}
