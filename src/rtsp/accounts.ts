import type { Clock } from "../base/clock.ts";

/** Pauses after the first, second, … refusal; the last one goes on. Cameras lock an account after 5 to 10 failures within half an hour. */
const REFUSED_PAUSES_MS = [5, 10, 20, 30].map((minutes) => minutes * 60_000);
/** An account that was accepted so recently is used by any number of sessions at once. */
const TRUST_MS = 10_000;
/** How long a session waits for another one's verdict. */
const VERDICT_WAIT_MS = 10_000;
/** Accounts remembered; the oldest is forgotten first. */
const MAX_ACCOUNTS = 1024;

interface Account {
  refusals: number;
  blockedUntilMonoMs: number;
  acceptedMonoMs: number | null;
  /** Settles when the session that tries the account has its verdict. */
  trial: Promise<void> | null;
}

/** The right to send credentials once; must be settled. */
export interface Permit {
  /** "unknown": no verdict came. */
  settle(verdict: "accepted" | "refused" | "unknown"): void;
}

export type Admission =
  | { readonly admitted: true; readonly permit: Permit }
  | { readonly admitted: false; readonly reason: "refused" | "busy"; readonly retryInMs: number };

/**
 * Keeps cameras from locking accounts. The 32 streams of a recorder box share one account, so that one wrong password would be 32
 * failures at once: as long as an account is not known to be good, one session tries it while the others wait for the verdict, and a
 * refused one is left alone for 5 to 30 minutes by all of them. Shared by every source and probe of the service.
 */
export class Accounts {
  readonly #clock: Clock;
  readonly #accounts = new Map<string, Account>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Waits for the right to send an account's credentials. Rejects with the signal's reason only. */
  async enter(key: string, signal: AbortSignal): Promise<Admission> {
    const deadlineMonoMs = this.#clock.monoMs() + VERDICT_WAIT_MS;
    for (;;) {
      signal.throwIfAborted();
      const account = this.#account(key);
      const now = this.#clock.monoMs();
      if (account.blockedUntilMonoMs > now) {
        return { admitted: false, reason: "refused", retryInMs: account.blockedUntilMonoMs - now };
      }
      if (account.acceptedMonoMs !== null && now - account.acceptedMonoMs < TRUST_MS)
        return { admitted: true, permit: this.#permit(account, () => {}) };
      if (account.trial === null) return { admitted: true, permit: this.#tryOut(account) };
      if (now >= deadlineMonoMs) return { admitted: false, reason: "busy", retryInMs: 0 };
      await this.#wait(account.trial, deadlineMonoMs - now, signal);
    }
  }

  /** Milliseconds for which nobody sends this account; 0 when it may be tried. */
  blockedMs(key: string): number {
    return Math.max(0, (this.#accounts.get(key)?.blockedUntilMonoMs ?? 0) - this.#clock.monoMs());
  }

  #account(key: string): Account {
    let account = this.#accounts.get(key);
    if (account === undefined) {
      account = { refusals: 0, blockedUntilMonoMs: 0, acceptedMonoMs: null, trial: null };
      this.#accounts.set(key, account);
      const oldest = this.#accounts.keys().next();
      if (this.#accounts.size > MAX_ACCOUNTS && oldest.done !== true) this.#accounts.delete(oldest.value);
    }
    return account;
  }

  #tryOut(account: Account): Permit {
    let done = () => {};
    account.trial = new Promise((resolve) => {
      done = resolve;
    });
    return this.#permit(account, () => {
      account.trial = null;
      done();
    });
  }

  #permit(account: Account, release: () => void): Permit {
    let settled = false;
    return {
      settle: (verdict) => {
        if (settled) return;
        settled = true;
        if (verdict === "refused") this.#refuse(account);
        else if (verdict === "accepted") {
          account.refusals = 0;
          account.blockedUntilMonoMs = 0;
          account.acceptedMonoMs = this.#clock.monoMs();
        }
        release();
      },
    };
  }

  /** Sessions that were under way together count as one refusal. */
  #refuse(account: Account): void {
    const now = this.#clock.monoMs();
    account.acceptedMonoMs = null;
    if (account.blockedUntilMonoMs > now) return;
    const pause = REFUSED_PAUSES_MS[Math.min(account.refusals, REFUSED_PAUSES_MS.length - 1)] ?? 0;
    account.refusals += 1;
    account.blockedUntilMonoMs = now + pause;
  }

  #wait(trial: Promise<void>, timeoutMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        cancel();
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      const onAbort = (): void => {
        cancel();
        reject(signal.reason);
      };
      const cancel = this.#clock.after(timeoutMs, finish);
      signal.addEventListener("abort", onAbort, { once: true });
      void trial.then(finish);
    });
  }
}

/** The name of an account: the same user at the same server with the same password. Never logged. */
export function accountKey(host: string, port: number, username: string, password: string): string {
  return JSON.stringify([host.toLowerCase(), port, username, password]);
}
