/** `./build.sh bench wear [--streams N] [--seconds S] [--rounds R]`: bytes that reach flash for each byte of media, databases and journals included. */
import { conclude, numberFlags, progress } from "../faults/proof.ts";
import { spread } from "./lib/report.ts";
import { type WearRound, wearRound } from "./lib/wear-round.ts";

/** Device bytes per payload byte. */
const MOST = 1.05;
const SEGMENT = "60s";

const { streams, seconds, rounds } = numberFlags({ streams: 4, seconds: 300, rounds: 3 });
const results: WearRound[] = [];
for (let round = 1; round <= rounds; round += 1) {
  const result = await wearRound({ name: "wear", streams, seconds, segment: SEGMENT });
  results.push(result);
  const { ratio, segments, problems } = result;
  progress(`round ${round}/${rounds}: ${ratio.toFixed(4)} with ${segments} segments; ${problems[0] ?? "nothing lost"}`);
}
const of = (pick: (round: WearRound) => number, digits?: number) => spread(results.map(pick), digits);
const ratio = of((round) => round.ratio, 4);
const problems = results.flatMap((round) => round.problems);
const owners = Object.keys(results[0]?.shares ?? {});
conclude({
  holds: ratio.median <= MOST && problems.length === 0,
  streams,
  seconds,
  rounds,
  ratio,
  most: MOST,
  lifeRatio: of((round) => round.lifeRatio, 4),
  /** Of the payload, over the whole life. */
  shares: Object.fromEntries(owners.map((owner) => [owner, of((round) => round.shares?.[owner] ?? Number.NaN, 4)])),
  filesPerPayload: of(({ fileBytes, payloadBytes }) => fileBytes / payloadBytes, 4),
  payloadMB: of(({ payloadBytes }) => payloadBytes / 1e6, 1),
  deviceMB: of(({ deviceBytes }) => deviceBytes / 1e6, 1),
  segments: of(({ segments }) => segments),
  fragmentsPerSecond: of(({ fragments }) => fragments / seconds),
  syncGroupsPerSecond: of(({ syncGroups }) => syncGroups / seconds),
  syncCallsPerSecond: of(({ syncCalls }) => syncCalls / seconds),
  deviceReadsPerSecond: of(({ deviceReads }) => deviceReads / seconds),
  deviceWritesPerSecond: of(({ deviceWrites }) => deviceWrites / seconds),
  deviceFlushesPerSecond: of(({ deviceFlushes }) => deviceFlushes / seconds),
  syncMaxMs: of(({ syncMaxMs }) => syncMaxMs),
  problems,
});
