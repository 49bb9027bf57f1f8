import { expect, it } from "vitest";
import { ls } from "../../src/commands/ls.ts";
import { FakeService } from "../fakes/service.ts";

it("lists all there is, also what a clock that was ahead has put into the future", async () => {
  const service = new FakeService();
  const now = service.clock.utcMs();
  const gap = (fromUtcMs: number) =>
    ({
      kind: "gap",
      camera: "gate",
      stream: "main",
      fromUtcMs,
      toUtcMs: fromUtcMs + 1000,
      cause: "no-media",
      detail: null,
      open: false,
    }) as const;
  service.timeline.rows = [gap(now - 5000), gap(now + 3_600_000)];
  const list = async (from: string | null) => {
    const starts: number[] = [];
    for await (const page of ls.run(service.context(), { camera: null, stream: null, from, to: null }, new AbortController().signal)) {
      starts.push(...page.map((item) => item.from - now));
    }
    return starts;
  };
  expect(await list(null)).toEqual([-5000, 3_600_000]);
  expect(await list(new Date(now).toISOString())).toEqual([3_600_000]);
});
