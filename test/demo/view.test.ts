import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { StreamStatus } from "../../src/recording/types.ts";
import { readRecordings } from "./recordings.ts";
import { liveText, periodicText, type Snapshot, shortcomings, summaryText } from "./view.ts";

const stream: StreamStatus = {
  camera: "gate",
  stream: "main",
  channel: 1,
  state: "recording",
  cause: null,
  code: null,
  detail: null,
  sinceUtcMs: 1_000,
  attempt: 0,
  retryAtUtcMs: null,
  tracks: [
    { kind: "video", codec: "h264", clockRateHz: 90_000, channels: 0, width: 1920, height: 1080 },
    { kind: "audio", codec: "aac", clockRateHz: 16_000, channels: 1, width: null, height: null },
  ],
  warnings: [],
  numbers: {
    bitsPerSecond: 4_000_000,
    framesPerSecond: 25,
    packets: 9_000,
    lostPackets: 7,
    malformedPackets: 0,
    discardedUnits: 0,
    droppedFragments: 0,
    timeJumps: 0,
    ringBytes: 0,
    queueBytes: 0,
  },
  segment: { run: "r", sequence: 3, startUtcMs: 60_000, durableUtcMs: 71_000, durableFragments: 11, durableBytes: 5_000_000 },
};

const snapshot: Snapshot = {
  elapsedMs: 72_000,
  totalMs: 130_000,
  nowUtcMs: 72_000,
  streams: [stream, { ...stream, camera: "yard", state: "waiting", cause: "camera-unreachable", tracks: [], segment: null }],
  listed: new Map([["gate", { segments: 4, bytes: 36_000_000, gaps: 1 }]]),
  roots: [
    {
      root: 0,
      path: "recordings",
      segmentBytes: 500_000_000,
      segments: 8,
      limitBytes: 2_000_000_000,
      reserveBytes: 0,
      availableBytes: 9_000_000_000,
      totalBytes: 10_000_000_000,
    },
  ],
  cores: 0.034,
};

it("shows streams, rates, files and disk", () => {
  const lines = liveText(snapshot, false).split("\n");
  expect(lines[0]).toBe("EasyRMS Edge demo · 1 min 12 s of 2 min 10 s · 8.0 Mbit/s · 3 % of a core");
  expect(lines[3]).toMatch(/^gate +recording +h264 1920x1080 +aac +4\.0 Mbit\/s +25\.0\/s +7 +3, 12\.0 s +11 fragments +4 +36\.0 MB +1$/);
  expect(lines[4]).toMatch(/^yard +waiting: camera-unreachable +- +- .* 0$/);
  expect(lines[6]).toBe(`disk ${"█".repeat(6)}${"░".repeat(18)} 500.0 MB of 2.0 GB in 8 segments, 9.0 GB free`);
});

it("says the same in one line where nothing can be redrawn", () => {
  expect(periodicText(snapshot)).toBe(
    "1 min 12 s: 1 of 2 recording, 8.0 Mbit/s, 14 packets lost, 500.0 MB in 8 segments, yard: camera-unreachable\n",
  );
});

it("sums up by camera", () => {
  const text = summaryText([{ id: "gate", segments: 3, durationMs: 128_400, bytes: 64_000_000, gaps: 0 }], false);
  expect(text.split("\n")[1]).toMatch(/^gate +3 +2 min 08 s +64\.0 MB +0$/);
});

it("names the cameras that failed", () => {
  const whole = { id: "gate", segments: 1, durationMs: 1000, bytes: 1, gaps: 0 };
  expect(shortcomings([whole, { ...whole, id: "yard", durationMs: 0 }, { ...whole, id: "lobby", gaps: 2 }])).toEqual([
    "yard recorded nothing",
    "lobby has 2 gaps",
  ]);
});

it("counts closed files of a channel by their names, and nothing else", () => {
  const root = mkdtempSync(join(tmpdir(), "easyrms-demo-test-"));
  try {
    for (const day of ["20260801", "20260802"]) {
      mkdirSync(join(root, "DEMO0001_1", day), { recursive: true });
      writeFileSync(join(root, "DEMO0001_1", day, `${day}120000-60000.mp4`), "1234");
      writeFileSync(join(root, "DEMO0001_1", day, "b9b1c5f2-7.mp4.open"), "12345678");
      writeFileSync(join(root, "DEMO0001_1", day, "journal.ndjson"), "{}");
    }
    expect([...readRecordings(root)]).toEqual([["DEMO0001_1", { segments: 2, durationMs: 120_000, bytes: 8 }]]);
  } finally {
    rmSync(root, { recursive: true });
  }
});
