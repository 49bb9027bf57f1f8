import { type ErrorCode, type Problem, toRecorderError } from "../base/errors.ts";
import { EXIT, type ExitCode, UsageError } from "./command.ts";
import { printable } from "./terminal.ts";

const EXIT_OF_CODE: Partial<Readonly<Record<ErrorCode, ExitCode>>> = {
  INPUT_INVALID: EXIT.usage,
  NOT_RUNNING: EXIT.notRunning,
  CONFIG_INVALID: EXIT.configInvalid,
};

/** A failed command as its exit code and what standard error says of it. */
export function failure(thrown: unknown, command: string, json: boolean): { exit: ExitCode; text: string } {
  if (thrown instanceof UsageError) {
    if (json) return { exit: EXIT.usage, text: `${JSON.stringify({ code: "USAGE", message: thrown.message, details: {} })}\n` };
    const help = command === "" ? "easyrms --help" : `easyrms ${command} --help`;
    return { exit: EXIT.usage, text: `easyrms: ${thrown.message}\nTry "${help}".\n` };
  }
  const error = toRecorderError(thrown);
  const exit = EXIT_OF_CODE[error.code] ?? EXIT.failed;
  if (json) {
    const problems = error.problems.length === 0 ? {} : { problems: error.problems };
    return { exit, text: `${JSON.stringify({ code: error.code, message: error.message, details: { ...error.context, ...problems } })}\n` };
  }
  return { exit, text: `easyrms: ${printable(error.message)} (${error.code})\n${problemLines(error.problems)}` };
}

/** Problems with their paths, one a line. */
export function problemLines(problems: readonly Problem[]): string {
  return problems.map(({ path, message }) => `  ${path === "" ? "" : `${path}: `}${printable(message)}\n`).join("");
}
