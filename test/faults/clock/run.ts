import { progress } from "../proof.ts";
import { CLOCK_CASES, type ClockCase } from "./cases.ts";
import { judge } from "./judge.ts";
import { Site } from "./site.ts";

export interface ClockResult {
  readonly case: string;
  readonly problems: readonly string[];
}

/** Plays the cases that `take` takes, some at a time; each has a box and a camera of its own. */
export async function clockRun(name: string, atOnce: number, take: (one: ClockCase) => boolean): Promise<ClockResult[]> {
  const waiting = CLOCK_CASES.map((one, index) => ({ one, index })).filter(({ one }) => take(one));
  const results: (ClockResult & { readonly index: number })[] = [];
  const lane = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { one, index } = next;
      const problems = await play(`${name}-${index}`, one);
      progress(`${one.name}: ${problems.length === 0 ? "as the camera knows it" : problems.join("; ")}`);
      results.push({ case: one.name, problems, index });
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  return results.sort((a, b) => a.index - b.index).map(({ case: played, problems }) => ({ case: played, problems }));
}

async function play(name: string, one: ClockCase): Promise<string[]> {
  let site: Site | null = null;
  try {
    site = await Site.open({ name, ...one.site() });
    return await judge(site, await one.run(site));
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  } finally {
    await site?.close();
  }
}
