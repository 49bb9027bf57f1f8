/** Sizes and durations as people write them in the box file. */

const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

const DURATION_UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000 };

/** Bytes of `200MB`, `1.5 GiB` or a whole number; null for anything else. */
export function parseSize(value: unknown): number | null {
  if (typeof value === "number") return Number.isSafeInteger(value) && value >= 0 ? value : null;
  return parseQuantity(value, SIZE_UNITS);
}

/** Milliseconds of `60s`, `500ms`, `1.5m` or `1h`; null for anything else, plain numbers included: their unit would be a guess. */
export function parseDuration(value: unknown): number | null {
  return parseQuantity(value, DURATION_UNITS_MS);
}

function parseQuantity(value: unknown, units: Readonly<Record<string, number>>): number | null {
  if (typeof value !== "string") return null;
  const match = /^(\d{1,15}(?:\.\d{1,9})?) ?([A-Za-z]{1,3})$/.exec(value);
  const unit = match?.[2] ?? "";
  if (match === null || !Object.hasOwn(units, unit)) return null;
  const amount = Math.round(Number(match[1]) * (units[unit] ?? Number.NaN));
  return Number.isSafeInteger(amount) ? amount : null;
}
