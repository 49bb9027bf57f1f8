import { describe, expect, test } from "vitest";
import { ProgressBar } from "../../src/cli/progress.ts";
import { type Column, fieldLines, Table } from "../../src/cli/table.ts";
import { bitRateText, bytesText, countText, durationText, momentText, percentText, pluralText } from "../../src/cli/units.ts";
import { FakeTerminal } from "../fakes/terminal.ts";

const COLUMNS: readonly Column[] = [
  { title: "NAME", align: "left" },
  { title: "SIZE", align: "right" },
  { title: "NOTE", align: "left" },
];

describe("tables", () => {
  test("align by the width that a terminal shows", () => {
    const rows = [
      ["front", "1.0 MB", "ok"],
      ["门口", "12.0 MB", ""],
    ];
    expect(new Table(COLUMNS, false).lines(rows)).toBe("NAME      SIZE  NOTE\nfront   1.0 MB  ok\n门口   12.0 MB\n");
  });

  test("keep their widths from batch to batch, with one heading", () => {
    const table = new Table(COLUMNS, false);
    expect(table.lines([["a-long-name", "1 B", "x"]])).toBe("NAME         SIZE  NOTE\na-long-name   1 B  x\n");
    expect(table.lines([["b", "2 B", "y"]])).toBe("b             2 B  y\n");
  });

  test("colour cells without moving columns", () => {
    const row = [{ text: "a", tone: "bad" } as const, { text: "1", tone: "good" } as const, "z"];
    expect(new Table(COLUMNS, true).lines([row])).toBe(
      "\x1b[1mNAME\x1b[0m  \x1b[1mSIZE\x1b[0m  \x1b[1mNOTE\x1b[0m\n\x1b[31ma\x1b[0m        \x1b[32m1\x1b[0m  z\n",
    );
  });

  test("let no control characters through", () => {
    expect(new Table(COLUMNS, false).lines([["a\x1b[2Jb", "\r\n", "\x9b1m"]])).not.toMatch(/[^\P{Cc}\n]/u);
    expect(fieldLines([["Server", "x\x1b]0;evil\x07"]], false)).toBe("Server  x ]0;evil\n");
  });
});

test("numbers have their units", () => {
  expect([0, 999, 1000, 1049, 999_949, 999_950, 12_345_678, 5e15].map(bytesText)).toEqual([
    "0 B",
    "999 B",
    "1.0 kB",
    "1.0 kB",
    "999.9 kB",
    "1.0 MB",
    "12.3 MB",
    "5.0 PB",
  ]);
  expect([0, 64_000, 4_012_345].map(bitRateText)).toEqual(["0 bit/s", "64.0 kbit/s", "4.0 Mbit/s"]);
  expect([0, 850, 1000, 59_949, 59_950, 125_000, 3_599_499, 11_100_000, 273_600_000].map(durationText)).toEqual([
    "0 ms",
    "850 ms",
    "1.0 s",
    "59.9 s",
    "1 min 00 s",
    "2 min 05 s",
    "59 min 59 s",
    "3 h 05 min",
    "3 d 04 h",
  ]);
  expect([0, 999, 1000, 1_234_567].map(countText)).toEqual(["0", "999", "1 000", "1 234 567"]);
  expect([0, 0.29, 0.9999, 0.999999, 1].map(percentText)).toEqual(["0.00 %", "29.00 %", "99.99 %", "99.99 %", "100.00 %"]);
  expect([pluralText(1, "gap"), pluralText(2, "gap")]).toEqual(["1 gap", "2 gaps"]);
  expect(momentText(Date.UTC(2026, 6, 31, 23, 59, 59, 999), "Asia/Shanghai")).toBe("2026-08-01 07:59:59");
});

describe("the progress bar", () => {
  test("redraws ten times a second at most and wipes itself", () => {
    const terminal = new FakeTerminal({ interactive: true });
    let nowMs = 0;
    const bar = new ProgressBar(terminal, () => nowMs);
    bar.update(0.5, "half");
    bar.update(0.6, "too soon");
    nowMs = 100;
    bar.update(1.5, "over");
    bar.end();
    bar.end();
    expect(terminal.stderr).toBe(`\r\x1b[K[${"#".repeat(12)}${"-".repeat(12)}]  50 %  half\r\x1b[K[${"#".repeat(24)}] 100 %  over\r\x1b[K`);
  });

  test("is silent where nobody watches", () => {
    const terminal = new FakeTerminal();
    new ProgressBar(terminal).update(0.5, "half");
    expect(terminal.stderr).toBe("");
  });
});
