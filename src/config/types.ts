import type { LogLevel } from "../base/log.ts";

/** The box file, parsed and with defaults filled in; paths absolute. */
export interface BoxConfig {
  readonly serial: string;
  /** IANA zone of the site. */
  readonly zone: string;
  readonly storage: {
    readonly roots: readonly string[];
    /** Bytes of segments allowed on each root; null for no limit but the reserve. */
    readonly limitBytes: number | null;
    /** Free space kept on each root's file system. */
    readonly reserveBytes: number;
  };
  readonly state: { readonly dir: string };
  readonly api: { readonly socket: string; readonly listen: string | null };
  readonly recording: {
    readonly segmentMs: number;
    readonly fragmentMs: number;
    readonly ringMs: number;
    readonly ringBytes: number;
    readonly queueBytes: number;
  };
  readonly clock: {
    /** "always": the host's clock is right, although nothing proves it. */
    readonly trust: "auto" | "always";
  };
  readonly log: { readonly level: LogLevel };
}

export type Transport = "auto" | "tcp";

/** One camera as it is wanted. Passwords live beside the document, keyed by camera id. */
export interface DesiredCamera {
  /** `[a-z0-9][a-z0-9-]{0,62}` */
  readonly id: string;
  /** 1 to 9999, unique. */
  readonly channel: number;
  /** rtsp URL without user info. */
  readonly url: string;
  readonly subUrl: string | null;
  readonly username: string | null;
  readonly transport: Transport;
  readonly record: boolean;
}

export interface DesiredState {
  /** Grows by one with each change. */
  readonly revision: number;
  readonly cameras: readonly DesiredCamera[];
}

/** Where the document lives; implemented by `store` (state.db). */
export interface DesiredStore {
  read(): Promise<{ readonly document: DesiredState; readonly passwords: ReadonlyMap<string, string> }>;
  /**
   * Replaces the document if its revision is still `expectedRevision`; CONFLICT otherwise. Returns the new revision.
   * `passwords`: changed ones by camera id, null to forget; those of cameras no longer in the document go with them.
   */
  write(cameras: readonly DesiredCamera[], passwords: ReadonlyMap<string, string | null>, expectedRevision: number): Promise<number>;
}
