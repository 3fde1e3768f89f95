// JSON that somebody else wrote: parsed without throwing, looked into without casts.
import type { JsonValue } from "../protocol/json.ts"

export type JsonText = { readonly kind: "json"; readonly value: JsonValue } | { readonly kind: "not-json" }

/** Text that names the key `__proto__` counts as no JSON: a consumer that copies it would change a prototype. */
export function parseJson(text: string): JsonText {
  let forged = false
  try {
    const value: JsonValue = JSON.parse(text, (key, inner) => {
      if (key === "__proto__") forged = true
      return inner
    })
    return forged ? { kind: "not-json" } : { kind: "json", value }
  } catch {
    // The caller decides what text that is not JSON means.
    return { kind: "not-json" }
  }
}

/** True for an object that is not an array. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

/** The first of the values that is a string with something in it, or a number as text. */
export function firstText(...values: readonly unknown[]): string {
  for (const value of values) {
    if (typeof value === "string" && value.trim() !== "") return value
    if (typeof value === "number") return String(value)
  }
  return ""
}
