import type * as z from "zod";
import { cameraProbe as command } from "../commands/camera-probe.ts";
import { loadBoxConfig } from "../config/box.ts";
import { STREAM_KINDS } from "../media/types.ts";
import { integerOption, wordOption } from "./arguments.ts";
import { trackText } from "./camera-list.ts";
import { Client } from "./client.ts";
import { type CliCommand, EXIT } from "./command.ts";
import { CREDENTIAL_NOTE, CREDENTIAL_OPTIONS, readPassword, warnOfVisiblePassword } from "./passwords.ts";
import { ProgressBar } from "./progress.ts";
import { type Cell, fieldLines } from "./table.ts";
import { toned } from "./terminal.ts";
import { bitRateText, countText, durationText, UNKNOWN } from "./units.ts";

type Report = z.output<typeof command.output>;

const DEFAULT_SECONDS = 8;
const TICK_MS = 200;

/** Asks the running service to watch a stream. */
export const cameraProbe: CliCommand = {
  words: ["camera", "probe"],
  summary: "Watch a stream and say what the camera really sends",
  operands: [{ name: "ID|URL", required: true }],
  options: [
    { name: "stream", value: "main|sub", text: "stream of a configured camera (default main)" },
    { name: "seconds", value: "N", text: `how long to watch, 1 to 60 (default ${DEFAULT_SECONDS})` },
    { name: "transport", value: "auto|tcp", text: "how media travels (default: as configured, else auto)" },
    ...CREDENTIAL_OPTIONS,
  ],
  notes: ["Nothing is recorded or changed. A configured camera brings its own credentials.", CREDENTIAL_NOTE],
  async run(invocation) {
    const { operands, options, terminal, signal } = invocation;
    const [target = ""] = operands;
    const isUrl = target.includes("://");
    if (isUrl) warnOfVisiblePassword(target, invocation);
    const seconds = integerOption(options, "seconds") ?? DEFAULT_SECONDS;
    const request = {
      camera: isUrl ? null : target,
      url: isUrl ? target : null,
      stream: wordOption(options, "stream", STREAM_KINDS) ?? "main",
      username: options.get("user") ?? null,
      transport: wordOption(options, "transport", ["auto", "tcp"]),
      seconds,
    };
    const config = await loadBoxConfig(invocation.configPath);
    const password = await readPassword(invocation);
    const bar = new ProgressBar(terminal);
    const began = performance.now();
    const timer = setInterval(() => bar.update((performance.now() - began) / (seconds * 1000), "watching the stream"), TICK_MS);
    let report: Report;
    try {
      report = await new Client(config.api.socket, signal).call(command, { ...request, password });
    } finally {
      clearInterval(timer);
      bar.end();
    }
    await terminal.out(invocation.json ? `${JSON.stringify(report)}\n` : probeText(report, terminal.colour));
    return EXIT.ok;
  },
};

/** The report for people. */
export function probeText(report: Report, colour: boolean): string {
  const { measuredFramesPerSecond: measured, declaredFramesPerSecond: declared } = report;
  const optional = (value: number | null, text: (value: number) => string): string => (value === null ? UNKNOWN : text(value));
  const lost: Cell = { text: countText(report.lostPackets), tone: report.lostPackets > 0 ? "warn" : "plain" };
  const unsupported = report.tracks.filter(({ supported }) => !supported);
  const supported = report.tracks.flatMap(({ codec, ...track }) => (codec === null ? [] : [{ ...track, codec }]));
  const fields = fieldLines(
    [
      ["URL", report.url],
      ["Server", report.server ?? UNKNOWN],
      ["Watched", durationText(report.watchedMs)],
      ["Video", trackText(supported, "video")],
      ["Sound", trackText(supported, "audio")],
      ...unsupported.map(({ kind, encodingName, payloadType }): readonly [string, Cell] => [
        "Not supported",
        { text: `${kind} ${encodingName} (payload type ${payloadType})`, tone: "warn" },
      ]),
      [
        "Frame rate",
        `${optional(measured, (rate) => `${rate.toFixed(2)}/s`)} measured, ${optional(declared, (rate) => `${rate.toFixed(2)}/s`)} declared`,
      ],
      ["Key frames", optional(report.keyFrameIntervalMs, (ms) => `every ${durationText(ms)}`)],
      ["Video bit rate", optional(report.videoBitsPerSecond, bitRateText)],
      ["Sound bit rate", optional(report.audioBitsPerSecond, bitRateText)],
      ["Clock drift", optional(report.clockDriftPpm, (ppm) => `${ppm > 0 ? "+" : ""}${ppm.toFixed(0)} ppm`)],
      ["Lost packets", lost],
    ],
    colour,
  );
  const findings = report.findings.map((finding) => `${toned("!", "warn", colour)} ${finding}\n`).join("");
  return fields + (findings === "" ? `${toned("Nothing looks wrong.", "good", colour)}\n` : findings);
}
