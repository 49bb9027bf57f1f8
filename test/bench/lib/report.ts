import type { Round } from "./round.ts";

/** Median of the rounds, and how far they lie apart. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function spread(samples: readonly number[], digits = 3): Spread {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const median = ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle)] ?? Number.NaN)) / 2;
  return {
    median: rounded(median, digits),
    min: rounded(sorted[0] ?? Number.NaN, digits),
    max: rounded(sorted.at(-1) ?? Number.NaN, digits),
  };
}

export function rounded(value: number, digits = 3): number {
  return Number(value.toFixed(digits));
}

const MIB = 2 ** 20;
/** Threads of the product that are Rust. All others run for TypeScript: the engine's main thread, its garbage collector, SQLite's pool. */
const ENGINE_THREAD = /^easyrms-/;

/** Work of the product per second and per packet, as its own counters tell. */
function workOf(rounds: readonly Round[]): Record<string, Spread> {
  const rate = (name: string) => spread(rounds.map(({ rates }) => rates[name] ?? Number.NaN));
  const perPacket = (name: string) =>
    spread(
      rounds.map(({ rates, packetsPerSecond }) => (rates[name] ?? Number.NaN) / packetsPerSecond),
      4,
    );
  return {
    ticksPerSecond: rate("ticks"),
    wakeupsPerSecond: rate("wakeups"),
    callbacksPerSecond: rate("callbacks"),
    factsPerSecond: rate("facts"),
    receiveCallsPerSecond: rate("receive_calls"),
    receiveCallsPerPacket: perPacket("receive_calls"),
    writeCallsPerSecond: rate("write_calls"),
    writtenMBPerSecond: spread(rounds.map(({ rates }) => (rates["written_bytes"] ?? Number.NaN) / 1e6)),
    syncCallsPerSecond: rate("sync_calls"),
    syncGroupsPerSecond: rate("sync_groups"),
    sendCallsPerSecond: rate("send_calls"),
    typescriptCorePercent: spread(rounds.map(({ threads }) => sumOf(threads, (name) => !ENGINE_THREAD.test(name)))),
    mainThreadCorePercent: spread(rounds.map(({ threads }) => threads["main"] ?? Number.NaN)),
  };
}

/** What a subject's rounds come to. Its numbers are null if a picture was lost in any of them: a subject that drops gets none. */
export function summary(rounds: readonly Round[], streams: number): Record<string, unknown> {
  const problems = rounds.flatMap(({ frames }) => frames.problems);
  const foreign = spread(
    rounds.map(({ foreignCorePercent }) => foreignCorePercent),
    1,
  );
  const recorded = rounds.map(({ frames }) => frames.recorded);
  const checked = { frames: recorded, framesUnderWay: Math.max(...rounds.map(({ frames }) => frames.tail)), foreignCorePercent: foreign };
  if (problems.length > 0) return { ...checked, numbers: null, problems: problems.slice(0, 20), problemCount: problems.length };
  const idles = rounds.flatMap(({ idle }) => (idle === null ? [] : [idle]));
  const held = rounds.flatMap(({ ringBytes }) => (ringBytes === null ? [] : [ringBytes / MIB]));
  const beside = rounds.flatMap(({ memory, idle, ringBytes }) =>
    idle === null || ringBytes === null ? [] : [(memory.pssBytes - idle.pssBytes - ringBytes) / MIB / streams],
  );
  const names = [...new Set(rounds.flatMap(({ threads }) => Object.keys(threads)))];
  const threads = names
    .map((name) => [name, rounded(spread(rounds.map((round) => round.threads[name] ?? 0)).median, 2)] as const)
    .filter(([, share]) => share >= 0.01)
    .sort(([, a], [, b]) => b - a);
  const system = rounds.flatMap(({ systemCorePercent }) => systemCorePercent ?? []);
  return {
    ...checked,
    corePercent: spread(rounds.map(({ corePercent }) => corePercent)),
    corePercentPerStream: spread(
      rounds.map(({ corePercent }) => corePercent / streams),
      4,
    ),
    systemCorePercent: system.length === 0 ? null : spread(system),
    threadCorePercent: Object.fromEntries(threads),
    rssMiB: spread(
      rounds.map(({ memory }) => memory.rssBytes / MIB),
      1,
    ),
    pssMiB: spread(
      rounds.map(({ memory }) => memory.pssBytes / MIB),
      1,
    ),
    idle:
      idles.length === 0
        ? null
        : {
            corePercent: spread(idles.map(({ corePercent }) => corePercent)),
            rssMiB: spread(
              idles.map(({ rssBytes }) => rssBytes / MIB),
              1,
            ),
            pssMiB: spread(
              idles.map(({ pssBytes }) => pssBytes / MIB),
              1,
            ),
          },
    ringMiB: held.length === 0 ? null : spread(held, 1),
    besideRingMiBPerStream: beside.length === 0 ? null : spread(beside, 2),
    packetsPerSecond: spread(
      rounds.map(({ packetsPerSecond }) => packetsPerSecond),
      0,
    ),
    cameraCorePercent: spread(
      rounds.map(({ cameraCorePercent }) => cameraCorePercent),
      1,
    ),
    work: rounds.every(({ rates }) => rates["ticks"] !== undefined) ? workOf(rounds) : null,
  };
}

const sumOf = (shares: Readonly<Record<string, number>>, fits: (name: string) => boolean): number =>
  Object.entries(shares).reduce((sum, [name, share]) => sum + (fits(name) ? share : 0), 0);
