// How a command looks at its world: the arguments of bubblewrap for one command. Everything that is not named here does not
// exist inside. No mount point lies in a tree that the agent can write.
import type { SandboxPaths } from "./rootfs.ts"

export interface SandboxedCommand {
  readonly command: string
  /** Absolute real path, the same outside and inside. */
  readonly workspace: string
  /** What is bound there: the merged overlay, or the workspace itself. */
  readonly source: string
  /** A word that is found again among the arguments of the sandbox's first process. */
  readonly token: string
  /** Descriptor of the seccomp filter. */
  readonly filterFd: number
  /** Descriptor of the command's text if it is too long for an argument. */
  readonly scriptFd: number | null
}

/** Longer commands are handed over as a file: the kernel takes no argument over 128 KB. */
export const longestArgument = 100_000

/** The whole environment of a command. */
export const commandEnvironment: Readonly<Record<string, string>> = {
  PATH: "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
  HOME: "/tmp/home",
  USER: "agent",
  LOGNAME: "agent",
  SHELL: "/bin/sh",
  LANG: "C.UTF-8",
  TERM: "dumb",
}

export const insideUid = 1000

/**
 * Process 1 of the sandbox: sets limits that a sandbox cannot raise, runs the command with its errors in the stream of its
 * output, reaps what others leave behind, and by ending takes everything with it. Its own complaints go nowhere, so that
 * what stands on bubblewrap's error stream is bubblewrap's.
 */
const firstProcess = [
  "exec 2>/dev/null",
  "ulimit -c 0; ulimit -n 8192; ulimit -f 16777216",
  "ulimit -u 1024 || ulimit -p 1024",
  'if [ "$3" = file ]; then "$1" "$2" 2>&1; else "$1" -c "$2" 2>&1; fi',
  "exit $?",
].join("\n")

const tmpBytes = String(1024 * 1024 * 1024)
const smallBytes = String(256 * 1024 * 1024)
const scriptPath = "/tmp/.command"

export function bubblewrapArguments(inside: SandboxedCommand, paths: SandboxPaths): readonly string[] {
  const environment = Object.entries(commandEnvironment).flatMap(([name, value]) => ["--setenv", name, value])
  const script = inside.scriptFd === null ? [] : ["--perms", "0444", "--file", String(inside.scriptFd), scriptPath]
  const last = inside.scriptFd === null ? [inside.command, "text"] : [scriptPath, "file"]
  return [
    "--unshare-all", "--unshare-user", ...(paths.disableUserns ? ["--disable-userns"] : []),
    "--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL",
    "--hostname", "sandbox", "--uid", String(insideUid), "--gid", String(insideUid),
    "--clearenv", ...environment,
    "--ro-bind", paths.root, "/",
    "--proc", "/proc", "--remount-ro", "/proc",
    "--dev", "/dev", "--size", smallBytes, "--tmpfs", "/dev/shm", "--remount-ro", "/dev",
    "--size", tmpBytes, "--tmpfs", "/tmp", "--dir", "/tmp/home",
    ...parentOf(inside.workspace, paths),
    "--bind", inside.source, inside.workspace,
    ...script,
    "--chdir", inside.workspace,
    "--seccomp", String(inside.filterFd),
    "--", "/bin/sh", "-c", firstProcess, inside.token, paths.shell, ...last,
  ]
}

/** A private, empty folder to hold the workspace, so that no other folder beside it is even named. */
function parentOf(workspace: string, { ownFolders }: SandboxPaths): readonly string[] {
  const top = topFolder(workspace)
  return top === "/tmp" || ownFolders.includes(top) ? [] : ["--size", smallBytes, "--tmpfs", top]
}

/** `/home` of `/home/ada/work`. */
export function topFolder(path: string): string {
  return `/${path.split("/")[1] ?? ""}`
}
