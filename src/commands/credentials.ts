import { type Problem, RecorderError } from "../base/errors.ts";
import type { SplitUrl } from "../config/camera-url.ts";
import { passwordSchema, usernameSchema } from "../config/desired.ts";

export interface Credentials {
  readonly username: string | null;
  readonly password: string | null;
}

/**
 * The one pair of credentials of a request that may give them as fields and in each of its URLs (keyed by the name of their field).
 * Throws INPUT_INVALID, without any of the values, where they contradict each other or are not usable.
 */
export function credentialsOf(fields: Credentials, urls: Readonly<Record<string, SplitUrl | null>>): Credentials {
  const problems: Problem[] = [];
  let { username, password } = fields;
  for (const [path, url] of Object.entries(urls)) {
    if (url === null) continue;
    for (const [value, schema] of [
      [url.username, usernameSchema],
      [url.password, passwordSchema],
    ] as const) {
      const message = value === null ? undefined : schema.safeParse(value).error?.issues[0]?.message;
      if (message !== undefined) problems.push({ path, message: `user name or password in the URL ${message}` });
    }
    if (differs(username, url.username)) problems.push({ path, message: "the user name in the URL is not the one given elsewhere" });
    if (differs(password, url.password)) problems.push({ path, message: "the password in the URL is not the one given elsewhere" });
    username ??= url.username;
    password ??= url.password;
  }
  if (username === null && password !== null) problems.push({ path: "username", message: "is missing; a password needs a user name" });
  const [first] = problems;
  if (first !== undefined) throw new RecorderError("INPUT_INVALID", `the credentials are not valid: ${first.message}`, {}, { problems });
  return { username, password };
}

function differs(one: string | null, other: string | null): boolean {
  return one !== null && other !== null && one !== other;
}
