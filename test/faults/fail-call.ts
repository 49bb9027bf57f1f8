import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sleepMs } from "../e2e/box.ts";

const LOOK_MS = 20;

/** Lets the next system call of this name in a thread fail, without being made; resolves with when that was. */
export async function failCall(thread: number, call: string, error: string): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "easyrms-strace-"));
  const said = join(folder, "calls");
  const flags = ["-qq", "-ttt", "-o", said, "-e", `trace=${call}`, "-e", `inject=${call}:error=${error}:when=1`];
  const strace = spawn("strace", [...flags, "-p", String(thread)], { stdio: ["ignore", "ignore", "pipe"] });
  let complaint = "";
  strace.stderr.on("data", (chunk) => {
    complaint += String(chunk);
  });
  const ended = new Promise<void>((resolve) => strace.once("close", () => resolve()));
  try {
    for (;;) {
      const line = injected(said);
      if (line !== null) return Math.round(Number(line.split(" ")[0]) * 1000);
      if (strace.exitCode !== null) throw new Error(`strace ended with ${strace.exitCode}: ${complaint}`);
      await sleepMs(LOOK_MS);
    }
  } finally {
    strace.kill("SIGINT");
    await ended;
    rmSync(folder, { recursive: true });
  }
}

function injected(path: string): string | null {
  try {
    return (
      readFileSync(path, "utf8")
        .split("\n")
        .find((line) => line.includes("(INJECTED)")) ?? null
    );
  } catch {
    return null;
  }
}
