import { closeSync, openSync, readFileSync, writeSync } from "node:fs";

/**
 * What happened to a block device, in the order in which it was done. A write is stable once a flush that came after its answer is answered,
 * one with `fua` by itself. A mark is something the harness wanted to remember at that moment.
 */
export type Operation =
  | { readonly kind: "write"; readonly offset: number; readonly data: Buffer; readonly fua: boolean }
  | { readonly kind: "flush" }
  | { readonly kind: "mark"; readonly text: string };

const KINDS = ["write", "flush", "mark"] as const;
/** Kind, FUA, offset, bytes that follow. */
const HEAD_BYTES = 16;

/** Writes operations to a file as they happen. */
export class OperationLog {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, "w");
  }

  add(operation: Operation): void {
    const head = Buffer.alloc(HEAD_BYTES);
    const body = operation.kind === "write" ? operation.data : Buffer.from(operation.kind === "mark" ? operation.text : "");
    head.writeUInt8(KINDS.indexOf(operation.kind), 0);
    if (operation.kind === "write") {
      head.writeUInt8(operation.fua ? 1 : 0, 1);
      head.writeBigUInt64BE(BigInt(operation.offset), 4);
    }
    head.writeUInt32BE(body.length, 12);
    writeSync(this.#file, Buffer.concat([head, body]));
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** Reads a log back. All of it is in memory then. */
export function readOperations(path: string): Operation[] {
  const bytes = readFileSync(path);
  const operations: Operation[] = [];
  for (let at = 0; at < bytes.length; ) {
    const kind = KINDS[bytes.readUInt8(at)];
    const end = at + HEAD_BYTES + bytes.readUInt32BE(at + 12);
    const body = bytes.subarray(at + HEAD_BYTES, end);
    if (kind === "write") {
      operations.push({ kind, offset: Number(bytes.readBigUInt64BE(at + 4)), data: body, fua: bytes.readUInt8(at + 1) === 1 });
    } else if (kind === "mark") operations.push({ kind, text: body.toString() });
    else operations.push({ kind: "flush" });
    at = end;
  }
  return operations;
}
