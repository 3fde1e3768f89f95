// One HTTP exchange with a model endpoint, seen below the library: the bytes are watched for silence, and a body that
// is not a reply is kept and classified before the library loses it. Every failure ends in `failure`, the first wins.
import type { Clock } from "../base/clock.ts"
import { AppError } from "../base/error.ts"
import type { JsonValue } from "../protocol/json.ts"
import { complaintFailure, cutFailure, type Endpoint, httpFailure, keptCharacters, networkFailure, notJsonFailure } from "./failure.ts"
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

export interface Exchange {
  /** Aborted when the exchange fails or is closed; the request hangs on it. */
  readonly signal: AbortSignal
  /** Rejects with `failure` as soon as there is one; never resolves. */
  readonly failed: Promise<never>
  readonly failure: AppError | null
  /** The body, if the endpoint answered with JSON and not with a stream. */
  readonly whole: JsonValue | undefined
  /** The beginning of a streamed body. */
  readonly head: string
  /** True if the stream said that it is complete. */
  readonly sawDone: boolean
  /** Takes the place of `fetch` for this exchange. */
  send(input: Parameters<typeof fetch>[0], init: RequestInit | undefined): Promise<Response>
  close(): void
}

/** Thrown to the library when the body needs no reading by it any more. */
const wholeBody = "the body is read"
const graceMs = 1000
const largestBody = 32_000_000
const doneLine = /(^|\n)data: ?\[DONE\]/

/** Starts to watch; ends with `close()`. */
export function openExchange(options: ExchangeOptions): Exchange {
  const { endpoint, clock } = options
  const transport = new AbortController()
  const watching = new AbortController()
  const { promise: failed, reject } = Promise.withResolvers<never>()
  failed.catch(() => {}) // whoever races it sees it; without a race it is no unhandled rejection
  const state = { failure: null as AppError | null, whole: undefined as JsonValue | undefined, head: "", tail: "", sawDone: false }
  let last = clock.monotonic()
  let limit = options.connectMs
  let phase = "connect"

  function fail(failure: AppError): AppError {
    if (watching.signal.aborted) return state.failure ?? failure
    if (!state.failure) {
      state.failure = failure
      reject(failure)
      transport.abort(failure)
    }
    return state.failure
  }

  const onCancel = (): void => void fail(new AppError("canceled"))
  options.signal.addEventListener("abort", onCancel, { once: true })
  if (options.signal.aborted) onCancel()

  async function watch(): Promise<void> {
    while (!watching.signal.aborted) {
      const left = last + limit - clock.monotonic()
      if (left <= 0) return void fail(new AppError("model-timeout", { host: endpoint.host, phase, waitedMs: limit }))
      await clock.sleep(left, watching.signal)
    }
  }
  void watch()

  function heard(bytes: Uint8Array): void {
    last = clock.monotonic()
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1")
    state.sawDone ||= doneLine.test(state.tail + text)
    state.tail = (state.tail + text).slice(-16)
  }

  async function send(input: Parameters<typeof fetch>[0], init: RequestInit | undefined): Promise<Response> {
    const headers = new Headers(init?.headers)
    // The library would name itself, its parts and the Node version to every endpoint.
    headers.set("user-agent", "chela")
    let response: Response
    try {
      // A redirect would send key and conversation to a host that nobody configured.
      response = await options.fetch(input, { ...init, headers, signal: transport.signal, redirect: "manual" })
    } catch (error) {
      throw fail(networkFailure(error, endpoint))
    }
    last = clock.monotonic()
    limit = options.stallMs
    phase = "idle"
    const body = bytesOf(response)
    if (!response.ok) {
      const text = await readText(body, keptCharacters * 4).catch(() => "")
      throw fail(state.failure ?? httpFailure({ status: response.status, headers: response.headers, body: text }, endpoint, clock.now()))
    }
    return await readSuccess(body, response)
  }

  async function* bytesOf(response: Response): AsyncGenerator<Uint8Array> {
    if (!response.body) return
    try {
      for await (const bytes of response.body) {
        heard(bytes)
        yield bytes
      }
    } catch (error) {
      throw fail(cutFailure(error, endpoint))
    }
  }

  async function readSuccess(body: AsyncGenerator<Uint8Array>, response: Response): Promise<Response> {
    const first = await firstBytes(body)
    state.head = first.text.slice(0, keptCharacters)
    // What the body is shows in its first letter; the content type often lies.
    if (/^[a-z:]/.test(first.text)) return new Response(streamOf(first.bytes, { rest: body, patience: () => (state.sawDone ? clock.sleep(graceMs, watching.signal) : null) }), { status: 200, headers: response.headers })
    const text = Buffer.concat([first.bytes, Buffer.from(await readText(body, largestBody))]).toString("utf8")
    const parsed = parseJson(text)
    if (parsed.kind === "not-json") throw fail(text.trim() === "" ? cutFailure(new Error("empty-answer"), endpoint) : notJsonFailure(text, endpoint))
    if (!isRecord(parsed.value) || !Array.isArray(parsed.value["choices"])) {
      throw fail(complaintFailure(parsed.value, endpoint) ?? notJsonFailure(text, endpoint))
    }
    state.whole = parsed.value
    throw new Error(wholeBody)
  }

  return {
    signal: transport.signal,
    failed,
    get failure() {
      return state.failure
    },
    get whole() {
      return state.whole
    },
    get head() {
      return state.head
    },
    get sawDone() {
      return state.sawDone
    },
    send,
    close() {
      watching.abort()
      options.signal.removeEventListener("abort", onCancel)
      transport.abort()
    },
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

interface StreamSource {
  readonly rest: AsyncGenerator<Uint8Array>
  /** Not null once the stream said that it is complete: how long its server may still take to close it. A server that
   * closes at once keeps the connection usable; one that never does must not turn a whole reply into a time-out. */
  readonly patience: () => Promise<void> | null
}

function streamOf(first: Uint8Array<ArrayBuffer>, { rest, patience }: StreamSource): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(first)
    },
    async pull(controller) {
      const waiting = patience()
      const next = await (waiting ? Promise.race([rest.next(), waiting]) : rest.next())
      if (!next || next.done) controller.close()
      else controller.enqueue(next.value)
    },
    cancel() {
      // Not awaited: a read may be pending until `close` ends the transport.
      rest.return(undefined).catch(() => {})
    },
  })
}
