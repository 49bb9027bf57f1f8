import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Client } from "../../src/cli/client.ts";
import type { CheckReport } from "../../src/store/types.ts";

const REPOSITORY = resolve(import.meta.dir, "..", "..");
const EASYRMS = join(REPOSITORY, "dist", "easyrms");
/** A Unix socket's path fits in 107 bytes (unix(7)). */
const SOCKET_PATH_BYTES = 107;
const READY_LIMIT_MS = 20_000;
/** The service's own drain time-outs are shorter. */
const STOP_LIMIT_MS = 30_000;

/** The built recorder in a folder of its own. */
export class DemoRecorder {
  readonly root: string;
  readonly config: string;
  readonly socket: string;
  readonly logPath: string;
  readonly limitBytes = 2_000_000_000;
  #child: Bun.Subprocess | null = null;

  /** Empties `dir`; nothing of an earlier demo must look like a recording of this one. */
  constructor(dir: string) {
    rmSync(dir, { recursive: true, force: true });
    this.root = join(dir, "recordings");
    this.config = join(dir, "easyrms.toml");
    this.logPath = join(dir, "serve.log");
    mkdirSync(this.root, { recursive: true });
    const socket = join(dir, "easyrms.sock");
    const fits = Buffer.byteLength(socket) <= SOCKET_PATH_BYTES;
    this.socket = fits ? socket : join(mkdtempSync(join(tmpdir(), "easyrms-demo-")), "easyrms.sock");
    writeFileSync(
      this.config,
      `serial = "DEMO0001"
[storage]
roots = ["recordings"]
limit = ${this.limitBytes}
reserve = "64MiB"
[clock]
trust = "always"
[state]
dir = "state"
[api]
socket = ${JSON.stringify(this.socket)}
`,
    );
  }

  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** Exit code, once the process has ended by itself or by a signal. */
  get ended(): boolean {
    return this.#child !== null && (this.#child.exitCode !== null || this.#child.signalCode !== null);
  }

  client(signal: AbortSignal): Client {
    return new Client(this.socket, signal);
  }

  async start(signal: AbortSignal): Promise<void> {
    const log = openSync(this.logPath, "w");
    this.#child = Bun.spawn([EASYRMS, "serve", "--config", this.config], {
      stdin: "ignore",
      stdout: log,
      stderr: log,
      // Ctrl-C is for the demo alone: a second signal would cut short how the recorder closes its files.
      detached: true,
    });
    closeSync(log);
    const client = this.client(signal);
    const deadlineMs = performance.now() + READY_LIMIT_MS;
    while (!(await client.isRunning())) {
      signal.throwIfAborted();
      if (this.ended) throw new Error(`easyrms serve ended: ${this.logTail()}`);
      if (performance.now() > deadlineMs) throw new Error(`easyrms serve is not ready after ${READY_LIMIT_MS / 1000} s: ${this.logTail()}`);
      await Bun.sleep(50);
    }
  }

  /** Adds a camera as an operator would: on the command line, the password on standard input. */
  async add(id: string, url: string, credentials: { readonly username: string; readonly password: string } | null): Promise<void> {
    const account = credentials === null ? [] : ["--user", credentials.username, "--password-file", "-"];
    const child = Bun.spawn([EASYRMS, "camera", "add", id, url, ...account, "--config", this.config], {
      stdin: new Blob([credentials === null ? "" : `${credentials.password}\n`]),
      stdout: "ignore",
      stderr: "pipe",
    });
    const [stderr, code] = await Promise.all([child.stderr.text(), child.exited]);
    if (code !== 0) throw new Error(`easyrms camera add ${id}: exit code ${code}: ${stderr}`);
  }

  /** Drains and ends the service. Returns its exit code; null if it had to be killed. */
  async stop(): Promise<number | null> {
    const child = this.#child;
    if (child === null) return 0;
    child.kill("SIGTERM");
    let killed = false;
    const limit = setTimeout(() => {
      killed = true;
      child.kill("SIGKILL");
    }, STOP_LIMIT_MS);
    const code = await child.exited;
    clearTimeout(limit);
    return killed ? null : code;
  }

  /** For the demo's own sudden end. */
  kill(): void {
    if (!this.ended) this.#child?.kill("SIGTERM");
  }

  /** `easyrms check --deep` on what the stopped recorder left. */
  async check(): Promise<CheckReport> {
    const child = Bun.spawn([EASYRMS, "check", "--deep", "--json", "--config", this.config], { stdout: "pipe", stderr: "pipe" });
    const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    if (stdout.trim() === "") throw new Error(`easyrms check --deep: exit code ${code}: ${stderr}`);
    return JSON.parse(stdout) as CheckReport;
  }

  /** The last lines of the service's log. */
  logTail(): string {
    return readFileSync(this.logPath, "utf8").trimEnd().split("\n").slice(-5).join("\n");
  }
}
