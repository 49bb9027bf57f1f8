import { expect, test } from "vitest";
import { integerOption, parseArguments, wordOption } from "../../src/cli/arguments.ts";
import { cameraAdd } from "../../src/cli/camera-add.ts";
import { UsageError } from "../../src/cli/command.ts";
import { ls } from "../../src/cli/ls.ts";

test("options, switches and operands in any order", () => {
  const parsed = parseArguments(cameraAdd, [
    "front",
    "--user",
    "admin",
    "--no-record",
    "rtsp://h/",
    "--password-file",
    "-",
    "--sub=rtsp://h/2",
    "--json",
  ]);
  expect(parsed.operands).toEqual(["front", "rtsp://h/"]);
  expect([...parsed.options]).toEqual([
    ["user", "admin"],
    ["password-file", "-"],
    ["sub", "rtsp://h/2"],
  ]);
  expect([...parsed.switches]).toEqual(["no-record", "json"]);
});

test("a time may begin with a dash", () => {
  expect(parseArguments(ls, ["--from", "-10m", "--to=-5m"]).options).toEqual(
    new Map([
      ["from", "-10m"],
      ["to", "-5m"],
    ]),
  );
});

test.each([
  [["front"], "URL is missing"],
  [[], "ID is missing"],
  [["a", "b", "c"], "too many arguments: 3 given, at most 2 allowed"],
  [["a", "b", "--fingerprint=secret"], "unknown option --fingerprint; allowed: --user, --password-file, --sub"],
  [["a", "b", "-x"], "unknown option -x"],
  [["a", "b", "--user"], "--user needs a value: --user NAME"],
  [["a", "b", "--user", "--json"], "--user needs a value: --user NAME"],
  [["a", "b", "--no-record=yes"], "--no-record takes no value"],
])("%j: %s", (args, message) => {
  expect(() => parseArguments(cameraAdd, args)).toThrow(UsageError);
  expect(() => parseArguments(cameraAdd, args)).toThrow(message);
});

test("no message repeats a value", () => {
  for (const args of [
    ["a", "b", "rtsp://u:hunter2@h/"],
    ["a", "b", "--paswort=hunter2"],
    ["a", "b", "--no-record=hunter2"],
  ]) {
    try {
      parseArguments(cameraAdd, args);
      throw new Error("accepted");
    } catch (error) {
      expect(String(error)).not.toContain("hunter2");
      expect(error).toBeInstanceOf(UsageError);
    }
  }
});

test("help needs no operands", () => {
  expect(parseArguments(cameraAdd, ["--help"]).switches.has("help")).toBe(true);
});

test("typed values", () => {
  const options = new Map([
    ["channel", "12"],
    ["bad", "1.5"],
    ["transport", "udp"],
  ]);
  expect(integerOption(options, "channel")).toBe(12);
  expect(integerOption(options, "none")).toBeNull();
  expect(() => integerOption(options, "bad")).toThrow('--bad must be a whole number; got "1.5"');
  expect(() => wordOption(options, "transport", ["auto", "tcp"])).toThrow('--transport must be one of auto, tcp; got "udp"');
});
