import { expect, test } from "vitest";
import { check } from "../../src/commands/check.ts";
import type { CheckOptions } from "../../src/commands/context.ts";
import type { CheckReport } from "../../src/store/types.ts";
import { FakeService } from "../fakes/service.ts";

const REPORT: CheckReport = { deep: true, segments: 2, bytes: 9, findings: [{ code: "damaged", path: "/a", message: "offset 3: bad" }] };

/** A check that the test moves on by hand. */
function heldCheck(service: FakeService) {
  const ending = Promise.withResolvers<CheckReport>();
  const begun = Promise.withResolvers<CheckOptions>();
  service.check = (options) => {
    begun.resolve(options);
    options.signal.addEventListener("abort", () => ending.reject(options.signal.reason));
    return ending.promise;
  };
  return { ending, begun: begun.promise };
}

const begin = (context: ReturnType<FakeService["context"]>, signal = new AbortController().signal) =>
  check.run(context, { deep: true }, signal)[Symbol.asyncIterator]();

test("progress comes while it lasts, the newest only, and then the report", async () => {
  const service = new FakeService();
  const { ending, begun } = heldCheck(service);
  const items = begin(service.context());
  const first = items.next();
  const { onProgress, deep } = await begun;
  expect(deep).toBe(true);
  onProgress({ segments: 1, totalSegments: 2, bytes: 5 });
  expect((await first).value).toEqual([{ kind: "progress", segments: 1, totalSegments: 2, bytes: 5 }]);
  for (let bytes = 6; bytes <= 9; bytes++) onProgress({ segments: 2, totalSegments: 2, bytes });
  expect((await items.next()).value).toEqual([{ kind: "progress", segments: 2, totalSegments: 2, bytes: 9 }]);
  const last = items.next();
  ending.resolve(REPORT);
  expect((await last).value).toEqual([{ kind: "report", ...REPORT }]);
  expect((await items.next()).done).toBe(true);
});

test("one check at a time, and a reader that leaves ends it", async () => {
  const service = new FakeService();
  const context = service.context();
  const { begun } = heldCheck(service);
  const items = begin(context);
  const first = items.next();
  const { onProgress, signal } = await begun;
  onProgress({ segments: 0, totalSegments: 2, bytes: 0 });
  await first;
  await expect(begin(context).next()).rejects.toMatchObject({ code: "CONFLICT" });
  await items.return?.();
  expect(signal.aborted).toBe(true);
  service.check = async () => REPORT;
  expect((await begin(context).next()).value).toEqual([{ kind: "report", ...REPORT }]);
});

test("a failure of the check is the caller's", async () => {
  const service = new FakeService();
  const context = service.context();
  service.check = () => Promise.reject(new Error("disk gone"));
  await expect(begin(context).next()).rejects.toThrow("disk gone");
  await expect(begin(context).next()).rejects.toThrow("disk gone");
});
