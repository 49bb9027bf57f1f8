import { expect, it } from "vitest";
import { boundedDetail, journalLine, MAX_DETAIL, MAX_LINE_BYTES, parseJournal, readJournal } from "../../src/store/journal.ts";

const key = { camera: "gate", stream: "main" } as const;
const gap = { fact: "gap-opened", atUtcMs: 5, cause: "no-media", detail: 'a "quoted" {"v":1 detail' } as const;
const run = { fact: "run-ended", atUtcMs: 9, run: "r", cause: "no-media" } as const;

it("reads back what it wrote", () => {
  const text = journalLine(key, gap) + journalLine(key, run);
  expect(parseJournal(text)).toEqual({
    lines: [
      { ...key, ...gap },
      { ...key, ...run },
    ],
    unreadable: 0,
  });
});

it("tolerates every cut of the last line, also when lines follow it", () => {
  const first = journalLine(key, gap);
  const second = journalLine(key, run);
  for (let cut = 1; cut < second.length - 1; cut += 1) {
    const torn = parseJournal(first + second.slice(0, cut));
    expect(torn).toEqual({ lines: [{ ...key, ...gap }], unreadable: 1 });
    const resumed = parseJournal(first + second.slice(0, cut) + second);
    expect(resumed.lines).toEqual([
      { ...key, ...gap },
      { ...key, ...run },
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
  expect(Buffer.byteLength(journalLine({ camera: "c".repeat(63), stream: "main" }, { ...gap, detail }))).toBeLessThan(MAX_LINE_BYTES);
});

it("an absent journal is empty", async () => {
  expect(await readJournal("/nonexistent/journal.ndjson")).toEqual({ lines: [], unreadable: 0 });
});
