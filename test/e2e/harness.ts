// A real installation for tests: an own state folder and workspace, a real host process, the real client, and a scripted
// endpoint on loopback. Everything it starts it also ends.
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from "node:fs"
import { mkdir } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { type ScriptedServer, startScriptedServer } from "../../bench/scripted-server.ts"
import type { Script } from "../../bench/scripted-server/script.ts"
import type { Client } from "../../src/client/client.ts"
import { findHost, findOrStartHost, type HostPlace } from "../../src/client/host.ts"

export const bin: string = fileURLToPath(new URL("../../bin/chela.js", import.meta.url))

export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Installation extends AsyncDisposable {
  readonly folder: string
  readonly home: string
  readonly workspace: string
  readonly env: Record<string, string>
  readonly server: ScriptedServer
  connect(): Promise<Client>
  /** Ends the host with `kill -9`; the same as a power cut for it. */
  kill(pid: number): void
  /** Runs the command line to its end. */
  chela(args: readonly string[], options?: { readonly input?: string | Uint8Array; readonly cwd?: string; readonly env?: Record<string, string> }): Promise<Ran>
}

export async function install(script?: Script): Promise<Installation> {
  const folder = mkdtempSync(join(tmpdir(), "chela-test-"))
  const home = join(folder, "state")
  const workspace = join(folder, "work")
  await mkdir(workspace)
  const server = await startScriptedServer(script === undefined ? {} : { script })
  const env = {
    PATH: process.env["PATH"] ?? "",
    HOME: folder,
    LANG: "C.UTF-8",
    CHELA_HOME: home,
    CHELA_BASE_URL: server.url,
    CHELA_API_KEY: "k",
    CHELA_MODEL: "scripted",
    CHELA_PRICE: "free",
    ...(process.env["CI"] !== undefined && { CI: process.env["CI"] }),
  }
  const place: HostPlace = { home, command: [process.execPath, bin, "host"], env, version: "" }
  return {
    folder,
    home,
    workspace,
    env,
    server,
    connect: () => findOrStartHost(place),
    kill: (pid) => void process.kill(pid, "SIGKILL"),
    chela: (args, options = {}) => runChela(args, { cwd: options.cwd ?? workspace, env: { ...env, ...options.env }, input: options.input ?? "" }),
    async [Symbol.asyncDispose]() {
      const client = await findHost({ home }).catch(() => null)
      const status = await client?.status().catch(() => null)
      await client?.shutdown().catch(() => undefined)
      if (status) await untilGone(status.pid)
      await server.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function runChela(args: readonly string[], options: { cwd: string; env: Record<string, string>; input: string | Uint8Array }): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [bin, ...args], { cwd: options.cwd, env: options.env })
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()))
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()))
    child.on("error", reject)
    child.on("close", (code) => resolve({ code, stdout, stderr }))
    // A command that does not read its input closes the pipe early.
    child.stdin.on("error", () => undefined)
    child.stdin.end(options.input)
  })
}

/** Looks until a condition holds; fails when it does not within `ms`. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, ms = 15_000): Promise<void> {
  const deadline = performance.now() + ms
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

export function untilGone(pid: number): Promise<void> {
  return until(`process ${pid} is gone`, () => !isAlive(pid))
}

/** Everything below a folder: path, kind and content, in one hash per entry. */
export function treeOf(folder: string): Record<string, string> {
  const tree: Record<string, string> = {}
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    const name = path.slice(folder.length + 1)
    const mode = (statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & 0o777
    if (entry.isSymbolicLink()) tree[name] = `link ${readlinkSync(path)}`
    else if (entry.isDirectory()) tree[name] = `folder ${mode.toString(8)}`
    else tree[name] = `file ${mode.toString(8)} ${createHash("sha256").update(readFileSync(path)).digest("hex")}`
  }
  return tree
}
