// The tool `run`: a command in the sandbox. Its changes land in the workspace whole or not at all, so a crash in the middle
// repeats nothing; where that cannot be had on this machine, it is `once`.
import { z } from "zod"
import type { Isolator, Job, JobOutcome, StagingKind } from "../kernel/isolator.ts"
import { defineTool, type Tool, type ToolContext, type ToolOutput } from "../kernel/tool.ts"
import type { Label } from "../protocol/event.ts"
import type { JsonObject } from "../protocol/json.ts"

const defaultSeconds = 120
const maximumSeconds = 3600
/** About 1,500 tokens of each end is what a model can use. */
const keepBytes = 6_000
const maxOutputBytes = 64 * 1024 * 1024

/** What a command prints may come from anywhere. */
const outputLabel: Label = { integrity: "web", privacy: "workspace" }

const inputSchema = z.object({
  command: z.string().min(1),
  seconds: z.number().positive().max(maximumSeconds).optional(),
})
type RunInput = z.infer<typeof inputSchema>

export function runTool(isolator: Isolator, staging: StagingKind): Tool {
  return defineTool<RunInput>({
    name: "run",
    description: `Run a shell command in the workspace. Ends after ${defaultSeconds} seconds unless told otherwise.`,
    schema: {
      type: "object",
      properties: { command: { type: "string" }, seconds: { type: "number", description: "time-out" } },
      required: ["command"],
    },
    input: inputSchema,
    sink: "workspace",
    effect: () => (staging === "direct" ? "once" : "contained"),
    async perform(input, context) {
      return outputOf(await isolator.run(jobOf(input, context), context.signal, context.onOutput))
    },
    async recover(input, context) {
      const found = await isolator.recover(jobOf(input, context), context.signal)
      return found === null || found === "in-doubt" ? found : outputOf(found)
    },
  })
}

function jobOf(input: RunInput, context: ToolContext): Job {
  return {
    id: context.stepId,
    command: input.command,
    workspace: context.workspace,
    timeoutMs: (input.seconds ?? defaultSeconds) * 1000,
    keepBytes,
    maxOutputBytes,
  }
}

function outputOf(outcome: JobOutcome): ToolOutput {
  const { head, tail, droppedBytes, exitCode, end, changes, changesTotal, durationMs, staging } = outcome
  const output = droppedBytes > 0 ? `${head}\n[… ${droppedBytes} bytes left out …]\n${tail}` : head + tail
  const facts: JsonObject = {
    end,
    exitCode,
    signal: outcome.signal,
    durationMs,
    staging,
    outputBytes: outcome.outputBytes,
    changes: changes.map(({ path, change }) => ({ path, change })),
    changesTotal,
  }
  return { text: [verdict(outcome), output].filter((part) => part !== "").join("\n"), failed: end !== "exited" || exitCode !== 0, label: outputLabel, facts }
}

/** Says nothing about a command that simply succeeded with output. */
function verdict({ end, exitCode, signal, durationMs, outputBytes }: JobOutcome): string {
  switch (end) {
    case "exited":
      if (exitCode === 0) return outputBytes === 0 ? "[done, no output]" : ""
      return exitCode === null ? `[ended by signal ${signal}]` : `[exit code ${exitCode}]`
    case "timeout":
      return `[ended after ${Math.round(durationMs / 1000)} s: time-out]`
    case "canceled":
      return "[ended by the owner]"
    case "output-limit":
      return `[ended: more than ${maxOutputBytes} bytes of output]`
  }
}
