// `chela host`: the process that the other commands start when they need one; nobody types it.
import { socketPath } from "../client/host.ts"
import { homeOf, type ProcessLike } from "./context.ts"

export async function runHost(process: ProcessLike): Promise<number> {
  const { serve } = await import("../serve.ts")
  return serve({
    env: process.env,
    socketPath: socketPath(homeOf(process.env)),
    say: (line) => void process.stdout.write(`${line}\n`),
    log: (line) => void process.stderr.write(`${new Date().toISOString()} ${line}\n`),
  })
}
