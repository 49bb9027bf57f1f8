import type * as z from "zod";
import type { Problem } from "../base/errors.ts";

/** A path as people write it: `storage.roots[1]`; "" for the whole document. */
export function pathText(path: readonly PropertyKey[]): string {
  let text = "";
  for (const key of path) {
    if (typeof key === "number") text += `[${key}]`;
    else text += text === "" ? String(key) : `.${String(key)}`;
  }
  return text;
}

/**
 * All findings of a failed validation. `document`, if given, is the validated value: what was observed is then named too.
 * Leave it out for documents that may hold secrets.
 */
export function problemsOf(error: z.ZodError, document?: unknown): Problem[] {
  return error.issues.flatMap((issue) => {
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => ({ path: pathText([...issue.path, key]), message: "unknown key" }));
    }
    if (issue.code === "invalid_type" && issue.message.endsWith("received undefined")) {
      return [{ path: pathText(issue.path), message: `is missing; expected ${issue.expected}` }];
    }
    return [{ path: pathText(issue.path), message: issue.message + observed(issue, document) }];
  });
}

function observed(issue: z.core.$ZodIssue, document: unknown): string {
  // Type mismatches and our own messages ("custom") name the observed value themselves.
  if (document === undefined || issue.code === "invalid_type" || issue.code === "custom") return "";
  let value: unknown = document;
  for (const key of issue.path) {
    if (typeof value !== "object" || value === null) return "";
    value = Reflect.get(value, key);
  }
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? `; got ${JSON.stringify(value)}` : "";
}
