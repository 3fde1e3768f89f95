// Mounts and the few other system calls that Node lacks, made inside the supervisor's own mount namespace: by a long-lived
// Perl process, or where there is no Perl by mount(8) and its like. What fails rejects with a `MountError`.
import { type ChildProcessWithoutNullStreams, execFile, spawn } from "node:child_process"
import { mountScript } from "./mount-script.ts"

export class MountError extends Error {
  override readonly name = "MountError"
}

export interface OverlayMount {
  /** Holds `upper` and `work`. */
  readonly folder: string
  /** Must need no escaping in mount options. */
  readonly lower: string
  readonly target: string
  readonly options: string
}

export interface Mounts {
  mount(source: string, target: string, type: string, flags: number, data?: string): Promise<void>
  overlay(overlay: OverlayMount): Promise<void>
  /** Takes a mount away, even one that is still in use. */
  unmount(target: string): Promise<void>
  fifo(path: string): Promise<void>
  /** True if a folder of an overlay's upper layer hides the lower one; null if that cannot be asked here. */
  isOpaque(path: string): Promise<boolean | null>
  /** Takes the overlay's own marks off a file that leaves the upper layer. */
  strip(path: string): Promise<void>
  /** Everything that was written to the file system of `path` is on disk afterwards. */
  syncFileSystem(path: string): Promise<void>
  /** A bind mount on which owners are exchanged as the maps say. */
  idmap(source: string, target: string, uids: string, gids: string): Promise<void>
  /** Safe to call twice. */
  close(): void
}

export const mountFlag = { readOnly: 1, noSuid: 2, noDev: 4, remount: 32, bind: 4096, recursive: 16384 } as const

/** The Perl helper. Answers come in the order of the questions. */
export class PerlMounts implements Mounts {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #waiting: { resolve: (value: string) => void; reject: (error: Error) => void }[] = []
  #rest = ""
  #ended: MountError | null = null

  constructor(perl: string) {
    this.#child = spawn(perl, ["-e", mountScript], { env: {}, cwd: "/", stdio: "pipe" })
    this.#child.stdout.setEncoding("utf8").on("data", (text: string) => this.#take(text))
    this.#child.stderr.resume()
    this.#child.stdin.on("error", () => undefined)
    this.#child.on("error", (error) => this.#end(error.message))
    this.#child.on("exit", (code, signal) => this.#end(`mount helper ended: ${signal ?? code}`))
  }

  async mount(source: string, target: string, type: string, flags: number, data: string = ""): Promise<void> {
    await this.#ask("mount", source, target, type, String(flags), data)
  }

  async overlay({ folder, lower, target, options }: OverlayMount): Promise<void> {
    await this.#ask("overlay", folder, lower, target, options)
  }

  async unmount(target: string): Promise<void> {
    await this.#ask("umount", target)
  }

  async fifo(path: string): Promise<void> {
    await this.#ask("fifo", path)
  }

  async isOpaque(path: string): Promise<boolean> {
    return (await this.#ask("opaque", path)) === "1"
  }

  async strip(path: string): Promise<void> {
    await this.#ask("strip", path)
  }

  async syncFileSystem(path: string): Promise<void> {
    await this.#ask("syncfs", path)
  }

  async idmap(source: string, target: string, uids: string, gids: string): Promise<void> {
    await this.#ask("idmap", source, target, uids, gids)
  }

  close(): void {
    this.#child.stdin.end()
  }

  #ask(...words: string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(this.#ended)
      this.#waiting.push({ resolve, reject: (error) => reject(new MountError(`${words.join(" ")}: ${error.message}`)) })
      this.#child.stdin.write(`${words.map((word) => Buffer.from(word).toString("hex")).join(" ")}\n`)
    })
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split("\n")
    this.#rest = lines.pop() ?? ""
    for (const line of lines) {
      const next = this.#waiting.shift()
      if (line.startsWith("ok ")) next?.resolve(line.slice(3))
      else next?.reject(new MountError(line.slice(3)))
    }
  }

  #end(reason: string): void {
    this.#ended ??= new MountError(reason)
    for (const { reject } of this.#waiting.splice(0)) reject(this.#ended)
  }
}

/** A process for each call; no idmapped mounts, and overlays are told apart by looking at them. */
export class CommandMounts implements Mounts {
  async mount(source: string, target: string, type: string, flags: number, data: string = ""): Promise<void> {
    const words = [
      [mountFlag.readOnly, "ro"],
      [mountFlag.noSuid, "nosuid"],
      [mountFlag.noDev, "nodev"],
      [mountFlag.remount, "remount"],
      [mountFlag.bind, flags & mountFlag.recursive ? "rbind" : "bind"],
    ] as const
    const options = [...words.filter(([flag]) => flags & flag).map(([, word]) => word), ...(data === "" ? [] : [data])].join(",")
    await command("mount", ["-n", ...(type === "" ? [] : ["-t", type]), "-o", options, "--", source, target])
  }

  async overlay({ folder, lower, target, options }: OverlayMount): Promise<void> {
    const data = `nosuid,nodev,lowerdir=${lower},upperdir=upper,workdir=work,${options}`
    await command("mount", ["-n", "-t", "overlay", "-o", data, "--", "overlay", target], folder)
  }

  async unmount(target: string): Promise<void> {
    await command("umount", ["-n", "-l", "--", target])
  }

  async fifo(path: string): Promise<void> {
    await command("mkfifo", ["-m", "0666", "--", path])
  }

  async isOpaque(): Promise<null> {
    return null
  }

  async strip(): Promise<void> {
    // Without a way to name extended attributes they stay; a lower layer's own marks are never looked at.
  }

  async syncFileSystem(path: string): Promise<void> {
    await command("sync", ["-f", path])
  }

  async idmap(): Promise<void> {
    throw new MountError("idmapped mounts need perl")
  }

  close(): void {
    // Nothing is kept open.
  }
}

function command(name: string, args: readonly string[], cwd: string = "/"): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(name, args, { env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" }, cwd }, (error, _stdout, stderr) => {
      if (error) reject(new MountError(stderr.trim() || error.message))
      else resolve()
    })
  })
}
