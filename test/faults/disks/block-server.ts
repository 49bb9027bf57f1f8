/**
 * A block device as a process of its own: serves an image file over NBD on a Unix socket, does one command after the other, and can be told
 * to fail or to stall. `bun block-server.ts --socket PATH --image PATH [--log PATH]`; with a log every write, flush and mark is recorded there.
 * It prints one line when it accepts connections. Each line on stdin is an order, answered with one line on stdout:
 * `{"mode":…}` as `DeviceMode`, `{"mark":TEXT}`, `{"counters":true}`. It ends when its stdin does.
 */
import { closeSync, fstatSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { type BlockRequest, EIO, NbdSession } from "./nbd.ts";
import { OperationLog } from "./operations.ts";

/** How the device behaves from now on. */
export type DeviceMode =
  | { readonly mode: "ok" }
  /** Commands of these kinds end with EIO and do nothing; `once`: the first of them only, then all is well again. */
  | {
      readonly mode: "error";
      readonly reads?: boolean;
      readonly writes?: boolean;
      readonly flushes?: boolean;
      readonly once?: boolean;
    }
  /** Nothing is answered until the next mode, which then finds all that waited. */
  | { readonly mode: "stalled" };

/** Since the start of the device. */
export interface DeviceCounters {
  readonly reads: number;
  readonly writes: number;
  readonly writtenBytes: number;
  readonly flushes: number;
  readonly errors: number;
  /** Commands that wait for a stall to end. */
  readonly waiting: number;
  /** Writes, flushes and marks done so far: the place in the log. */
  readonly operations: number;
  /** When the first command failed or was kept waiting since the last order of an error or a stall. */
  readonly metUtcMs: number | null;
}

export type DeviceOrder = DeviceMode | { readonly mark: string } | { readonly counters: true };

class BlockServer {
  readonly #image: number;
  readonly #log: OperationLog | null;
  readonly #waiting: (() => void)[] = [];
  readonly #counters = { reads: 0, writes: 0, writtenBytes: 0, flushes: 0, errors: 0, operations: 0 };
  #mode: DeviceMode = { mode: "ok" };
  #metUtcMs: number | null = null;

  constructor(image: string, log: string | null) {
    this.#image = openSync(image, "r+");
    this.#log = log === null ? null : new OperationLog(log);
  }

  get bytes(): number {
    return fstatSync(this.#image).size;
  }

  close(): void {
    this.#log?.close();
    closeSync(this.#image);
  }

  obey(order: DeviceOrder): unknown {
    if ("mark" in order) {
      this.#log?.add({ kind: "mark", text: order.mark });
      this.#counters.operations += 1;
    } else if ("mode" in order) {
      this.#mode = order;
      if (order.mode !== "ok") this.#metUtcMs = null;
      if (order.mode !== "stalled") for (const handle of this.#waiting.splice(0)) handle();
    }
    return { ...this.#counters, waiting: this.#waiting.length, metUtcMs: this.#metUtcMs } satisfies DeviceCounters;
  }

  handle(session: NbdSession, request: BlockRequest): void {
    if (this.#mode.mode === "stalled") {
      this.#metUtcMs ??= Date.now();
      this.#waiting.push(() => this.handle(session, request));
    } else if (this.#fails(request.kind)) {
      this.#counters.errors += 1;
      this.#metUtcMs ??= Date.now();
      session.reply(request.cookie, EIO);
    } else {
      session.reply(request.cookie, 0, this.#do(request));
    }
  }

  #fails(kind: BlockRequest["kind"]): boolean {
    if (this.#mode.mode !== "error") return false;
    const { reads, writes, flushes, once } = this.#mode;
    const fails = { read: reads, write: writes, flush: flushes }[kind] === true;
    if (fails && once === true) this.#mode = { mode: "ok" };
    return fails;
  }

  #do(request: BlockRequest): Buffer | undefined {
    switch (request.kind) {
      case "read": {
        this.#counters.reads += 1;
        const data = Buffer.alloc(request.bytes);
        readSync(this.#image, data, 0, request.bytes, request.offset);
        return data;
      }
      case "write":
        this.#counters.writes += 1;
        this.#counters.writtenBytes += request.data.length;
        this.#counters.operations += 1;
        writeSync(this.#image, request.data, 0, request.data.length, request.offset);
        this.#log?.add({ kind: "write", offset: request.offset, data: request.data, fua: request.fua });
        return undefined;
      case "flush":
        this.#counters.flushes += 1;
        this.#counters.operations += 1;
        this.#log?.add({ kind: "flush" });
        return undefined;
    }
  }
}

interface Connection {
  readonly session: NbdSession;
  readonly unsent: Buffer[];
}

/** Sends what the socket takes; the rest goes when it drains. */
function pump(socket: Bun.Socket<Connection | null>, unsent: Buffer[]): void {
  for (let first = unsent[0]; first !== undefined; first = unsent[0]) {
    const sent = socket.write(first);
    if (sent < first.length) {
      unsent[0] = first.subarray(Math.max(0, sent));
      return;
    }
    unsent.shift();
  }
}

function main(): void {
  const TEXT = { type: "string" } as const;
  const { values } = parseArgs({ options: { socket: TEXT, image: TEXT, log: TEXT } });
  const { socket: unix = "", image = "", log = null } = values;
  const server = new BlockServer(image, log);
  rmSync(unix, { force: true });
  const listener = Bun.listen<Connection | null>({
    unix,
    data: null,
    socket: {
      open(socket) {
        const unsent: Buffer[] = [];
        const session = new NbdSession(server.bytes, {
          send(bytes) {
            unsent.push(bytes);
            pump(socket, unsent);
          },
          onRequest: (request) => server.handle(session, request),
          end: () => socket.end(),
        });
        socket.data = { session, unsent };
      },
      data: (socket, chunk) => socket.data?.session.take(Buffer.from(chunk)),
      drain: (socket) => pump(socket, socket.data?.unsent ?? []),
    },
  });
  const say = (line: unknown) => process.stdout.write(`${JSON.stringify(line)}\n`);
  const orders = createInterface({ input: process.stdin });
  orders.on("line", (line) => say(server.obey(JSON.parse(line) as DeviceOrder)));
  orders.on("close", () => {
    listener.stop(true);
    server.close();
    process.exit(0);
  });
  say({ listening: true });
}

main();
