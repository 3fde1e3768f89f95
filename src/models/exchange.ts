// One HTTP exchange with a model endpoint, seen below the library: the bytes are watched for silence, and a body that
// is not a reply is kept and classified before the library loses it. Every failure ends in `failure`, the first wins.
import type { Clock } from "../base/clock.ts"
import { AppError } from "../base/error.ts"
import type { JsonValue } from "../protocol/json.ts"
import {
  complaintFailure,
  cutFailure,
  type Endpoint,
  httpFailure,
  keptCharacters,
  networkFailure,
  notJsonFailure,
} from "./failure.ts"
import { isRecord, parseJson } from "./json-text.ts"

export interface ExchangeOptions {
  readonly endpoint: Endpoint
  readonly clock: Clock
  readonly fetch: typeof fetch
  readonly signal: AbortSignal
  /** The longest wait for the head of the answer. */
  readonly connectMs: number
  /** The longest silence after that. */
  readonly stallMs: number
}

const graceMs = 1000
const largestBody = 32_000_000
const doneLine = /(^|\n)data: ?\[DONE\]/

/** Watches from its making until `close()`. */
export class Exchange {
  readonly #options: ExchangeOptions
  readonly #transport = new AbortController()
  readonly #watching = new AbortController()
  readonly #failed = Promise.withResolvers<never>()
  #failure: AppError | null = null
  #whole: JsonValue | undefined
  #head = ""
  #tail = ""
  #sawDone = false
  #phase: "connect" | "idle" = "connect"
  #heardAt: number

  constructor(options: ExchangeOptions) {
    this.#options = options
    this.#heardAt = options.clock.monotonic()
    // Whoever races it sees it; unraced it must not count as an unhandled rejection.
    this.#failed.promise.catch(() => {})
    options.signal.addEventListener("abort", this.#cancel, { once: true })
    if (options.signal.aborted) this.#cancel()
    void this.#watch()
  }

  /** Aborted when the exchange fails or is closed; the request hangs on it. */
  get signal(): AbortSignal {
    return this.#transport.signal
  }

  /** Rejects with `failure` as soon as there is one; never resolves. */
  get failed(): Promise<never> {
    return this.#failed.promise
  }

  get failure(): AppError | null {
    return this.#failure
  }

  /** The body, if the endpoint answered with JSON and not with a stream. */
  get whole(): JsonValue | undefined {
    return this.#whole
  }

  /** The beginning of a streamed body. */
  get head(): string {
    return this.#head
  }

  /** True if the stream said that it is complete. */
  get sawDone(): boolean {
    return this.#sawDone
  }

  /** Takes the place of `fetch` for this exchange. Throws when the body is read whole: then it is in `whole`. */
  async send(input: Parameters<typeof fetch>[0], init: RequestInit | undefined): Promise<Response> {
    const { endpoint, clock } = this.#options
    const headers = new Headers(init?.headers)
    // The library would name itself, its parts and the Node version to every endpoint.
    headers.set("user-agent", "chela")
    let response: Response
    try {
      // A redirect would send key and conversation to a host that nobody configured.
      response = await this.#options.fetch(input, { ...init, headers, signal: this.signal, redirect: "manual" })
    } catch (error) {
      throw this.#fail(networkFailure(error, endpoint))
    }
    this.#heardAt = clock.monotonic()
    this.#phase = "idle"
    const body = this.#bytesOf(response)
    if (response.ok) return await this.#readSuccess(body, response.headers)
    // What came of a body that broke off is still worth showing.
    const text = await readText(body, keptCharacters * 4)
    throw this.#fail(
      httpFailure({ status: response.status, headers: response.headers, body: text }, endpoint, clock.now()),
    )
  }

  close(): void {
    this.#watching.abort()
    this.#options.signal.removeEventListener("abort", this.#cancel)
    this.#transport.abort()
  }

  readonly #cancel = (): void => {
    this.#fail(new AppError("canceled"))
  }

  #fail(failure: AppError): AppError {
    if (this.#failure) return this.#failure
    this.#failure = failure
    this.#failed.reject(failure)
    this.#transport.abort(failure)
    return failure
  }

  async #watch(): Promise<void> {
    const { clock, connectMs, stallMs, endpoint } = this.#options
    while (!this.#watching.signal.aborted) {
      const waitedMs = this.#phase === "connect" ? connectMs : stallMs
      const left = this.#heardAt + waitedMs - clock.monotonic()
      if (left <= 0) {
        this.#fail(new AppError("model-timeout", { host: endpoint.host, phase: this.#phase, waitedMs }))
        return
      }
      await clock.sleep(left, this.#watching.signal)
    }
  }

  async *#bytesOf(response: Response): AsyncGenerator<Uint8Array> {
    if (!response.body) return
    try {
      for await (const bytes of response.body) {
        this.#heardAt = this.#options.clock.monotonic()
        const text = this.#tail + Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1")
        this.#sawDone ||= doneLine.test(text)
        this.#tail = text.slice(-16)
        yield bytes
      }
    } catch (error) {
      // The body of a refusal says more than that it was cut.
      if (response.ok) throw this.#fail(cutFailure(error, this.#options.endpoint))
    }
  }

  async #readSuccess(body: AsyncGenerator<Uint8Array>, headers: Headers): Promise<Response> {
    const { endpoint } = this.#options
    const first = await firstBytes(body)
    this.#head = first.text.slice(0, keptCharacters)
    // What the body is shows in its first letter; the content type often lies.
    if (/^[a-z:]/.test(first.text)) return new Response(this.#streamOf(first.bytes, body), { status: 200, headers })
    const text = Buffer.concat([first.bytes, Buffer.from(await readText(body, largestBody))]).toString("utf8")
    if (text.trim() === "") throw this.#fail(cutFailure(new Error("empty-answer"), endpoint))
    const parsed = parseJson(text)
    if (parsed.kind === "not-json") throw this.#fail(notJsonFailure(text, endpoint))
    if (!isRecord(parsed.value) || !Array.isArray(parsed.value["choices"])) {
      throw this.#fail(complaintFailure(parsed.value, endpoint) ?? notJsonFailure(text, endpoint))
    }
    this.#whole = parsed.value
    throw new Error("the body has been read")
  }

  #streamOf(first: Uint8Array<ArrayBuffer>, rest: AsyncGenerator<Uint8Array>): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(first)
      },
      pull: async (controller) => {
        // After its mark of the end a server that closes at once keeps the connection usable; one that never closes
        // must not turn a whole reply into a time-out.
        const patience = this.#sawDone ? [this.#options.clock.sleep(graceMs, this.#watching.signal)] : []
        const next = await Promise.race([rest.next(), ...patience])
        if (!next || next.done) controller.close()
        else controller.enqueue(next.value)
      },
      cancel() {
        // Not awaited: a read may be pending until `close` ends the transport.
        rest.return(undefined).catch(() => {})
      },
    })
  }
}

async function readText(body: AsyncGenerator<Uint8Array>, limit: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const bytes of body) {
    chunks.push(bytes)
    size += bytes.byteLength
    if (size >= limit) break
  }
  return Buffer.concat(chunks).toString("utf8").slice(0, limit)
}

/** Reads until something other than white space came, or the end. */
async function firstBytes(body: AsyncGenerator<Uint8Array>): Promise<{ bytes: Buffer<ArrayBuffer>; text: string }> {
  let bytes: Buffer<ArrayBuffer> = Buffer.alloc(0)
  for (;;) {
    const next = await body.next()
    if (next.done) return { bytes, text: bytes.toString("utf8").trim() }
    bytes = Buffer.concat([bytes, next.value])
    const text = bytes.toString("utf8").trim()
    if (text !== "") return { bytes, text }
  }
}
