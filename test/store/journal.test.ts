import { expect, it } from "vitest";
import {
  boundedDetail,
  type JournalFact,
  journalLine,
  MAX_DETAIL,
  MAX_LINE_BYTES,
  parseJournal,
  readJournal,
} from "../../src/store/journal.ts";

const key = { camera: "gate", stream: "main" } as const;
const gap = { fact: "gap-opened", atUtcMs: 5, cause: "no-media", detail: 'a "quoted" {"v":1 detail' } as const;
const BOOT = "00000000-1111-4222-8333-444444444444";
const run = { fact: "run-ended", atUtcMs: 9, run: "r", cause: "no-media" } as const;

const moved = { fact: "boot-moved", atUtcMs: 1e12, shiftMs: 1e12, byMs: 1e12, sinceUtcMs: 0 } as const;

const line = (fact: JournalFact): string => journalLine(key, fact, "b");

it("reads back what it wrote", () => {
  const text = line(gap) + line(run) + line(moved);
  expect(parseJournal(text)).toEqual({
    lines: [
      { ...key, boot: "b", ...gap },
      { ...key, boot: "b", ...run },
      { ...key, boot: "b", ...moved },
    ],
    unreadable: 0,
  });
});

it("tolerates every cut of the last line, also when lines follow it", () => {
  const first = line(gap);
  const second = line(run);
  for (let cut = 1; cut < second.length - 1; cut += 1) {
    const torn = parseJournal(first + second.slice(0, cut));
    expect(torn).toEqual({ lines: [{ ...key, boot: "b", ...gap }], unreadable: 1 });
    const resumed = parseJournal(first + second.slice(0, cut) + second);
    expect(resumed.lines).toEqual([
      { ...key, boot: "b", ...gap },
      { ...key, boot: "b", ...run },
    ]);
    expect(resumed.unreadable).toBe(1);
  }
});

it("takes nothing else for a fact", () => {
  const foreign = [
    "[]",
    "null",
    '{"v":2,"fact":"gap-opened"}',
    '{"v":1,"camera":"c","stream":"x","fact":"gap-opened","atUtcMs":1}',
    "\0\0\0",
  ];
  expect(parseJournal(foreign.join("\n"))).toEqual({ lines: [], unreadable: foreign.length });
});

it("keeps the longest detail inside a line", () => {
  const detail = boundedDetail("\u0001".repeat(5000));
  expect(detail).toHaveLength(MAX_DETAIL);
  expect(Buffer.byteLength(journalLine({ camera: "c".repeat(63), stream: "main" }, { ...gap, detail }, BOOT))).toBeLessThan(MAX_LINE_BYTES);
});

it("an absent journal is empty", async () => {
  expect(await readJournal("/nonexistent/journal.ndjson")).toEqual({ lines: [], unreadable: 0 });
});
