// The commands by name. Each is loaded only when it is called; names here and nowhere else.
import type { Command } from "./command.ts"

export const commands: Readonly<Record<string, () => Promise<Command>>> = {
  run: async () => (await import("./commands/run.ts")).run,
  show: async () => (await import("./commands/show.ts")).show,
  runs: async () => (await import("./commands/runs.ts")).runs,
  stop: async () => (await import("./commands/stop.ts")).stop,
  approvals: async () => (await import("./commands/approvals.ts")).approvals,
  approve: async () => (await import("./commands/approve.ts")).approve,
  deny: async () => (await import("./commands/approve.ts")).deny,
  status: async () => (await import("./commands/status.ts")).status,
  doctor: async () => (await import("./commands/doctor.ts")).doctor,
  demo: async () => (await import("./commands/demo.ts")).demo,
}
