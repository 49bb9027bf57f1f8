import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";

const MAIN = join(import.meta.dirname, "..", "fakes", "camera", "main.ts");

/** The virtual camera as a process of its own, so that its work is not the test's. */
export interface CameraProcess {
  readonly pid: number;
  readonly urls: Readonly<Record<string, string>>;
  /** Gives one of the orders of `test/fakes/camera/main.ts` and returns its answer. One at a time. */
  ask<Answer>(order: object): Promise<Answer>;
  stop(): Promise<void>;
}

/** Starts it (through `wrapper` if given, e.g. taskset) with the flags of `test/fakes/camera/main.ts`; resolves when it accepts connections. */
export function startCameraProcess(flags: readonly string[], wrapper: readonly string[] = []): Promise<CameraProcess> {
  return new Promise((resolve, reject) => {
    const [command = process.execPath, ...args] = [...wrapper, process.execPath, MAIN, "--with-parent", ...flags];
    const child: ChildProcess = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
    const { stdin, stdout } = child;
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`the camera ended with ${code}`)));
    if (stdin === null || stdout === null) throw new Error("the camera has no stdin or stdout");
    const lines = createInterface({ input: stdout });
    lines.once("line", (line) => {
      const { urls, pid } = JSON.parse(line) as { urls: Record<string, string>; pid: number };
      resolve({
        pid,
        urls,
        ask: (order) =>
          new Promise((answered) => {
            lines.once("line", (answer) => answered(JSON.parse(answer)));
            stdin.write(`${JSON.stringify(order)}\n`);
          }),
        stop: () =>
          new Promise((ended) => {
            if (child.exitCode !== null || child.signalCode !== null) return ended();
            child.once("exit", () => ended());
            child.kill("SIGTERM");
          }),
      });
    });
  });
}
