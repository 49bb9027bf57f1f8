import { appendFile, mkdir, open, readdir, readFile, rename, rmdir, stat, unlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { RecorderError, toRecorderError } from "../../src/base/errors.ts";
import type {
  FolderEntry,
  FragmentEntry,
  RootInspection,
  SegmentBrief,
  SegmentHead,
  SegmentScan,
  UnreadFile,
} from "../../src/engine/types.ts";
import { LOCK_FILE, MARKER_FILE } from "../../src/store/paths.ts";
import type { FileSteps, SegmentId } from "../../src/store/types.ts";

export interface FakeFragment {
  readonly startUtcMs: number;
  readonly durationMs: number;
  readonly bytes: number;
}

export type FakeIdentity = Pick<SegmentHead, "serial" | "channel" | "stream" | "run" | "sequence" | "startUtcMs" | "zone"> &
  Partial<Pick<SegmentHead, "startMonoMs" | "clockTrusted">>;

/** One order of the store, as `FakeFileSteps.steps` logs it and `dieAt` names it. */
export type FakeStep = "seal" | "sync" | "rename" | "sync-directory" | "journal" | "unlink" | "prune";

/** A step that rejects, so many times. `happens`: what it was to do is done all the same. */
export interface FakeFailure {
  readonly step: FakeStep;
  readonly error: RecorderError;
  readonly happens: boolean;
  times: number;
}

interface Parsed {
  readonly identity: FakeIdentity | null;
  readonly fragments: FragmentEntry[];
  readonly wholeBytes: number;
  readonly seal: { durationMs: number; crc64: string; blake3: string } | null;
  readonly problems: string[];
}

/**
 * File steps on a real folder with a text format in place of MP4: a header line, a line per fragment, a seal line. Renames, unlinks and
 * appends are real. `dieAt` ends the "process" after that step: it and everything later rejects.
 */
export class FakeFileSteps implements FileSteps {
  readonly steps: FakeStep[] = [];
  /** Appended to in order; what a writer thread would hold open. */
  readonly #growing = new Map<string, string>();
  readonly scanned: string[] = [];
  /** Files whose header and seal were read in bulk. */
  readonly read: string[] = [];
  dieAt: FakeStep | null = null;
  failing: FakeFailure | null = null;
  failJournal: RecorderError | null = null;
  /** Of finishing a file that was given up. */
  failRecover: RecorderError | null = null;
  failUnlink: RecorderError | null = null;
  failSpace: RecorderError | null = null;
  /** Called while a file is scanned, between its pieces. */
  whileScanning: (path: string) => Promise<void> = async () => {};
  availableBytes = 1_000_000_000;
  /** Folders on which a file system is mounted; `/` is one. */
  readonly mounts = new Set<string>();
  /** Roots whose disks answer writes with EIO, by path. */
  readonly faulty = new Set<string>();
  /** Looks at roots wait for it. */
  hangs: Promise<void> | null = null;
  #dead = false;
  #handles = 0;
  readonly #open = new Map<number, { readonly path: string; readonly id: string; readonly directory: string | null }>();

  /** What the writer does before any fact comes up: creates the file and appends fragments. `torn` bytes of a next one follow. */
  async grow(path: string, identity: FakeIdentity, fragments: readonly FakeFragment[], torn = 0): Promise<void> {
    await mkdir(dirname(path), { recursive: true });
    const lines = [`HEAD ${JSON.stringify(identity)}\n`, ...fragments.map(fragmentLine)];
    await writeFile(path, lines.join("") + "FRAG {".repeat(torn));
    this.#growing.set(`${identity.run}/${identity.sequence}`, path);
  }

  /** The fault is over. */
  revive(): void {
    this.dieAt = null;
    this.#dead = false;
  }

  async scanSegment(path: string, rest: () => Promise<void>): Promise<SegmentScan> {
    this.#live();
    await rest();
    await this.whileScanning(path);
    this.scanned.push(path);
    const parsed = await parse(path);
    const head = parsed.identity === null ? null : await this.readSegment(path);
    const durationMs = parsed.fragments.reduce((sum, fragment) => sum + fragment.durationMs, 0);
    const foreign = parsed.seal !== null && parsed.seal.crc64 !== hashes(parsed.fragments).crc64;
    return {
      head,
      fragments: parsed.fragments,
      wholeBytes: parsed.wholeBytes,
      durationMs,
      sealed: parsed.seal !== null,
      problems: foreign && parsed.problems.length === 0 ? ["the seal is of other bytes"] : parsed.problems,
    };
  }

  async readSegment(path: string): Promise<SegmentHead> {
    this.#live();
    const { identity, seal, fragments } = await parse(path);
    if (identity === null) throw new RecorderError("SEGMENT_DAMAGED", `${path}: no header`);
    const last = fragments.at(-1);
    return {
      startMonoMs: 0,
      clockTrusted: true,
      ...identity,
      sealed: seal !== null,
      endUtcMs: seal === null || last === undefined ? null : last.startUtcMs + last.durationMs,
      durationMs: seal?.durationMs ?? null,
      bytes: (await stat(path)).size,
      crc64: seal?.crc64 ?? null,
      blake3: seal?.blake3 ?? null,
      previousBlake3: null,
      tracks: [],
    };
  }

  async readSegments(directory: string, names: readonly string[]): Promise<(SegmentBrief | UnreadFile)[]> {
    this.read.push(...names.map((name) => join(directory, name)));
    const reading = names.map(async (file) => {
      try {
        const { sealed: _, previousBlake3: __, tracks: ___, ...brief } = await this.readSegment(join(directory, file));
        return { file, ...brief };
      } catch (error) {
        const { code, message } = toRecorderError(error);
        return { file, code, problem: message };
      }
    });
    this.#live();
    return Promise.all(reading);
  }

  async listFolder(directory: string): Promise<FolderEntry[]> {
    this.#live();
    const names = (await readdir(directory).catch(() => [])).sort();
    const sizes = await Promise.all(names.map((name) => sizeOf(join(directory, name))));
    return names.flatMap((name, index): FolderEntry[] => {
      const bytes = sizes[index] ?? null;
      return bytes === null ? [] : [[name, bytes]];
    });
  }

  async inspectRoot(path: string): Promise<RootInspection> {
    await this.hangs;
    const found = await stat(path).catch(() => null);
    const text = await readFile(join(path, MARKER_FILE), "utf8").catch(() => null);
    const marker = text === null ? null : JSON.parse(text);
    const above = [...this.mounts].filter((mount) => path === mount || path.startsWith(`${mount}/`));
    const mountPoint = above.sort((a, b) => b.length - a.length)[0] ?? "/";
    return { fileSystem: mountPoint, directory: found === null ? null : String(found.ino), mountPoint, marker };
  }

  async adoptRoot(path: string, _inspected: RootInspection, id: string, serial: string): Promise<void> {
    await writeFile(join(path, MARKER_FILE), JSON.stringify({ v: 1, id, serial }), { flag: "wx" });
  }

  async openRoot(path: string, id: string): Promise<number> {
    const { marker, directory } = await this.inspectRoot(path);
    if (marker?.id !== id) throw new RecorderError("ROOT_UNAVAILABLE", `${path} has another marker`);
    if (!this.faulty.has(path)) await writeFile(join(path, LOCK_FILE), "", { flag: "a" });
    this.#handles += 1;
    this.#open.set(this.#handles, { path, id, directory });
    return this.#handles;
  }

  /** Roots that are open. */
  get openRoots(): readonly string[] {
    return [...this.#open.values()].map(({ path }) => path);
  }

  async closeRoot(root: number): Promise<void> {
    this.#open.delete(root);
  }

  async checkRoot(root: number): Promise<void> {
    const { path, id, directory } = this.#root(root);
    const found = await this.inspectRoot(path);
    if (found.directory === directory && found.marker?.id === id) return;
    throw new RecorderError("ROOT_UNAVAILABLE", `${path}: another directory has taken its place`);
  }

  async testRoot(root: number): Promise<void> {
    this.#writable(root);
  }

  #root(root: number) {
    const open = this.#open.get(root);
    if (open === undefined) throw new RecorderError("ROOT_UNAVAILABLE", `root ${root} is closed`);
    return open;
  }

  #writable(root: number): void {
    const { path } = this.#root(root);
    if (this.faulty.has(path)) throw new RecorderError("DISK_FAULT", `append of ${path}: Input/output error`);
  }

  async recoverSegment(root: number, path: string): Promise<SegmentScan> {
    this.#live();
    this.#writable(root);
    if (this.failRecover !== null) throw this.failRecover;
    const parsed = await parse(path);
    await this.#do("seal", async () => {
      if (parsed.fragments.length === 0 || parsed.seal !== null) return;
      const bytes = await readFile(path);
      await writeFile(path, bytes.subarray(0, parsed.wholeBytes));
      await appendFile(path, sealLine(parsed.fragments));
    });
    return this.scanSegment(path, async () => {});
  }

  async renameDurable(root: number, from: string, to: string): Promise<void> {
    this.#live();
    this.#writable(root);
    if ((await sizeOf(to)) !== null) throw new RecorderError("DISK_FAULT", `${to} exists`);
    await this.#do("rename", async () => {
      await mkdir(dirname(to), { recursive: true });
      await rename(from, to);
    });
    await this.#do("sync-directory", async () => {});
  }

  async removeDurable(root: number, path: string, pruneDirectory: boolean): Promise<void> {
    this.#live();
    this.#writable(root);
    if (this.failUnlink !== null) throw this.failUnlink;
    await this.#do("unlink", () => unlink(path).catch(() => undefined));
    if (pruneDirectory && (await readdir(dirname(path)).catch(() => ["gone"])).length === 0) {
      await this.#do("prune", () => rmdir(dirname(path)));
    }
  }

  async appendDurable(root: number, path: string, line: string): Promise<void> {
    this.#live();
    this.#writable(root);
    if (this.failJournal !== null) throw this.failJournal;
    await this.#do("journal", async () => {
      await mkdir(dirname(path), { recursive: true });
      await appendFile(path, line);
    });
  }

  async freeSpace(root: number): Promise<{ availableBytes: number; totalBytes: number }> {
    this.#root(root);
    if (this.failSpace !== null) throw this.failSpace;
    return { availableBytes: this.availableBytes, totalBytes: 2_000_000_000 };
  }

  async finishSegment(root: number, id: SegmentId, finalPath: string): Promise<{ bytes: number; crc64: string; blake3: string }> {
    this.#live();
    this.#writable(root);
    const path = this.#growing.get(`${id.run}/${id.sequence}`);
    if (path === undefined) throw new RecorderError("ENGINE_MISUSE", "no such open segment");
    const { fragments } = await parse(path);
    await this.#do("seal", () => appendFile(path, sealLine(fragments)));
    await this.#do("sync", async () => {});
    await this.renameDurable(root, path, finalPath);
    const { crc64, blake3 } = hashes(fragments);
    return { bytes: (await stat(finalPath)).size, crc64, blake3 };
  }

  async #do(step: FakeStep, work: () => Promise<unknown>): Promise<void> {
    const failure = this.failing?.step === step && this.failing.times > 0 ? this.failing : null;
    if (failure === null || failure.happens) await work();
    if (failure !== null) {
      failure.times -= 1;
      throw failure.error;
    }
    this.#did(step);
  }

  #did(step: FakeStep): void {
    this.steps.push(step);
    if (this.dieAt === step) this.#dead = true;
    this.#live();
  }

  #live(): void {
    if (this.#dead) throw new RecorderError("ENGINE_UNAVAILABLE", "the process is dead");
  }
}

/** A fragment line padded to its size. */
function fragmentLine(fragment: FakeFragment): string {
  const line = `FRAG ${JSON.stringify(fragment)} `;
  return `${line.padEnd(fragment.bytes - 1, "x")}\n`;
}

function sealLine(fragments: readonly FragmentEntry[]): string {
  const durationMs = fragments.reduce((sum, fragment) => sum + fragment.durationMs, 0);
  return `SEAL ${JSON.stringify({ durationMs, ...hashes(fragments) })}\n`;
}

function hashes(fragments: readonly FragmentEntry[]): { crc64: string; blake3: string } {
  const sum = fragments.reduce((total, fragment) => total + fragment.startUtcMs, 0).toString(16);
  return { crc64: sum.slice(-16).padStart(16, "0"), blake3: sum.slice(-64).padStart(64, "0") };
}

async function parse(path: string): Promise<Parsed> {
  const text = await readFile(path, "latin1").catch((error: unknown) => {
    const code = (error as NodeJS.ErrnoException).code === "ENOENT" ? "NOT_FOUND" : "DISK_FAULT";
    throw new RecorderError(code, `${path} cannot be read`, {}, { cause: error });
  });
  const parsed = { identity: null as Parsed["identity"], fragments: [] as FragmentEntry[], wholeBytes: 0, seal: null as Parsed["seal"] };
  const problems: string[] = [];
  let offset = 0;
  for (const line of text.split(/(?<=\n)/)) {
    const body = line.endsWith("\n") ? line.slice(5).replace(/\} x*\n$/, "}") : "";
    try {
      if (line.startsWith("HEAD ")) parsed.identity = JSON.parse(body);
      else if (line.startsWith("FRAG ")) parsed.fragments.push({ offset, randomAccess: true, ...JSON.parse(body), bytes: line.length });
      else if (line.startsWith("SEAL ")) parsed.seal = JSON.parse(body);
      else throw new SyntaxError("not a line of ours");
      parsed.wholeBytes = offset + line.length;
    } catch {
      problems.push(`offset ${offset}: damaged`);
    }
    offset += line.length;
  }
  return { ...parsed, problems };
}

async function sizeOf(path: string): Promise<number | null> {
  return stat(path).then(
    ({ size }) => size,
    () => null,
  );
}

/** Overwrites one byte, as rot on the medium would. */
export async function flipByte(path: string, offset: number): Promise<void> {
  const handle = await open(path, "r+");
  await handle.write(Buffer.from("!"), 0, 1, offset);
  await handle.close();
}
