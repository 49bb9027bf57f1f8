/** `./build.sh bench record [--streams N] [--seconds S] [--rounds R] [--pacing burst|spread]`: cost of recording N cameras at 4 Mbit/s, beside one ffmpeg per camera. */
import { availableParallelism, cpus, release } from "node:os";
import { parseArgs } from "node:util";
import { conclude, progress } from "../faults/proof.ts";
import type { Pacing } from "./lib/cameras.ts";
import { Ffmpeg } from "./lib/ffmpeg.ts";
import { Product } from "./lib/product.ts";
import { rounded, spread, summary } from "./lib/report.ts";
import { type Load, measureRound, measureSyscalls, PINNED, type Round } from "./lib/round.ts";
import type { Subject } from "./lib/subject.ts";

/** Seconds that strace counts for. */
const SYSCALL_S = 10;
/** Noise beyond this share of a core is worth a word. */
const NOISE_PERCENT = 25;

/** In the order of a round. The first one is what the others are compared with. */
const SUBJECTS: readonly (() => Subject)[] = [() => new Product(), () => new Ffmpeg()];

const { load, seconds, rounds } = readFlags();
const results: Round[] = [];
for (let round = 1; round <= rounds; round += 1) {
  for (const create of SUBJECTS) {
    const result = await measureRound(create(), load, seconds);
    results.push(result);
    const { subject, corePercent, memory, foreignCorePercent, frames } = result;
    const noise = foreignCorePercent > NOISE_PERCENT ? `; noisy: ${foreignCorePercent.toFixed(0)} % of a core went elsewhere` : "";
    const verdict = frames.problems.length === 0 ? `${frames.recorded} pictures, none lost` : `worthless: ${frames.problems[0]}`;
    const pss = (memory.pssBytes / 2 ** 20).toFixed(1);
    progress(`round ${round}/${rounds}: ${subject} ${corePercent.toFixed(2)} % of a core, ${pss} MiB PSS; ${verdict}${noise}`);
  }
}
const syscalls: Record<string, unknown> = {};
for (const create of SUBJECTS) {
  const subject = create();
  const { perPacket, perSecond, top } = await measureSyscalls(subject, load, SYSCALL_S);
  syscalls[subject.name] =
    perPacket === null || perSecond === null
      ? null
      : { perPacket: rounded(perPacket), perSecond: Math.round(perSecond), topPerSecond: top };
  progress(`${subject.name}: ${perPacket?.toFixed(3) ?? "fell behind, no number of"} syscalls per RTP packet`);
}
const names = [...new Set(results.map(({ subject }) => subject))];
const of = (name: string) => results.filter(({ subject }) => subject === name);
const [own = "", ...peers] = names;
const lost = (name: string) => of(name).some(({ frames }) => frames.problems.length > 0);
conclude({
  holds: !lost(own),
  streams: load.streams,
  pacing: load.pacing,
  seconds,
  rounds,
  machine: { cores: availableParallelism(), cpu: cpus()[0]?.model ?? null, kernel: release() },
  pinned: PINNED ? "cameras on CPU 0, subject with all its threads or processes on CPU 1" : null,
  cpuMethod: results[0]?.cpuMethod,
  subjects: Object.fromEntries(names.map((name) => [name, summary(of(name), load.streams)])),
  syscalls,
  /** Peer by product, within each round. */
  ratios: Object.fromEntries(
    peers
      .filter((name) => !lost(name) && !lost(own))
      .map((name) => [
        name,
        {
          cpu: spread(of(name).map(({ corePercent }, index) => corePercent / (of(own)[index]?.corePercent ?? Number.NaN))),
          pss: spread(of(name).map(({ memory }, index) => memory.pssBytes / (of(own)[index]?.memory.pssBytes ?? Number.NaN))),
        },
      ]),
  ),
});

function readFlags(): { readonly load: Load; readonly seconds: number; readonly rounds: number } {
  const { values } = parseArgs({
    options: { streams: { type: "string" }, seconds: { type: "string" }, rounds: { type: "string" }, pacing: { type: "string" } },
  });
  const count = (name: "streams" | "seconds" | "rounds", fallback: number): number => {
    const value = Number(values[name] ?? fallback);
    if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} is ${values[name]}, allowed is a whole number from 1`);
    return value;
  };
  return {
    load: { streams: count("streams", 16), pacing: pacingOf(values.pacing ?? "spread") },
    seconds: count("seconds", 60),
    rounds: count("rounds", 3),
  };
}

function pacingOf(text: string): Pacing {
  if (text !== "burst" && text !== "spread") throw new Error(`--pacing is ${text}, allowed are burst and spread`);
  return text;
}
