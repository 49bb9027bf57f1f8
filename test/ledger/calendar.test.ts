import { expect, test } from "vitest";
import { dayStart, daysOf, partsOf } from "../../src/ledger/calendar.ts";

const HOUR_MS = 3_600_000;
const at = (text: string, zone: string) => Temporal.PlainDateTime.from(text).toZonedDateTime(zone).epochMilliseconds;

test.each([
  ["Europe/Berlin", "2026-03-29", 23],
  ["Europe/Berlin", "2026-10-25", 25],
  ["Europe/Berlin", "2026-06-01", 24],
  ["Australia/Lord_Howe", "2026-04-05", 24.5],
  ["Australia/Lord_Howe", "2026-10-04", 23.5],
  // Midnight itself is skipped: the day begins at one o'clock.
  ["America/Santiago", "2026-09-06", 23],
])("%s, %s has %d hours, and its hours fill it", (zone, day, hours) => {
  const noon = at(`${day}T12:00`, zone);
  const [only, ...others] = [...daysOf({ fromUtcMs: noon, toUtcMs: noon + 1 }, zone)];
  expect(others).toEqual([]);
  expect(only?.day).toBe(day);
  if (only === undefined) return;
  expect((only.toUtcMs - only.fromUtcMs) / HOUR_MS).toBe(hours);
  const parts = [...partsOf(only, only, HOUR_MS)];
  expect(parts).toHaveLength(Math.ceil(hours));
  expect([parts[0]?.fromUtcMs, parts.at(-1)?.toUtcMs]).toEqual([only.fromUtcMs, only.toUtcMs]);
  for (const [index, part] of parts.entries()) if (index > 0) expect(part.fromUtcMs).toBe(parts[index - 1]?.toUtcMs);
});

test("days of a range follow each other over a change of the clocks", () => {
  const zone = "Europe/Berlin";
  const range = { fromUtcMs: at("2026-10-24T18:00", zone), toUtcMs: at("2026-10-27T00:00", zone) };
  const days = [...daysOf(range, zone)];
  expect(days.map(({ day }) => day)).toEqual(["2026-10-24", "2026-10-25", "2026-10-26"]);
  for (const [index, day] of days.entries()) if (index > 0) expect(day.fromUtcMs).toBe(days[index - 1]?.toUtcMs);
  expect(dayStart(range.toUtcMs - 1, zone, 2)).toBe(days[0]?.fromUtcMs);
  expect([...daysOf({ fromUtcMs: 5, toUtcMs: 5 }, zone)]).toEqual([]);
});

test("a day that a zone skipped is not there", () => {
  // Samoa went over the date line: there was no 30 December 2011.
  const zone = "Pacific/Apia";
  const range = { fromUtcMs: at("2011-12-29T12:00", zone), toUtcMs: at("2011-12-31T12:00", zone) };
  const days = [...daysOf(range, zone)];
  expect(days.map(({ day }) => day)).toEqual(["2011-12-29", "2011-12-31"]);
  expect(days[0]?.toUtcMs).toBe(days[1]?.fromUtcMs);
});

test("parts are counted from the start of the day and cut off where the range is", () => {
  const day = { fromUtcMs: 0, toUtcMs: 95 };
  const parts = (fromUtcMs: number, toUtcMs: number) =>
    [...partsOf(day, { fromUtcMs, toUtcMs }, 10)].map((part) => [part.fromUtcMs, part.toUtcMs]);
  expect(parts(25, 43)).toEqual([
    [25, 30],
    [30, 40],
    [40, 43],
  ]);
  expect(parts(88, 200)).toEqual([
    [88, 90],
    [90, 95],
  ]);
  expect(parts(-50, 5)).toEqual([[0, 5]]);
});
