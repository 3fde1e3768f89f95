// Turns a job into a program that runs confined: the one place that knows which tier of confinement this machine has.
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import type { IsolatorTier } from "../kernel/isolator.ts"
import { bubblewrapArguments, longestArgument, topFolder } from "./bubblewrap.ts"
import type { Launch } from "./command.ts"
import type { Mounts } from "./mounts.ts"
import type { User } from "./plan.ts"
import { processesWith } from "./process.ts"
import { holdTopFolder, type SandboxPaths } from "./rootfs.ts"
import { type SeccompArch, seccompFilter } from "./seccomp.ts"

export interface Confined {
  readonly id: string
  readonly command: string
  readonly workspace: string
  /** What is shown as the workspace. */
  readonly source: string
  /** The job's folder. */
  readonly folder: string
}

export interface Sandbox {
  readonly tier: IsolatorTier
  launch(confined: Confined): Promise<Launch>
}

export interface BubblewrapOptions {
  readonly bwrap: string
  readonly arch: SeccompArch
  readonly mounts: Mounts
  /** A private file system in memory. */
  readonly folder: string
  readonly paths: SandboxPaths
  readonly user: User | null
}

export function bubblewrapSandbox({ bwrap, arch, mounts, folder, paths, user }: BubblewrapOptions): Sandbox {
  const filters = { staged: join(folder, "staged.bpf"), direct: join(folder, "direct.bpf") }
  // A socket of the host that lies in the workspace cannot be reached through an overlay, but through a bind mount it can.
  writeFileSync(filters.staged, seccompFilter({ arch, sockets: "private", keepGroup: false, denySignals: false }))
  writeFileSync(filters.direct, seccompFilter({ arch, sockets: "private-no-unix", keepGroup: false, denySignals: false }))
  const topFolders = new Set<string>()
  return {
    tier: "bubblewrap",
    async launch({ id, command, workspace, source, folder: jobFolder }) {
      const top = topFolder(workspace)
      if (!topFolders.has(top)) holdTopFolder(paths.root, top)
      topFolders.add(top)
      const fifo = join(folder, `${id}.out`)
      await mounts.fifo(fifo)
      const script = Buffer.byteLength(command) > longestArgument ? join(jobFolder, "command") : null
      if (script !== null) writeFileSync(script, command)
      const token = tokenOf(id)
      const filter = source === workspace ? filters.direct : filters.staged
      return {
        program: bwrap,
        args: bubblewrapArguments({ command, workspace, source, token, filterFd: 3, scriptFd: script === null ? null : 4 }, paths),
        files: script === null ? [filter] : [filter, script],
        user,
        fifo,
        leftovers: () => processesWith([token]),
      }
    },
  }
}

/** Stands among the arguments of a sandbox's first process and of nothing else. */
export function tokenOf(id: string): string {
  return `chela-job-${id}`
}
