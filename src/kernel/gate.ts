// The gate through which every tool call goes: allow, ask or block. It looks at what the call is and where it would take
// effect, never at text that a model or a page has written.
import type { EffectClass, Label } from "../protocol/event.ts"
import type { SinkClass } from "./tool.ts"

export type Decision =
  | { readonly kind: "allow" }
  | { readonly kind: "ask"; readonly rule: string }
  | { readonly kind: "block"; readonly rule: string }

export interface Action {
  readonly tool: string
  readonly effect: EffectClass
  readonly sink: SinkClass
  /** The join of everything in the context. */
  readonly context: Label
  /** What the owner said about commands when giving the task. */
  readonly commands: "allow" | "ask"
}

/** Version of the rules, pinned by every run. */
export const gateVersion = "1"

export function decide(action: Action): Decision {
  if (action.sink === "network") return { kind: "block", rule: "no-egress" }
  if (action.effect === "pure") return { kind: "allow" }
  if (action.commands === "ask") return { kind: "ask", rule: "owner-asked" }
  // What cannot be restored after a crash, or undone, is for the owner to decide once others have had a say.
  if (action.effect === "once" && action.context.integrity !== "owner") return { kind: "ask", rule: "not-reversible" }
  return { kind: "allow" }
}
