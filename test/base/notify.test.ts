import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, expect, test } from "vitest";
import { type LogFields, silentLogger } from "../../src/base/log.ts";
import { notifyServiceManager } from "../../src/base/notify.ts";

/** Plays the service manager: prints each datagram as one line. Bun has no datagram sockets of the Unix kind. */
const MANAGER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("listening", flush=True)
while True: print(s.recv(4096).decode().replace("\\n", " "), flush=True)
`;

const folder = mkdtempSync(join(tmpdir(), "easyrms-notify-"));

afterEach(() => {
  delete process.env["NOTIFY_SOCKET"];
  rmSync(folder, { recursive: true, force: true });
});

test("tells the manager that it is ready, and its status", async () => {
  const path = join(folder, "notify");
  const manager = spawn("python3", ["-c", MANAGER, path], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const lines = createInterface({ input: manager.stdout })[Symbol.asyncIterator]();
    expect((await lines.next()).value).toBe("listening");
    process.env["NOTIFY_SOCKET"] = path;
    await notifyServiceManager({ ready: true, status: "4 streams" }, silentLogger);
    const told = String((await lines.next()).value);
    expect(told).toContain("READY=1");
    expect(told).toContain("STATUS=4 streams");
  } finally {
    manager.kill();
  }
});

test("without a manager nothing is sent, and one that is gone is logged", async () => {
  const warned: LogFields[] = [];
  const log = { ...silentLogger, warn: (_event: string, fields: LogFields = {}) => void warned.push(fields) };
  await notifyServiceManager({ ready: true }, log);
  expect(warned).toEqual([]);
  process.env["NOTIFY_SOCKET"] = "/nowhere/notify";
  await notifyServiceManager({ ready: true }, log);
  expect(warned).toHaveLength(1);
});
