import { expect, test } from "vitest";
import { reindex } from "../../src/commands/reindex.ts";
import type { ReindexOptions } from "../../src/store/types.ts";
import { FakeService, REINDEX_REPORT } from "../fakes/service.ts";

const begin = (service: FakeService) => reindex.run(service.context(), {}, new AbortController().signal)[Symbol.asyncIterator]();

test("progress comes while it lasts, and then the report", async () => {
  const service = new FakeService();
  const ending = Promise.withResolvers<typeof REINDEX_REPORT>();
  const begun = Promise.withResolvers<ReindexOptions>();
  service.reindex = (options) => {
    begun.resolve(options);
    return ending.promise;
  };
  const items = begin(service);
  const first = items.next();
  (await begun.promise).onProgress({ segments: 1, totalSegments: 2 });
  expect((await first).value).toEqual([{ kind: "progress", segments: 1, totalSegments: 2 }]);
  const last = items.next();
  ending.resolve(REINDEX_REPORT);
  expect((await last).value).toEqual([{ kind: "report", ...REINDEX_REPORT }]);
  expect((await items.next()).done).toBe(true);
});

test("a reader that leaves ends it, and a failure is the caller's", async () => {
  const service = new FakeService();
  const begun = Promise.withResolvers<ReindexOptions>();
  service.reindex = (options) => {
    begun.resolve(options);
    options.onProgress({ segments: 0, totalSegments: 2 });
    return new Promise((_, reject) => options.signal.addEventListener("abort", () => reject(options.signal.reason)));
  };
  const items = begin(service);
  await items.next();
  await items.return?.();
  expect((await begun.promise).signal.aborted).toBe(true);
  service.reindex = () => Promise.reject(new Error("disk gone"));
  await expect(begin(service).next()).rejects.toThrow("disk gone");
});
