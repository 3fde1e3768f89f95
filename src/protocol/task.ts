// What a person or a channel sends to a session: the body of a mailbox message.
import { z } from "zod"
import { type Part, partSchema } from "./message.ts"

/** Larger tasks are refused; attach a file instead. */
export const maxTaskBytes = 1024 * 1024

/** Which model a run uses. Never holds a key: that is found when the model is called. */
export const routeSchema = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("endpoint"),
    baseUrl: z.string(),
    model: z.string(),
    /** US dollars per million tokens; null: nobody knows. */
    price: z.object({ input: z.number().nonnegative(), output: z.number().nonnegative() }).nullable(),
  }),
  /** A recorded model that ships with the program. */
  z.object({ kind: z.literal("recorded"), name: z.string() }),
])
export type Route = z.infer<typeof routeSchema>

export const taskSchema = z.object({
  kind: z.literal("task"),
  /** The run that this message starts, unless one is open already: then it steers that one. */
  run: z.string(),
  parts: z.array(partSchema).min(1),
  /** Absolute real path of the folder in which it works. */
  workspace: z.string(),
  /** `ask`: every command needs the owner's approval. */
  commands: z.enum(["allow", "ask"]).default("allow"),
  /** Absent: the model that is configured. */
  route: routeSchema.optional(),
  /** Where the reply is delivered; absent: it is read from the journal. */
  replyTo: z.string().optional(),
  /** The promise of the parent that this child run answers. */
  answers: z.string().optional(),
})
export type Task = z.infer<typeof taskSchema>

/** The text of a message's parts. */
export function partsText(parts: readonly Part[]): string {
  return parts.map((part) => (part.kind === "text" ? part.text : "")).join("")
}

/** The first line of a task, short enough for a list. */
export function taskTitle(parts: readonly Part[]): string {
  const line = partsText(parts).trim().split("\n", 1)[0] ?? ""
  return line.length > 80 ? `${line.slice(0, 79)}…` : line
}
