// The parts of a message, in our own form. Provider metadata is opaque and kept byte for byte.
import { z } from "zod"
import type { JsonObject, JsonValue } from "./json.ts"

export type Part =
  | { readonly kind: "text"; readonly text: string; readonly meta?: JsonObject }
  | { readonly kind: "reasoning"; readonly text: string; readonly meta?: JsonObject }
  /** `data` is base64. */
  | { readonly kind: "image"; readonly mediaType: string; readonly data: string; readonly meta?: JsonObject }
  | { readonly kind: "file"; readonly mediaType: string; readonly name: string; readonly data: string }
  /** `input` is what the model sent if it is JSON; else `raw` holds its text and `input` is null. */
  | { readonly kind: "tool-call"; readonly id: string; readonly tool: string; readonly input: JsonValue; readonly raw?: string; readonly meta?: JsonObject }
  | { readonly kind: "tool-result"; readonly id: string; readonly tool: string; readonly text: string; readonly failed: boolean }

const json: z.ZodType<JsonValue> = z.json() as z.ZodType<JsonValue>
const meta = z.record(z.string(), json).optional() as unknown as z.ZodOptional<z.ZodType<JsonObject>>

export const partSchema: z.ZodType<Part> = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("text"), text: z.string(), meta }),
  z.object({ kind: z.literal("reasoning"), text: z.string(), meta }),
  z.object({ kind: z.literal("image"), mediaType: z.string(), data: z.string(), meta }),
  z.object({ kind: z.literal("file"), mediaType: z.string(), name: z.string(), data: z.string() }),
  z.object({ kind: z.literal("tool-call"), id: z.string(), tool: z.string(), input: json, raw: z.string().optional(), meta }),
  z.object({ kind: z.literal("tool-result"), id: z.string(), tool: z.string(), text: z.string(), failed: z.boolean() }),
]) as unknown as z.ZodType<Part>
