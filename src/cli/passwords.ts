import { open } from "node:fs/promises";
import { RecorderError } from "../base/errors.ts";
import { type Invocation, type OptionSpec, UsageError } from "./command.ts";

export const CREDENTIAL_OPTIONS: readonly OptionSpec[] = [
  { name: "user", value: "NAME", text: "user name at the camera" },
  { name: "password-file", value: "FILE", text: 'file whose first line is the password; "-" is standard input' },
];

export const CREDENTIAL_NOTE =
  "The password may also stand in the URL, but the command line of a process is visible to every user of the machine.";

const MAX_BYTES = 4096;

/** First line of `--password-file`, null without that option. */
export async function readPassword({ options, terminal }: Invocation): Promise<string | null> {
  const path = options.get("password-file");
  if (path === undefined) return null;
  const text = path === "-" ? await terminal.read(MAX_BYTES) : await readStart(path);
  const line = text.split(/\r?\n/, 1)[0] ?? "";
  if (line === "") throw new UsageError(`the password ${path === "-" ? "on standard input" : `file ${path}`} is empty`);
  return line;
}

/** Tells the user of a password in the URL, on standard error, without repeating it. */
export function warnOfVisiblePassword(url: string | undefined, { terminal, json }: Invocation): void {
  // Wide on purpose: whatever stands before an "@" is worth the note.
  if (url === undefined || json || !/^[^:]+:\/\/[^/]*:[^/]*@/.test(url)) return;
  terminal.err("easyrms: note: a password on the command line is visible to other users of this machine; use --password-file\n");
}

async function readStart(path: string): Promise<string> {
  try {
    await using file = await open(path, "r");
    const { bytesRead, buffer } = await file.read(new Uint8Array(MAX_BYTES), 0, MAX_BYTES);
    return new TextDecoder().decode(buffer.subarray(0, bytesRead));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new RecorderError("INPUT_INVALID", `cannot read the password file ${path}: ${reason}`, { file: path }, { cause: error });
  }
}
