import { defineConfig } from "vitest/config";

/**
 * Three suites. Unit tests mirror `src` and run in parallel; what drives the built product from outside has
 * the machine to itself, one file after the other, because its time-outs are about the product.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/e2e/**", "test/faults/**"],
        },
      },
      ...(["e2e", "faults"] as const).map((name) => ({
        test: {
          name,
          include: [`test/${name}/**/*.test.ts`],
          testTimeout: 180_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      })),
    ],
  },
});
