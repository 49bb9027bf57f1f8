import { describe, expect, it } from "vitest";
import { Accounts, accountKey } from "../../src/rtsp/accounts.ts";
import { SimulatedClock, settle } from "../fakes/clock.ts";

const MINUTE_MS = 60_000;
const never = new AbortController().signal;

function setUp() {
  const clock = new SimulatedClock();
  const accounts = new Accounts(clock);
  const enter = async (key = "a", signal = never) => accounts.enter(key, signal);
  const admitted = async (key = "a") => {
    const admission = await enter(key);
    if (!admission.admitted) throw new Error(`not admitted: ${admission.reason}`);
    return admission.permit;
  };
  return { clock, accounts, enter, admitted };
}

describe("Accounts", () => {
  it("leaves a refused account alone for 5, 10, 20, then 30 minutes", async () => {
    const { clock, accounts, enter, admitted } = setUp();
    for (const minutes of [5, 10, 20, 30, 30]) {
      (await admitted()).settle("refused");
      expect(accounts.blockedMs("a")).toBe(minutes * MINUTE_MS);
      expect(await enter()).toEqual({ admitted: false, reason: "refused", retryInMs: minutes * MINUTE_MS });
      expect(accounts.blockedMs("b")).toBe(0);
      await clock.advance(minutes * MINUTE_MS);
    }
    (await admitted()).settle("accepted");
    await clock.advance(MINUTE_MS);
    (await admitted()).settle("refused");
    expect(accounts.blockedMs("a")).toBe(5 * MINUTE_MS);
  });

  it("lets one session try an unknown account while 31 wait, and all go on with its success", async () => {
    const { clock, enter, admitted } = setUp();
    const first = await admitted();
    let done = 0;
    const waiting = Array.from({ length: 31 }, async () => {
      const admission = await enter();
      done += 1;
      return admission.admitted;
    });
    await clock.advance(1000);
    expect(done).toBe(0);
    first.settle("accepted");
    expect(new Set(await Promise.all(waiting))).toEqual(new Set([true]));
    expect(clock.pendingTimers).toBe(0);
  });

  it("turns all of them away with its failure", async () => {
    const { enter, admitted } = setUp();
    const first = await admitted();
    const waiting = Array.from({ length: 31 }, () => enter());
    await settle();
    first.settle("refused");
    for (const admission of await Promise.all(waiting)) expect(admission).toMatchObject({ admitted: false, reason: "refused" });
  });

  it("passes the turn on when no verdict comes, and does not wait for ever", async () => {
    const { clock, enter, admitted } = setUp();
    const first = await admitted();
    const second = enter();
    await settle();
    first.settle("unknown");
    expect(await second).toMatchObject({ admitted: true });
    const third = enter();
    await clock.advance(10_000);
    expect(await third).toMatchObject({ admitted: false, reason: "busy" });
  });

  it("trusts a success for 10 s only: a password changed during a reboot is tried once", async () => {
    const { clock, enter, admitted } = setUp();
    (await admitted()).settle("accepted");
    await clock.advance(9000);
    expect((await enter()).admitted && (await enter()).admitted).toBe(true);
    await clock.advance(2000);
    await admitted();
    const other = enter();
    await clock.advance(10_000);
    expect(await other).toMatchObject({ admitted: false, reason: "busy" });
  });

  it("ends a wait with the signal's reason", async () => {
    const { clock, enter, admitted } = setUp();
    await admitted();
    const abort = new AbortController();
    const waiting = enter("a", abort.signal);
    await settle();
    abort.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
    await expect(enter("a", abort.signal)).rejects.toThrow("enough");
    expect(clock.pendingTimers).toBe(0);
  });

  it("forgets the oldest of very many", async () => {
    const { accounts, admitted } = setUp();
    (await admitted("first")).settle("refused");
    for (let i = 0; i < 1024; i++) (await admitted(`k${i}`)).settle("accepted");
    expect(accounts.blockedMs("first")).toBe(0);
  });

  it("tells accounts apart by server, user and password", () => {
    const keys = [
      accountKey("C", 554, "a", "b"),
      accountKey("c", 554, "a", "b"),
      accountKey("c", 555, "a", "b"),
      accountKey("c", 554, "ab", ""),
    ];
    expect(new Set(keys).size).toBe(3);
  });
});
