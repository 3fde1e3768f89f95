// A host's connection to its supervisor: asks, matches answers to questions, and says when the other side is gone.
import type { Socket } from "node:net"
import { AppError, type ErrorCode, errorCodes } from "../base/error.ts"
import { type Answer, encode, Lines, parseAnswer, type Request } from "./wire.ts"

/** The supervisor ended while something was asked of it. */
export class LinkLost extends Error {
  override readonly name = "LinkLost"
}

type Reply = Exclude<Answer, { kind: "hello" | "output" | "failed" }>
type Unnumbered<T> = T extends { readonly n: number } ? Omit<T, "n"> : never

interface Waiting {
  readonly resolve: (reply: Reply) => void
  readonly reject: (error: Error) => void
  readonly onOutput: ((text: string) => void) | undefined
}

export class Link {
  readonly #socket: Socket
  readonly #waiting = new Map<number, Waiting>()
  readonly #lines = new Lines()
  #next = 1
  #lost = false
  readonly version: Promise<string>
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>

  constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding("utf8")
    socket.on("error", () => socket.destroy())
    this.closed = new Promise((resolve) => {
      socket.once("close", () => {
        this.#lose()
        resolve()
      })
    })
    let greet: (version: string) => void = () => undefined
    this.version = new Promise((resolve, reject) => {
      greet = resolve
      socket.once("close", () => reject(new LinkLost("no greeting")))
    })
    this.version.catch(() => undefined)
    socket.on("data", (text: string) => {
      for (const line of this.#lines.push(text)) this.#take(line, greet)
    })
  }

  get open(): boolean {
    return !this.#lost
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** Rejects with the `AppError` that was answered, or with `LinkLost`. Aborting asks for an early end and waits for it. */
  ask(request: Unnumbered<Request>, signal?: AbortSignal, onOutput?: (text: string) => void): Promise<Reply> {
    const n = this.#next++
    return new Promise<Reply>((resolve, reject) => {
      if (this.#lost) return reject(new LinkLost("closed"))
      const cancel = (): void => this.#send({ n: this.#next++, op: "cancel", target: n })
      const settle = (): void => {
        signal?.removeEventListener("abort", cancel)
        this.#waiting.delete(n)
        // A host that waits for nothing may end.
        if (this.#waiting.size === 0) this.#socket.unref()
      }
      this.#waiting.set(n, {
        resolve: (reply) => (settle(), resolve(reply)),
        reject: (error) => (settle(), reject(error)),
        onOutput,
      })
      this.#socket.ref()
      this.#send({ ...request, n } as Request)
      if (signal?.aborted) cancel()
      signal?.addEventListener("abort", cancel, { once: true })
    })
  }

  /** Expects no answer. */
  tell(request: Unnumbered<Request>): void {
    this.#send({ ...request, n: this.#next++ } as Request)
  }

  /** Safe to call twice. */
  close(): void {
    this.#socket.destroy()
  }

  #send(request: Request): void {
    if (!this.#lost) this.#socket.write(encode(request))
  }

  #take(line: string, greet: (version: string) => void): void {
    const answer = parseAnswer(line)
    if (!answer) return this.close()
    if (answer.kind === "hello") return greet(answer.version)
    const waiting = this.#waiting.get(answer.n)
    switch (answer.kind) {
      case "output":
        return waiting?.onOutput?.(answer.text)
      case "failed":
        return waiting?.reject(new AppError(knownCode(answer.code), answer.params))
      case "outcome":
      case "recovered":
      case "report":
      case "done":
        return waiting?.resolve(answer)
    }
  }

  #lose(): void {
    this.#lost = true
    for (const { reject } of [...this.#waiting.values()]) reject(new LinkLost("the supervisor ended"))
  }
}

function knownCode(code: string): ErrorCode {
  return errorCodes.find((known) => known === code) ?? "sandbox-failed"
}
