// Jobs whose changes cannot be staged run in the workspace itself: after its pre-images were captured, so that a crash can be
// undone, or, where it is too large for that, with no more than the knowledge that they had begun.
import { runCommand } from "./command.ts"
import { type Attempt, checkSandbox, type InPlace, outcomeOf } from "./jobs.ts"
import type { Records } from "./records.ts"
import type { Sandbox } from "./sandbox.ts"
import type { JobOutcome } from "../kernel/isolator.ts"

export interface InPlaceOptions {
  readonly records: Records
  readonly sandbox: Sandbox
}

export function inPlaceRunner({ records, sandbox }: InPlaceOptions): InPlace {
  return {
    async run({ job, workspace, folder, signal, onOutput }: Attempt): Promise<JobOutcome> {
      await records.begin(job.id, { workspace: workspace.path, staging: "direct" })
      const launch = await sandbox.launch({ ...job, source: workspace.path, folder })
      const result = await runCommand(launch, job, { signal, onOutput })
      checkSandbox(result)
      const outcome = outcomeOf(result, "direct", null)
      await records.finish(job.id, { outcome, workspace: workspace.path, plan: null })
      return outcome
    },
    recover() {
      return Promise.resolve("in-doubt")
    },
  }
}
