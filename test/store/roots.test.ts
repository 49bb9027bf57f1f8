import { expect, it } from "vitest";
import { Roots } from "../../src/store/roots.ts";
import type { StreamPlace } from "../../src/store/types.ts";

const roots = new Roots(
  [0, 1].map((index) => ({ index, id: index + 10, path: `/r${index}`, limitBytes: null, reserveBytes: 0, handle: index + 20 })),
);
const place = (channel: number): StreamPlace => ({ camera: `c${channel}`, stream: "main", channel, name: `EZ_${channel}` });

it("shares streams out evenly, and keeps a stream where it is", () => {
  const first = [1, 2, 3, 4].map((channel) => roots.of(place(channel)).index);
  expect(first).toEqual([0, 1, 0, 1]);
  expect([4, 3, 2, 1].map((channel) => roots.of(place(channel)).index)).toEqual([1, 0, 1, 0]);
});

it("takes only paths in a day folder of the stream", () => {
  expect(roots.locate(place(1), 21, "/r1/EZ_1/20260601/x.mp4.open")).toMatchObject({ root: { id: 11 }, file: "20260601/x.mp4.open" });
  for (const path of ["/r0/EZ_1/20260601/x", "/r1/EZ_2/20260601/x", "/r1/EZ_1/x", "/r1/EZ_1/20260601/../../x", "/r1/EZ_1/a/b/c"]) {
    expect(() => roots.locate(place(1), 21, path)).toThrow("not in a day folder");
  }
  expect(() => roots.locate(place(1), 22, "/r2/EZ_1/20260601/x")).toThrow("never opened");
});
