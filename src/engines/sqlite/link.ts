// How the engine's front reaches the writer, whether that runs inline or in a thread.
import { AppError } from "../../base/error.ts"
import type { Change } from "../../kernel/port.ts"
import { type CallArgument, type CallName, type CallResult, type Reply, replyError } from "./writer.ts"

/** Rejects with the reply's error. */
export interface WriterLink {
  call<N extends CallName>(name: N, argument: CallArgument<N>): Promise<CallResult<N>>
  backup(path: string): Promise<void>
  onChange(listener: (change: Change) => void): void
  close(): Promise<void>
}

/** The value of a reply; its type follows from the call's name, which the writer's table pairs with it. */
export function unwrap<T>(reply: Reply | undefined): T {
  if (!reply) throw new AppError("engine-closed")
  if (!reply.ok) throw replyError(reply)
  return reply.value as T
}
