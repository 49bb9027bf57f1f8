import { expect, test } from "vitest";
import { RecorderError } from "../../src/base/errors.ts";
import { parseDesiredCameras } from "../../src/config/desired.ts";

const camera = { id: "front", channel: 1, url: "rtsp://10.0.0.1/ch1", subUrl: null, username: null, transport: "auto", record: true };

function problemsOf(value: unknown): readonly { path: string; message: string }[] {
  try {
    parseDesiredCameras(value);
  } catch (error) {
    if (error instanceof RecorderError && error.code === "INPUT_INVALID") return error.problems;
    throw error;
  }
  return [];
}

test("a valid document comes out as it went in", () => {
  const cameras = [camera, { ...camera, id: "back", channel: 2, subUrl: "rtsp://10.0.0.2/sub", username: "admin" }];
  expect(parseDesiredCameras(cameras)).toEqual(cameras);
  expect(parseDesiredCameras([])).toEqual([]);
});

test("all problems of all cameras come at once", () => {
  const problems = problemsOf([
    camera,
    { ...camera, channel: 0, url: "http://x", extra: 1 },
    { ...camera, id: "Bad_Id", url: "rtsp://admin:hunter2@h/", transport: "udp" },
    { id: "y" },
    7,
  ]);
  expect(problems.map(({ path }) => path).sort()).toEqual(
    [
      "cameras[1].channel",
      "cameras[1].extra",
      "cameras[1].id",
      "cameras[1].url",
      "cameras[2].channel",
      "cameras[2].id",
      "cameras[2].transport",
      "cameras[2].url",
      "cameras[3].channel",
      "cameras[3].record",
      "cameras[3].subUrl",
      "cameras[3].transport",
      "cameras[3].url",
      "cameras[3].username",
      "cameras[4]",
    ].sort(),
  );
  expect(JSON.stringify(problems)).not.toContain("hunter2");
  expect(problems.find(({ path }) => path === "cameras[1].id")?.message).toBe("is already used by cameras[0]");
});

test("what is no list is refused", () => {
  expect(problemsOf({ cameras: [] })).toEqual([{ path: "cameras", message: expect.stringContaining("array") }]);
  expect(problemsOf(null)).toHaveLength(1);
});
