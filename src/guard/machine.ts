// What the supervisor finds on this machine and builds from it once: the mount helper, the sandbox's root, the user commands
// run as. Each piece that is missing is a reason, and the next lower tier is tried.
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import type { IsolatorReport } from "../kernel/isolator.ts"
import { inPlaceRunner } from "./in-place.ts"
import { Jobs } from "./jobs.ts"
import { CommandMounts, mountFlag, type Mounts, PerlMounts } from "./mounts.ts"
import type { OverlayOptions } from "./overlay.ts"
import type { User } from "./plan.ts"
import { Records } from "./records.ts"
import { buildRoot } from "./rootfs.ts"
import { bubblewrapSandbox } from "./sandbox.ts"
import { seccompArch } from "./seccomp.ts"
import type { SupervisorConfig } from "./wire.ts"
import { Workspaces } from "./workspaces.ts"

export interface Machine {
  readonly jobs: Jobs
  readonly report: IsolatorReport
  close(): Promise<void>
}

/** How the supervisor was started: as root, as root of its own user namespace, or without any namespace. */
export type Footing = "root" | "user" | "plain"

/** Nobody's on any machine, so that a command run by root can touch nothing that is not given to it. */
const serviceUser: User = { uid: 64231, gid: 64231 }
/** Covered by a private file system in memory: nothing of ours needs it and no workspace lies in it. */
const privateFolder = "/sys"

export async function openMachine(config: SupervisorConfig, footing: Footing): Promise<Machine> {
  const records = new Records(config.stateDir)
  const mounts: Mounts = config.perl === "" ? new CommandMounts() : new PerlMounts(config.perl)
  const user = footing === "root" ? (config.invokingUser ?? serviceUser) : null
  await mounts.mount("tmpfs", privateFolder, "tmpfs", mountFlag.noSuid, "mode=755")
  const root = join(privateFolder, "root")
  const [layers, lowers, run] = ["layers", "lower", "run"].map((name) => join(privateFolder, name)) as [string, string, string]
  for (const folder of [root, layers, lowers, run]) mkdirSync(folder, { mode: 0o755 })
  const paths = { ...(await buildRoot(root, mounts, config.toolFolders)), disableUserns: true }
  const arch = seccompArch(process.arch)
  if (!arch) throw new Error("no seccomp")
  const sandbox = bubblewrapSandbox({ bwrap: config.bwrap, arch, mounts, folder: run, paths, user })
  const mountOptions = footing === "root" ? "index=off,redirect_dir=off,metacopy=off,volatile" : "userxattr,volatile"
  const overlay: OverlayOptions = { mounts, mountFolder: layers, mountOptions, user }
  const workspaces = new Workspaces({ mountFolder: lowers, mounts, user })
  const jobs = new Jobs({ records, workspaces, sandbox, overlay, inPlace: inPlaceRunner({ records, sandbox }), mounts, user })
  return {
    jobs,
    report: { tier: "bubblewrap", staging: "overlay", reasons: [] },
    async close() {
      await jobs.close()
      await workspaces.close()
      mounts.close()
    },
  }
}
