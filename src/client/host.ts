// Finds the host of a state folder or starts one. Two clients that start one at once end up with the same host: the second
// process finds the lock taken and leaves, and both connect to whoever has it.
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdirSync, openSync, readFileSync } from "node:fs"
import { tmpdir, userInfo } from "node:os"
import { join } from "node:path"
import { AppError, type ErrorCode, errorCodes } from "../base/error.ts"
import { type Client, createClient } from "./client.ts"
import { fetchOverSocket } from "./socket.ts"

export interface HostPlace {
  /** The state folder. */
  readonly home: string
  /** Program and arguments that start a host for it. */
  readonly command: readonly [string, ...string[]]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly version: string
}

const startMs = 20_000
const answerMs = 5_000
/** Longer paths do not fit into a socket address. */
const maxSocketPath = 100

/** Where the host of a state folder listens. */
export function socketPath(home: string): string {
  const own = join(home, "host.sock")
  if (process.platform === "win32") return `\\\\.\\pipe\\chela-${createHash("sha256").update(home).digest("hex").slice(0, 16)}`
  if (Buffer.byteLength(own) <= maxSocketPath) return own
  const name = createHash("sha256").update(home).digest("hex").slice(0, 16)
  return join(tmpdir(), `chela-${userInfo().uid}`, `${name}.sock`)
}

/** A client of the running host, or null if there is none. Rejects with `host-unreachable` if it does not answer. */
export async function findHost(place: Pick<HostPlace, "home">): Promise<Client | null> {
  const client = createClient(fetchOverSocket(socketPath(place.home)))
  try {
    await client.status(AbortSignal.timeout(answerMs))
    return client
  } catch (cause) {
    if (isNobody(cause)) return null
    if (cause instanceof AppError) throw cause
    throw new AppError("host-unreachable", { path: place.home, pid: pidOf(place.home) }, { cause })
  }
}

/** A client of the running host, or of one that was just started. Rejects with `host-failed` and what the host said. */
export async function findOrStartHost(place: HostPlace): Promise<Client> {
  const found = await findHost(place)
  if (found) return found
  const deadline = performance.now() + startMs
  for (;;) {
    const said = await startHost(place)
    const client = await findHost(place)
    if (client) return client
    if (said.kind === "failed") throw new AppError(said.code, said.params)
    // It lost the race for the lock, or the winner is not listening yet.
    if (performance.now() > deadline) throw new AppError("host-failed", { detail: said.kind, path: join(place.home, "host.log") })
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

type Said =
  | { readonly kind: "ready" | "locked" | "silent" }
  | { readonly kind: "failed"; readonly code: ErrorCode; readonly params: Record<string, string | number> }

/** Starts a host that outlives this process; resolves with the first line that it writes. */
function startHost({ home, command, env }: HostPlace): Promise<Said> {
  const [program, ...args] = command
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 })
    const log = openSync(join(home, "host.log"), "a", 0o600)
    const child = spawn(program, args, { detached: true, stdio: ["ignore", "pipe", log], env: { ...env, CHELA_HOME: home }, cwd: home })
    return new Promise((resolve, reject) => {
      let text = ""
      child.stdout?.on("data", (chunk: Buffer) => {
        text += chunk.toString()
        if (!text.includes("\n")) return
        resolve(parseSaid(text))
        child.stdout?.destroy()
        child.unref()
      })
      child.on("error", (cause) => reject(new AppError("host-failed", { detail: cause.message, path: join(home, "host.log") }, { cause })))
      child.on("exit", () => resolve(text === "" ? { kind: "silent" } : parseSaid(text)))
    })
  } catch (cause) {
    return Promise.reject(new AppError("state-unreadable", { path: home, detail: String(cause) }, { cause }))
  }
}

function parseSaid(text: string): Said {
  try {
    const said = JSON.parse(text.split("\n", 1)[0] ?? "") as { ready?: true; code?: string; params?: Record<string, string | number> }
    if (said.ready) return { kind: "ready" }
    if (said.code === "state-locked") return { kind: "locked" }
    const code = errorCodes.find((known) => known === said.code) ?? "host-failed"
    return { kind: "failed", code, params: said.params ?? {} }
  } catch {
    return { kind: "failed", code: "host-failed", params: { detail: text.slice(0, 500) } }
  }
}

function isNobody(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause && (cause.code === "ENOENT" || cause.code === "ECONNREFUSED")
}

function pidOf(home: string): number {
  try {
    return Number((JSON.parse(readFileSync(join(home, "host.json"), "utf8")) as { pid: number }).pid)
  } catch {
    return 0
  }
}
