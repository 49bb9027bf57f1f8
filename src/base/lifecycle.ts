/** A long-lived part of the service. Constructors only assign; work begins in `start` and ends in `stop`. */
export interface Part {
  readonly name: string;
  /** Rejects if the part cannot work; honours `signal` between its steps. */
  start(signal: AbortSignal): Promise<void>;
  /** Ends the part and frees what it holds. Safe to call twice, and after a failed `start`. */
  stop(): Promise<void>;
}
