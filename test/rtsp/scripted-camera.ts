import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Answer, FakeConnection, Script, SeenRequest } from "../fakes/rtsp-transport.ts";

export const H264_SDP = [
  "v=0",
  "s=x",
  "m=video 0 RTP/AVP 96",
  "a=rtpmap:96 H264/90000",
  "a=control:track1",
  "m=audio 0 RTP/AVP 8",
  "a=control:track2",
  "",
].join("\r\n");

export interface CameraSettings {
  readonly sdp?: string;
  readonly contentBase?: string | null;
  readonly methods?: string;
  readonly session?: string;
  /** Media begins when PLAY is answered. */
  readonly media?: boolean;
  readonly credentials?: { readonly username: string; readonly password: string };
  readonly auth?: "digest" | "basic" | "both";
  /** Replaces the camera's own answer where it returns one. */
  readonly answer?: (request: SeenRequest, connection: FakeConnection) => Answer | undefined;
}

export interface ScriptedCamera {
  readonly script: Script;
  /** Requests that carried credentials, right or wrong. */
  readonly tries: { count: number; refused: number };
  nonce: string;
  password: string;
}

/** A well-behaved camera, misbehaving as told. Verifies Digest by its own arithmetic, not by the code under test. */
export function camera(settings: CameraSettings = {}): ScriptedCamera {
  const tries = { count: 0, refused: 0 };
  const state = { nonce: "nonce-1", password: settings.credentials?.password ?? "" };
  let setups = 0;
  const script: Script = (request, connection) => {
    const special = settings.answer?.(request, connection);
    if (special !== undefined) return special;
    if (settings.credentials !== undefined && request.method !== "OPTIONS") {
      const authorization = request.headers.get("authorization");
      if (authorization !== undefined) tries.count += 1;
      const good = authorization !== undefined && isGood(authorization, request, settings.credentials.username, state);
      if (authorization !== undefined && !good) tries.refused += 1;
      if (!good) return challenge(settings.auth ?? "digest", state.nonce);
    }
    const session = settings.session ?? "a1b2c3;timeout=60";
    switch (request.method) {
      case "OPTIONS":
        return `200 OK\r\nServer: Scripted/1.0\r\nPublic: ${settings.methods ?? "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"}\r\n\r\n`;
      case "DESCRIBE": {
        const base = settings.contentBase === null ? "" : `Content-Base: ${settings.contentBase ?? `${request.url}/`}\r\n`;
        return `200 OK\r\n${base}Content-Type: application/sdp\r\n\r\n${settings.sdp ?? H264_SDP}`;
      }
      case "SETUP":
        setups += 1;
        return `200 OK\r\nSession: ${session}\r\nTransport: ${request.headers.get("transport")};ssrc=0000000${setups % 10}\r\n\r\n`;
      case "PLAY":
        if (settings.media !== false) connection.startMedia();
        return `200 OK\r\nSession: ${session}\r\nRTP-Info: url=x;seq=0;rtptime=0;\r\n\r\n`;
      default:
        return "200 OK\r\n\r\n";
    }
  };
  return {
    script,
    tries,
    get nonce() {
      return state.nonce;
    },
    set nonce(nonce) {
      state.nonce = nonce;
    },
    get password() {
      return state.password;
    },
    set password(password) {
      state.password = password;
    },
  };
}

export function challenge(auth: "digest" | "basic" | "both", nonce: string, more = ""): string {
  const digest = `WWW-Authenticate: Digest realm="IP Camera(C0 : 12)", nonce="${nonce}", qop="auth"${more}\r\n`;
  const basic = 'WWW-Authenticate: Basic realm="IP Camera"\r\n';
  return `401 Unauthorized\r\n${auth === "digest" ? "" : basic}${auth === "basic" ? "" : digest}\r\n`;
}

function isGood(authorization: string, request: SeenRequest, username: string, state: { nonce: string; password: string }): boolean {
  if (authorization.startsWith("Basic ")) {
    return Buffer.from(authorization.slice(6), "base64").toString() === `${username}:${state.password}`;
  }
  const md5 = (text: string): string => createHash("md5").update(text).digest("hex");
  const at = (name: string): string => new RegExp(`\\b${name}="?([^",]*)"?`).exec(authorization)?.[1] ?? "";
  if (at("uri") !== request.url || at("nonce") !== state.nonce) return false;
  const a1 = md5(`${username}:IP Camera(C0 : 12):${state.password}`);
  const a2 = md5(`${request.method}:${request.url}`);
  return at("response") === md5(`${a1}:${at("nonce")}:${at("nc")}:${at("cnonce")}:auth:${a2}`);
}

export function fixture(name: string): string {
  return readFileSync(new URL(`../fixtures/rtsp/${name}.sdp`, import.meta.url), "utf8");
}
