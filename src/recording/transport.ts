import { RecorderError } from "../base/errors.ts";
import type { EngineConnection, EngineStream } from "../engine/engine.ts";
import type { RtspConnection, RtspTransport } from "../rtsp/types.ts";

/** Signalling's view of an engine stream. */
export function engineTransport(stream: EngineStream): RtspTransport {
  return {
    connect(address, port, timeoutMs, handlers) {
      return new Promise((resolve, reject) => {
        let connected = false;
        const connection: EngineConnection = stream.connect(address, port, timeoutMs, {
          onConnected() {
            connected = true;
            resolve(rtspConnection(stream, connection));
          },
          onMessage: (text) => handlers.onMessage(text),
          onDisconnected(cause, detail) {
            if (connected) handlers.onDisconnected(cause, detail);
            else reject(new RecorderError("CAMERA_UNREACHABLE", `${address} port ${port}: ${detail}`, { cause, address, port }));
          },
        });
      });
    },
  };
}

function rtspConnection(stream: EngineStream, connection: EngineConnection): RtspConnection {
  return {
    send: (text) => connection.send(text),
    play: (tracks) => connection.play(tracks),
    keepalive: (template, firstCseq, intervalMs) => connection.keepalive(template, firstCseq, intervalMs),
    disconnect: (lastText) => connection.disconnect(lastText),
    lastMediaMonoMs: () => stream.numbers()["last_media_mono_ms"] ?? 0,
    keyFrames: () => stream.numbers()["random_access_units"] ?? 0,
  };
}
