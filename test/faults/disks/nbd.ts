/** The server's side of the NBD protocol (github.com/NetworkBlockDevice/nbd, doc/proto.md): fixed newstyle handshake, simple replies. */

/** Errors of replies are errno values. */
export const EIO = 5;
const EINVAL = 22;
const EOPNOTSUPP = 95;

const NBDMAGIC = 0x4e42444d41474943n;
const IHAVEOPT = 0x49484156454f5054n;
const OPTION_REPLY = 0x3e889045565a9n;
const REQUEST = 0x25609513;
const SIMPLE_REPLY = 0x67446698;

const OPT_ABORT = 2;
const OPT_INFO = 6;
const OPT_GO = 7;
const REP_ACK = 1;
const REP_INFO = 3;
const REP_ERR_UNSUP = 0x80000001;
const INFO_EXPORT = 0;

/** Fixed newstyle, no zeroes behind the export. */
const HANDSHAKE_FLAGS = 0b11;
/** Has flags, FLUSH, FUA. Neither TRIM nor WRITE_ZEROES: who wants zeroes writes them, and they are recorded as what they are. */
const TRANSMISSION_FLAGS = 0b1101;
const COMMAND_FUA = 1;
const READ = 0;
const WRITE = 1;
const DISCONNECT = 2;
const FLUSH = 3;
const REQUEST_BYTES = 28;
const OPTION_BYTES = 16;

/** One command of the client, to be answered in any order. `cookie` is the client's. */
export type BlockRequest = { readonly cookie: bigint } & (
  | { readonly kind: "read"; readonly offset: number; readonly bytes: number }
  /** `data` is the request's own. `fua`: stable before it is answered. */
  | { readonly kind: "write"; readonly offset: number; readonly data: Buffer; readonly fua: boolean }
  | { readonly kind: "flush" }
);

/** One connection. Bytes come in by `take`, requests go out by `onRequest`, bytes to send by `send`. */
export class NbdSession {
  readonly #deviceBytes: number;
  readonly #send: (bytes: Buffer) => void;
  readonly #onRequest: (request: BlockRequest) => void;
  readonly #end: () => void;
  #chunks: Buffer[] = [];
  #waiting = 0;
  #wanted = 4;
  #state: "flags" | "options" | "transmission" = "flags";

  constructor(deviceBytes: number, io: { send(bytes: Buffer): void; onRequest(request: BlockRequest): void; end(): void }) {
    this.#deviceBytes = deviceBytes;
    this.#send = io.send;
    this.#onRequest = io.onRequest;
    this.#end = io.end;
    const greeting = Buffer.alloc(18);
    greeting.writeBigUInt64BE(NBDMAGIC, 0);
    greeting.writeBigUInt64BE(IHAVEOPT, 8);
    greeting.writeUInt16BE(HANDSHAKE_FLAGS, 16);
    this.#send(greeting);
  }

  take(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#waiting += chunk.length;
    while (this.#waiting >= this.#wanted) {
      const bytes = this.#chunks.length === 1 ? (this.#chunks[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#chunks);
      const used = this.#step(bytes);
      if (used === 0) {
        this.#chunks = [bytes];
        return;
      }
      this.#chunks = [bytes.subarray(used)];
      this.#waiting = bytes.length - used;
    }
  }

  /** Answers a request; `error` is an errno, 0 for success. `data` is what was read. */
  reply(cookie: bigint, error: number, data?: Buffer): void {
    const head = Buffer.alloc(16);
    head.writeUInt32BE(SIMPLE_REPLY, 0);
    head.writeUInt32BE(error, 4);
    head.writeBigUInt64BE(cookie, 8);
    this.#send(data === undefined ? head : Buffer.concat([head, data]));
  }

  /** Consumes one message if it is whole; 0 means more is needed, and `#wanted` says how much. */
  #step(bytes: Buffer): number {
    switch (this.#state) {
      case "flags":
        this.#state = "options";
        this.#wanted = OPTION_BYTES;
        return 4;
      case "options":
        return this.#option(bytes);
      case "transmission":
        return this.#request(bytes);
    }
  }

  #option(bytes: Buffer): number {
    const length = OPTION_BYTES + bytes.readUInt32BE(12);
    if (bytes.readBigUInt64BE(0) !== IHAVEOPT) throw new Error("not an NBD option");
    if (bytes.length < length) return this.#need(length);
    this.#wanted = OPTION_BYTES;
    const option = bytes.readUInt32BE(8);
    if (option === OPT_ABORT) {
      this.#answer(option, REP_ACK);
      this.#end();
    } else if (option === OPT_GO || option === OPT_INFO) {
      const info = Buffer.alloc(12);
      info.writeUInt16BE(INFO_EXPORT, 0);
      info.writeBigUInt64BE(BigInt(this.#deviceBytes), 2);
      info.writeUInt16BE(TRANSMISSION_FLAGS, 10);
      this.#answer(option, REP_INFO, info);
      this.#answer(option, REP_ACK);
      if (option === OPT_GO) {
        this.#state = "transmission";
        this.#wanted = REQUEST_BYTES;
      }
    } else {
      this.#answer(option, REP_ERR_UNSUP);
    }
    return length;
  }

  #answer(option: number, type: number, data: Buffer = Buffer.alloc(0)): void {
    const head = Buffer.alloc(20);
    head.writeBigUInt64BE(OPTION_REPLY, 0);
    head.writeUInt32BE(option, 8);
    head.writeUInt32BE(type, 12);
    head.writeUInt32BE(data.length, 16);
    this.#send(Buffer.concat([head, data]));
  }

  #request(bytes: Buffer): number {
    if (bytes.readUInt32BE(0) !== REQUEST) throw new Error("not an NBD request");
    const flags = bytes.readUInt16BE(4);
    const type = bytes.readUInt16BE(6);
    const cookie = bytes.readBigUInt64BE(8);
    const offset = Number(bytes.readBigUInt64BE(16));
    const count = bytes.readUInt32BE(24);
    const length = REQUEST_BYTES + (type === WRITE ? count : 0);
    if (bytes.length < length) return this.#need(length);
    this.#wanted = REQUEST_BYTES;
    const inside = offset + count <= this.#deviceBytes;
    if (type === DISCONNECT) this.#end();
    else if (type === FLUSH) this.#onRequest({ kind: "flush", cookie });
    else if (type !== READ && type !== WRITE) this.reply(cookie, EOPNOTSUPP);
    else if (!inside) this.reply(cookie, EINVAL);
    else if (type === READ) this.#onRequest({ kind: "read", cookie, offset, bytes: count });
    else {
      const data = Buffer.from(bytes.subarray(REQUEST_BYTES, length));
      this.#onRequest({ kind: "write", cookie, offset, data, fua: (flags & COMMAND_FUA) !== 0 });
    }
    return length;
  }

  #need(length: number): 0 {
    this.#wanted = length;
    return 0;
  }
}
