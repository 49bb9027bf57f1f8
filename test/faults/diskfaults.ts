/** `./build.sh prove diskfaults [--count N] [--seed S] [--row N]`: what fails on disks, row by row: nothing promised is lost, it is told, and recording is back by itself. */

import { FAULT_ROWS } from "./diskfaults-rows.ts";
import { type FaultReport, faultRun } from "./diskfaults-run.ts";
import { conclude, distribution, numberFlags, progress } from "./proof.ts";

const ALARM_MS = 1000;
const BACK_MS = 2000;

const { count, seed, row } = numberFlags({ count: 3, seed: Date.now() % 1_000_000, row: 0 });
progress(`seed ${seed}`);
const reports: FaultReport[] = [];
for (const [index, fault] of FAULT_ROWS.entries()) {
  if (row !== 0 && row !== index + 1) continue;
  const report = await faultRun(fault, { name: "diskfaults", rounds: fault.loses === true ? 1 : count, seed: seed + index });
  for (const problem of report.problems) progress(`${fault.name}: ${problem}`);
  reports.push(report);
}
const isLate = ({ alarmMs, backMs }: FaultReport): boolean => alarmMs.some((ms) => ms > ALARM_MS) || backMs.some((ms) => ms > BACK_MS);
const figures = (samples: readonly number[]) => {
  const { median, max } = distribution(samples);
  return samples.length === 0 ? null : { median, max };
};
conclude({
  holds: reports.every((report) => report.problems.length === 0 && !isLate(report)),
  seed,
  rows: reports.map(({ alarmMs, alarmFromOrderMs, backMs, ...report }) => ({
    ...report,
    alarmMs: figures(alarmMs),
    alarmFromOrderMs: figures(alarmFromOrderMs),
    backMs: figures(backMs),
  })),
});
