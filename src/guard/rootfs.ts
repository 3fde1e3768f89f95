// The root that every sandbox starts from: an empty file system with an allow-list of the machine's folders, read-only. Built
// once in the supervisor's mount namespace, in memory, where no agent can write.
import { cpSync, existsSync, lstatSync, mkdirSync, readdirSync, readlinkSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { insideUid } from "./bubblewrap.ts"
import { mountFlag, type Mounts } from "./mounts.ts"

export interface SandboxPaths {
  readonly root: string
  /** Top folders of the root that hold the machine's own files. */
  readonly ownFolders: readonly string[]
  /** Path of the shell inside. */
  readonly shell: string
  readonly disableUserns: boolean
}

/** Folders at the top that are either links into /usr or folders of their own. */
const systemFolders = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"]
/** What programs look for in /etc and what says nothing about the machine's owner. */
const etcFiles = [
  "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "ssl/certs", "ssl/openssl.cnf", "pki/tls/certs", "pki/ca-trust/extracted",
  "ca-certificates", "mime.types", "magic", "protocols", "services", "os-release", "debian_version", "localtime", "timezone", "fonts",
  "python3", "perl", "terminfo", "java-17-openjdk", "java-21-openjdk", "R", "xml",
]
/** Larger ones are left out: this root lives in memory. */
const mostBytes = 4 * 1024 * 1024

const etcTexts: Readonly<Record<string, string>> = {
  passwd: `root:x:0:0:root:/root:/bin/sh\nagent:x:${insideUid}:${insideUid}:agent:/tmp/home:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n`,
  group: `root:x:0:\nagent:x:${insideUid}:\nnogroup:x:65534:\n`,
  hosts: "127.0.0.1 localhost sandbox\n::1 localhost sandbox\n",
  "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
  hostname: "sandbox\n",
}

export async function buildRoot(root: string, mounts: Mounts, toolFolders: readonly string[]): Promise<Omit<SandboxPaths, "disableUserns">> {
  for (const folder of ["usr", "etc", "proc", "dev", "tmp", "run", "var"]) mkdirSync(join(root, folder), { recursive: true, mode: 0o755 })
  symlinkSync("/tmp", join(root, "var/tmp"))
  const ownFolders = ["/usr", "/etc", "/proc", "/dev"]
  await bindReadOnly("/usr", join(root, "usr"), mounts)
  for (const name of systemFolders) {
    const found = lstatSync(`/${name}`, { throwIfNoEntry: false })
    if (found?.isSymbolicLink()) symlinkSync(readlinkSync(`/${name}`), join(root, name))
    else if (found?.isDirectory()) {
      mkdirSync(join(root, name))
      await bindReadOnly(`/${name}`, join(root, name), mounts)
    }
    if (found) ownFolders.push(`/${name}`)
  }
  for (const folder of toolFolders) {
    if (!existsSync(folder)) continue
    mkdirSync(join(root, folder), { recursive: true, mode: 0o755 })
    await bindReadOnly(folder, join(root, folder), mounts)
  }
  for (const name of etcFiles) copySmall(join("/etc", name), join(root, "etc", name))
  for (const [name, text] of Object.entries(etcTexts)) writeFileSync(join(root, "etc", name), text, { mode: 0o644 })
  return { root, ownFolders, shell: existsSync("/bin/bash") ? "/bin/bash" : "/bin/sh" }
}

/** A workspace can lie under any top folder; its mount point is made here and nowhere else. */
export function holdTopFolder(root: string, top: string): void {
  mkdirSync(join(root, top), { recursive: true, mode: 0o755 })
}

async function bindReadOnly(source: string, target: string, mounts: Mounts): Promise<void> {
  await mounts.mount(source, target, "", mountFlag.bind | mountFlag.recursive)
  // Flags that the mount has already may not be taken off inside a user namespace; bubblewrap makes all of it read-only again.
  await mounts.mount("", target, "", mountFlag.remount | mountFlag.bind | mountFlag.readOnly | mountFlag.noSuid).catch(() => undefined)
}

function copySmall(source: string, target: string): void {
  try {
    if (bytesOf(source) > mostBytes) return
    mkdirSync(dirname(target), { recursive: true, mode: 0o755 })
    cpSync(source, target, { recursive: true, verbatimSymlinks: true })
  } catch {
    // A file that cannot be read here is not missed more than on a machine that never had it.
  }
}

function bytesOf(path: string): number {
  const found = lstatSync(path)
  if (found.isDirectory()) return readdirSync(path).reduce((sum, name) => sum + bytesOf(join(path, name)), 4096)
  return found.isSymbolicLink() ? 4096 : statSync(path).size
}
