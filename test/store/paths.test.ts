import { describe, expect, it } from "vitest";
import {
  laterStamp,
  openFile,
  parseOpenName,
  parseSegmentFile,
  parseStreamName,
  SiteZone,
  segmentFile,
  streamName,
} from "../../src/store/paths.ts";

const RUN = "11111111-2222-4333-8444-555555555555";

describe("names", () => {
  it("of streams go both ways", () => {
    expect(streamName("EZ0001", 12, "main")).toBe("EZ0001_12");
    expect(streamName("EZ0001", 12, "sub")).toBe("EZ0001_12_sub");
    expect(parseStreamName("EZ0001_12_sub")).toEqual({ serial: "EZ0001", channel: 12, stream: "sub" });
    for (const foreign of ["lost+found", "EZ0001", "EZ0001_0", "EZ0001_12_main", "../x_1", "a/b_1", "EZ0001_12345"]) {
      expect(parseStreamName(foreign)).toBeNull();
    }
  });

  it("of segments go both ways", () => {
    const file = segmentFile("20260601080000", 59_960.4);
    expect(file).toBe("20260601/20260601080000-59960.mp4");
    expect(parseSegmentFile(file)).toEqual({ day: "20260601", stamp: "20260601080000", durationMs: 59_960 });
    for (const foreign of ["20260601/20260601080000.mp4", "20260601/x.mp4", "20260601080000-1.mp4", `${file}.open`]) {
      expect(parseSegmentFile(foreign)).toBeNull();
    }
    const open = openFile("20260601", RUN, 7);
    expect(open).toBe(`20260601/${RUN}-7.mp4.open`);
    expect(parseOpenName(open.slice(9))).toEqual({ run: RUN, sequence: 7 });
    expect(parseOpenName("x-7.mp4.open")).toBeNull();
  });

  it("find the next second over the end of a day and a year", () => {
    expect(laterStamp("20260601080059", 1)).toBe("20260601080100");
    expect(laterStamp("20261231235959", 1)).toBe("20270101000000");
    expect(laterStamp("20260601080059", 0)).toBe("20260601080059");
  });
});

describe("SiteZone", () => {
  it("stamps wall time, midnight as 00", () => {
    expect(new SiteZone("Asia/Shanghai").stamp(Date.UTC(2026, 5, 1, 16, 0, 0))).toBe("20260602000000");
    expect(new SiteZone("UTC").stamp(0)).toBe("19700101000000");
  });

  it("gives both passes of the repeated hour the same stamp", () => {
    const berlin = new SiteZone("Europe/Berlin");
    const first = Date.UTC(2026, 9, 25, 0, 30, 0);
    expect(berlin.stamp(first)).toBe("20261025023000");
    expect(berlin.stamp(first + 3_600_000)).toBe("20261025023000");
  });

  it.each([
    ["Europe/Berlin", Date.UTC(2026, 2, 29, 10), Date.UTC(2026, 2, 29, 22), Date.UTC(2026, 2, 30, 22)],
    ["Europe/Berlin", Date.UTC(2026, 9, 24, 23), Date.UTC(2026, 9, 25, 23), Date.UTC(2026, 9, 26, 23)],
    ["Asia/Kolkata", Date.UTC(2026, 0, 1, 0), Date.UTC(2026, 0, 1, 18, 30), Date.UTC(2026, 0, 2, 18, 30)],
    // Santiago skips 00:00 to 01:00 on 2026-09-06: the day begins at 01:00, which is 04:00 UTC either way.
    ["America/Santiago", Date.UTC(2026, 8, 5, 20), Date.UTC(2026, 8, 6, 4), Date.UTC(2026, 8, 7, 3)],
    ["UTC", Date.UTC(2026, 11, 31, 23, 59, 59, 999), Date.UTC(2027, 0, 1), Date.UTC(2027, 0, 2)],
    ["UTC", Date.UTC(2027, 0, 1), Date.UTC(2027, 0, 2), Date.UTC(2027, 0, 3)],
  ])("finds the next local days in %s", (zone, now, first, second) => {
    const site = new SiteZone(zone);
    expect(site.midnightsAfter(now)).toEqual([first, second]);
    // Asked again across a boundary, and after the clock stepped back.
    expect(site.midnightsAfter(first)[0]).toBe(second);
    expect(site.midnightsAfter(now)).toEqual([first, second]);
  });
});
