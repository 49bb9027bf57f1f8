import { describe, expect, test } from "vitest";
import { parseMoment } from "../../src/commands/moment.ts";

const ZONE = "Europe/Berlin";
/** 2026-06-01 10:00:00 in Berlin. */
const NOW = Date.UTC(2026, 5, 1, 8, 0, 0);
const at = (text: string) => parseMoment(text, ZONE, NOW);

test.each([
  ["now", NOW],
  ["-10m", NOW - 600_000],
  ["-90s", NOW - 90_000],
  ["-2h", NOW - 7_200_000],
  ["-1d", NOW - 86_400_000],
  ["2026-05-31T12:00:00Z", Date.UTC(2026, 4, 31, 12)],
  ["2026-05-31T12:00:00.250+08:00", Date.UTC(2026, 4, 31, 4, 0, 0, 250)],
  ["20260531T120000Z", Date.UTC(2026, 4, 31, 12)],
  ["20260531120000", Date.UTC(2026, 4, 31, 10)],
  ["2026-05-31 12:00", Date.UTC(2026, 4, 31, 10)],
  ["2026-05-31T12:00:30.5", Date.UTC(2026, 4, 31, 10, 0, 30, 500)],
  ["2026-05-31", Date.UTC(2026, 4, 30, 22)],
  ["20260531", Date.UTC(2026, 4, 30, 22)],
  ["14:03", Date.UTC(2026, 5, 1, 12, 3)],
  ["9:03:05", Date.UTC(2026, 5, 1, 7, 3, 5)],
  ["today", Date.UTC(2026, 4, 31, 22)],
  ["yesterday", Date.UTC(2026, 4, 30, 22)],
  ["yesterday 14:03", Date.UTC(2026, 4, 31, 12, 3)],
  [" 14:03 ", Date.UTC(2026, 5, 1, 12, 3)],
])("%s", (text, utcMs) => expect(at(text)).toBe(utcMs));

test.each([
  "",
  " ",
  "noon",
  "25:00",
  "14:60",
  "2026-02-31",
  "20260231000000",
  "20261301000000",
  "20260531126000",
  "-10",
  "-10y",
  "10m",
  "--10m",
  "2026-05-31T12:00:00+99:00",
  "14:03 yesterday",
  "todayx",
  "14",
  "2026-05-3112:00",
  "today14:03",
])("%j is no time", (text) => expect(at(text)).toBeNull());

describe("days with a clock change", () => {
  test("a time that exists twice is the first one", () => {
    expect(at("2026-10-25 02:30")).toBe(Date.UTC(2026, 9, 25, 0, 30));
  });
  test("a time that does not exist lies as much later", () => {
    expect(at("2026-03-29 02:30")).toBe(Date.UTC(2026, 2, 29, 1, 30));
  });
  test("yesterday is a day of the site, not 24 hours", () => {
    const afterChange = Date.UTC(2026, 2, 30, 8);
    expect(parseMoment("yesterday", ZONE, afterChange)).toBe(Date.UTC(2026, 2, 28, 23));
  });
});
