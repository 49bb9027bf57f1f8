import { ActiveFaults, type Fault, isSudden, type ScriptStep, type SuddenFault } from "./faults.ts";
import type { StreamOptions } from "./options.ts";

/** A client of the stream, as far as faults concern it. */
export interface StreamClient {
  strike(fault: SuddenFault): void;
  freeze(): void;
}

/** What the faults of one stream need of the server around it. */
export interface ServerSwitches {
  /** Closes the listener, or opens it again on the same port. */
  refuseConnections(refuse: boolean): void;
}

/** One path of the camera: its options, its faults and who plays it. */
export class StreamSource {
  readonly options: StreamOptions;
  readonly faults = new ActiveFaults();
  readonly clients = new Set<StreamClient>();
  readonly #server: ServerSwitches;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #frameSteps: ScriptStep[] = [];

  constructor(options: StreamOptions, server: ServerSwitches) {
    this.options = options;
    this.#server = server;
  }

  /** No media leaves now. */
  get mute(): boolean {
    return this.faults.any && (this.faults.has("silence") || this.faults.has("no-media") || this.faults.has("garbage-only"));
  }

  /** Arms the script. */
  start(): void {
    for (const step of this.options.script) {
      if ("ms" in step.when) this.#after(step.when.ms, () => this.#run(step));
      else this.#frameSteps.push(step);
    }
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#frameSteps = [];
  }

  /** Switches a fault on; the returned function ends a lasting one. */
  inject(fault: Fault): () => void {
    if (isSudden(fault)) {
      for (const client of [...this.clients]) client.strike(fault);
      return () => {};
    }
    this.faults.set(fault);
    if (fault.kind === "refused") this.#server.refuseConnections(true);
    if (fault.kind === "half-open") for (const client of this.clients) client.freeze();
    return () => this.clear(fault.kind);
  }

  /** Ends a lasting fault. What it did to a connection (half-open) stays done. */
  clear(kind: Fault["kind"]): void {
    this.faults.clear(kind);
    if (kind === "refused") this.#server.refuseConnections(false);
  }

  /** A client has been sent so many frames. */
  frameSent(frames: number): void {
    if (this.#frameSteps.length === 0) return;
    const due = this.#frameSteps.filter((step) => "frame" in step.when && step.when.frame <= frames);
    if (due.length === 0) return;
    this.#frameSteps = this.#frameSteps.filter((step) => !due.includes(step));
    for (const step of due) this.#run(step);
  }

  #run(step: ScriptStep): void {
    const end = this.inject(step.fault);
    if (step.forMs !== undefined) this.#after(step.forMs, end);
  }

  #after(ms: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, ms);
    this.#timers.add(timer);
  }
}
