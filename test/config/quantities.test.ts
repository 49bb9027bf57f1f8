import { describe, expect, test } from "vitest";
import { parseDuration, parseSize } from "../../src/config/quantities.ts";

describe("sizes", () => {
  test.each([
    ["200MB", 200_000_000],
    ["1.5GiB", 1_610_612_736],
    ["64 KiB", 65_536],
    ["0B", 0],
    [4096, 4096],
  ])("%s is %i bytes", (text, bytes) => expect(parseSize(text)).toBe(bytes));

  test.each([
    ["200"],
    ["200mb"],
    ["-1MB"],
    ["1e3MB"],
    ["MB"],
    [""],
    [1.5],
    [-1],
    [2 ** 53],
    ["9999999999TiB"],
    [true],
    [null],
    ["constructor"],
  ])("%s is none", (value) => expect(parseSize(value)).toBeNull());
});

describe("durations", () => {
  test.each([
    ["500ms", 500],
    ["60s", 60_000],
    ["1.5m", 90_000],
    ["5 min", 300_000],
    ["1h", 3_600_000],
  ])("%s is %i ms", (text, ms) => expect(parseDuration(text)).toBe(ms));

  test.each([[60], ["60"], ["60S"], ["-1s"], ["1d2h"], [undefined]])("%s is none", (value) => expect(parseDuration(value)).toBeNull());
});
