import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";

const MAIN = join(import.meta.dirname, "..", "fakes", "camera", "main.ts");

/** The virtual camera as a process of its own, so that its work is not the test's. */
export interface CameraProcess {
  readonly pid: number;
  readonly urls: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/** Starts it with the flags of `test/fakes/camera/main.ts`; resolves when it accepts connections. */
export function startCameraProcess(flags: readonly string[]): Promise<CameraProcess> {
  return new Promise((resolve, reject) => {
    const child: ChildProcess = spawn(process.execPath, [MAIN, "--with-parent", ...flags], { stdio: ["ignore", "pipe", "inherit"] });
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`the camera ended with ${code}`)));
    if (child.stdout === null) throw new Error("the camera has no stdout");
    createInterface({ input: child.stdout }).once("line", (line) => {
      const { urls, pid } = JSON.parse(line) as { urls: Record<string, string>; pid: number };
      resolve({
        pid,
        urls,
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
