// The supervisor's ear: serves hosts over its socket. A host that goes away ends nothing; a supervisor that is to be replaced
// takes no more work and ends when what runs has ended.
import { createServer, type Server, type Socket } from "node:net"
import { chmodSync } from "node:fs"
import { isAppError } from "../base/error.ts"
import { failureOf } from "./errno.ts"
import { LivePieces } from "./output.ts"
import type { Machine } from "./machine.ts"
import { removeFile } from "./apply.ts"
import { type Answer, encode, Lines, parseRequest, type Request } from "./wire.ts"

export interface ServerOptions {
  readonly socket: string
  readonly version: string
  readonly idleMs: number
  readonly pid: number
  readonly machine: () => Promise<Machine>
}

/** More that a host has not read yet is not sent to it; the outcome holds what matters. */
const mostUnread = 1024 * 1024
/** What runs for a version that is replaced may take this long to end by itself. */
const drainMs = 10_000

export interface Listening {
  /** Resolves when there is nothing more to do: idle for long enough, or replaced. */
  readonly finished: Promise<void>
}

export async function listen(options: ServerOptions): Promise<Listening> {
  removeFile(options.socket)
  const server = new SupervisorServer(options)
  await server.open()
  return { finished: server.finished }
}

class SupervisorServer {
  readonly finished: Promise<void>
  readonly #options: ServerOptions
  readonly #server: Server
  readonly #clients = new Set<Socket>()
  #finish: () => void = () => undefined
  #busy = 0
  #draining = false
  #idle: NodeJS.Timeout | null = null

  constructor(options: ServerOptions) {
    this.#options = options
    this.finished = new Promise((resolve) => (this.#finish = resolve))
    this.#server = createServer((socket) => this.#accept(socket))
  }

  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject)
      this.#server.listen(this.#options.socket, () => {
        chmodSync(this.#options.socket, 0o600)
        this.#watchIdle()
        resolve()
      })
    })
  }

  #accept(socket: Socket): void {
    this.#clients.add(socket)
    this.#watchIdle()
    const lines = new Lines()
    const canceling = new Map<number, AbortController>()
    const send = (answer: Answer): void => {
      if (!socket.destroyed) socket.write(encode(answer))
    }
    socket.setEncoding("utf8")
    socket.on("error", () => socket.destroy())
    socket.on("close", () => {
      this.#clients.delete(socket)
      this.#watchIdle()
    })
    socket.on("data", (text: string) => {
      try {
        for (const line of lines.push(text)) {
          const request = parseRequest(line)
          if (!request) throw new Error("not understood")
          void this.#serve(request, socket, send, canceling)
        }
      } catch {
        socket.destroy()
      }
    })
    send({ kind: "hello", version: this.#options.version, pid: this.#options.pid })
  }

  /** Never rejects. */
  async #serve(request: Request, socket: Socket, send: (answer: Answer) => void, canceling: Map<number, AbortController>): Promise<void> {
    const { n } = request
    if (request.op === "cancel") return canceling.get(request.target)?.abort()
    if (request.op === "drain") return this.#drain()
    this.#busy++
    this.#watchIdle()
    const abort = new AbortController()
    canceling.set(n, abort)
    try {
      const machine = await this.#options.machine()
      switch (request.op) {
        case "run": {
          const pieces = new LivePieces((text) => {
            if (socket.writableLength < mostUnread) send({ kind: "output", n, text })
          })
          const outcome = await machine.jobs.run(request.job, abort.signal, (chunk) => pieces.push(chunk))
          pieces.flush()
          send({ kind: "outcome", n, outcome })
          break
        }
        case "recover":
          send({ kind: "recovered", n, found: await machine.jobs.recover(request.id, request.workspace) })
          break
        case "forget":
          machine.jobs.forget(request.id)
          send({ kind: "done", n })
          break
        case "report":
          send({ kind: "report", n, report: machine.report })
          break
      }
    } catch (error) {
      const failure = isAppError(error) ? error : failureOf(error, "")
      send({ kind: "failed", n, code: failure.code, params: failure.params })
    } finally {
      canceling.delete(n)
      this.#busy--
      this.#watchIdle()
    }
  }

  /** From now on others may listen at this address; those who are connected are served to the end. */
  #drain(): void {
    if (this.#draining) return
    this.#draining = true
    this.#server.close()
    setTimeout(() => this.#finish(), drainMs)
    this.#watchIdle()
  }

  #watchIdle(): void {
    if (this.#idle) clearTimeout(this.#idle)
    this.#idle = null
    if (this.#busy > 0) return
    if (this.#draining) return this.#finish()
    if (this.#clients.size === 0) this.#idle = setTimeout(() => this.#finish(), this.#options.idleMs)
  }
}
