import { expect, it } from "vitest";
import { engineFiles } from "../../src/engine/files.ts";
import type { NativeFiles } from "../../src/engine/types.ts";
import { settle } from "../fakes/clock.ts";

it("a disk that hangs holds two steps at most, which come in order, and other disks none", async () => {
  const begun: string[] = [];
  const waiting: (() => void)[] = [];
  const files = engineFiles({
    appendDurable: (root: number, path: string) => {
      begun.push(path);
      return root === 2 ? Promise.resolve() : new Promise<void>((resolve) => waiting.push(resolve));
    },
    removeDurable: async (_: number, path: string) => {
      begun.push(path);
      throw new Error("the disk fails");
    },
  } as unknown as NativeFiles);
  const steps = ["a", "b", "c"].map((path) => files.appendDurable(1, path, ""));
  const failing = expect(files.removeDurable(1, "d", false)).rejects.toThrow("the disk fails");
  await files.appendDurable(2, "other", "");
  expect(begun).toEqual(["a", "b", "other"]);
  waiting.shift()?.();
  await settle();
  expect(begun).toEqual(["a", "b", "other", "c"]);
  for (const step of waiting.splice(0)) step();
  await failing;
  await Promise.all(steps);
  const last = files.appendDurable(1, "e", "");
  waiting.shift()?.();
  await last;
  expect(begun).toEqual(["a", "b", "other", "c", "d", "e"]);
});
