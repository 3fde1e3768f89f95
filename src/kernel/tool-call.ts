// One call of a tool: parse, ask the gate, write the intent, perform, write the outcome. Every call ends in exactly one
// recorded step, whatever the model sent; a call that needs the owner is a row that waits.
import { AppError, isAppError } from "../base/error.ts"
import { hashOf } from "../base/hash.ts"
import type { Label } from "../protocol/event.ts"
import type { Agent } from "./agent.ts"
import { decide } from "./gate.ts"
import { joinLabels } from "./labels.ts"
import { isGranted, type RunState } from "./run-state.ts"
import type { Attempt, Session, StepResult, StepSpec } from "./session.ts"
import type { Tool, ToolContext, ToolOutput } from "./tool.ts"
import { approvalKey, type OpenCall } from "./view.ts"

/** An unanswered question counts as "no" after this. */
const questionMs = 7 * 24 * 3600_000
/** A given approval is worth nothing after this. */
export const approvalMs = 5 * 60_000

interface CallContext {
  readonly session: Session
  readonly agent: Agent
  readonly run: RunState
  readonly label: Label
}

/** `waiting`: the owner has been asked. Rejects as `Session.step` does. */
export async function callTool(context: CallContext, open: OpenCall): Promise<"finished" | "waiting"> {
  const { session, agent, run } = context
  const { call, stepKey } = open
  const tool = agent.tools.find(({ name }) => name === call.tool)
  if (!tool) {
    const names = agent.tools.map(({ name }) => name).join(", ")
    return answerDirectly(context, open, { code: "tool-unknown", text: `There is no tool "${call.tool}". Tools: ${names}.` })
  }
  const input = call.raw === undefined ? tool.input.safeParse(call.input) : null
  if (!input?.success) {
    const problem = input ? input.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; ") : "not valid JSON"
    return answerDirectly(context, open, { code: "tool-input-invalid", text: `The arguments of ${tool.name} are wrong: ${problem}` })
  }
  const effect = tool.effect(input.data)
  const decision = decide({ tool: tool.name, effect, sink: tool.sink, context: context.label, commands: run.task?.commands ?? "ask" })
  if (decision.kind === "block") {
    return answerDirectly(context, open, { code: "tool-failed", text: `Not allowed here (rule ${decision.rule}). Do it another way.` })
  }
  const spec = toolStep(context, open, tool, input.data)
  // An attempt that was begun had its approval, which was used up with its intent.
  if (decision.kind === "allow" || session.attempts(stepKey) > 0) {
    await session.step(spec)
    return "finished"
  }
  return ask(context, open, spec, decision.rule)
}

async function ask(context: CallContext, open: OpenCall, spec: StepSpec, rule: string): Promise<"finished" | "waiting"> {
  const { session, run } = context
  const actionHash = hashOf([open.call.tool, open.call.input, run.workspace, context.label, session.id])
  for (let number = 1; ; number++) {
    const asked = await session.wait({
      run: run.run,
      key: approvalKey(open.stepKey, number),
      kind: "approval",
      dueAt: session.ports.clock.now() + questionMs,
      actionHash,
      body: { tool: open.call.tool, input: open.call.input, workspace: run.workspace, rule },
    })
    if (asked.state === "open") return "waiting"
    if (!isGranted(asked.answer)) {
      return answerDirectly(context, open, { code: "tool-failed", text: "The owner did not allow this. Do not try it again." })
    }
    const stepped = await session.step({ ...spec, intent: { uses: [{ token: asked.token, actionHash, validMs: approvalMs }] } })
    if (stepped.kind === "finished") return "finished"
    // Given too long ago, or for something else: ask once more.
  }
}

/** Records a result without performing anything. */
async function answerDirectly(context: CallContext, open: OpenCall, said: { code: string; text: string }): Promise<"finished"> {
  await context.session.step({
    run: context.run.run,
    key: open.stepKey,
    step: "tool",
    name: open.call.tool,
    effect: "pure",
    input: open.call.input,
    perform: async () => ({ outcome: "failed", value: { text: said.text }, code: said.code, params: { tool: open.call.tool } }),
  })
  return "finished"
}

function toolStep(context: CallContext, open: OpenCall, tool: Tool, input: unknown): StepSpec {
  const { session, agent, run } = context
  const toolContext = (attempt: Attempt): ToolContext => ({
    session: session.id,
    workspace: run.workspace,
    stepId: attempt.idempotencyKey,
    idempotencyKey: attempt.idempotencyKey,
    signal: attempt.signal,
    onOutput: (text) =>
      agent.live({ session: session.id, run: run.run, key: open.stepKey, attempt: attempt.number, delta: { kind: "output", text } }),
  })
  const result = (output: ToolOutput): StepResult => ({
    outcome: output.failed ? "failed" : "done",
    value: { text: output.text, ...(output.facts && { facts: output.facts }) },
    label: output.label ? joinLabels(context.label, output.label) : context.label,
    origin: `tool:${tool.name}`,
  })
  const { recover } = tool
  return {
    run: run.run,
    key: open.stepKey,
    step: "tool",
    name: tool.name,
    effect: tool.effect(input),
    input,
    perform: async (attempt) => {
      try {
        return result(await tool.perform(input, toolContext(attempt)))
      } catch (cause) {
        if (attempt.signal.aborted || !isAppError(cause)) throw cause
        return { ...result({ text: failureText(cause), failed: true }), code: cause.code, params: cause.params }
      }
    },
    ...(recover && {
      recover: async (attempt) => {
        const found = await recover(input, toolContext(attempt))
        return found === null || found === "in-doubt" ? found : result(found)
      },
    }),
  }
}

/** What the model reads of an expected failure. */
function failureText(error: AppError): string {
  const details = Object.entries(error.params).map(([name, value]) => `${name}: ${value}`)
  return [`Failed: ${error.code}`, ...details].join("\n")
}
