// A model behind any endpoint that speaks OpenAI's chat completions, through the AI SDK's provider package. A call
// either returns one whole reply or rejects with one `AppError`; the library neither retries nor hides a failure.
import type { OpenAICompatibleChatLanguageModel } from "@ai-sdk/openai-compatible"
import type { LanguageModelV4CallOptions } from "@ai-sdk/provider"
import type { Clock } from "../base/clock.ts"
import { AppError, isAppError, messageOf } from "../base/error.ts"
import type { Model, ModelCall, ModelReply, ModelRequest, Price } from "../kernel/model.ts"
import { type CollectorOptions, collectWhole, StreamCollector } from "./collect.ts"
import { Exchange } from "./exchange.ts"
import { complaintFailure, cutFailure, type Endpoint, notJsonFailure } from "./failure.ts"
import { metaName, renderPrompt, renderTools } from "./render.ts"

export interface OpenAiCompatibleOptions {
  /** With the version, without a path: `https://api.example.com/v1`. */
  readonly baseUrl: string
  /** Empty for servers that want none. */
  readonly apiKey: string
  readonly model: string
  readonly price: Price | null
  readonly contextTokens: number
  readonly maxOutputTokens: number
  readonly clock: Clock
  /** The longest silence before a call fails; 60 s unless told. Node's own `fetch` gives up after 300 s. */
  readonly stallMs?: number
  /** The longest wait for the head of the answer; `stallMs` unless told. */
  readonly connectMs?: number
  readonly fetch?: typeof fetch
}

/** What an endpoint turned out not to know. */
interface Dialect {
  readonly stream: boolean
  readonly limit: "max_tokens" | "max_completion_tokens"
}

interface Connection {
  readonly options: OpenAiCompatibleOptions
  readonly endpoint: Endpoint
  /** Running exchanges by the signal that the library hands through to `fetch`. */
  readonly exchanges: Map<AbortSignal, Exchange>
  readonly chat: (dialect: Dialect) => Promise<OpenAICompatibleChatLanguageModel>
}

const defaultStallMs = 60_000
/** An answer that is not streamed is silent until it is complete. */
const wholeAnswerFactor = 5

/** Throws `option-invalid` if the base URL or the key can never work. */
export function openAiCompatible(options: OpenAiCompatibleOptions): Model {
  const key = options.apiKey.trim()
  if (!/^[\x21-\x7e]*$/.test(key)) throw new AppError("option-invalid", { option: "apiKey" })
  const connection = connect(options, { host: hostOf(options.baseUrl), key })
  // Learned from refusals, once the other way worked, and kept for as long as this value lives.
  let dialect: Dialect = { stream: true, limit: "max_tokens" }
  return {
    id: `${connection.endpoint.host}/${options.model}`,
    contextTokens: options.contextTokens,
    maxOutputTokens: options.maxOutputTokens,
    price: options.price,
    async call(request, call) {
      let tried = dialect
      for (;;) {
        try {
          const reply = await attempt(connection, tried, { request, call })
          dialect = tried
          return reply
        } catch (error) {
          const next = otherDialect(tried, error)
          if (!next) throw error
          tried = next
        }
      }
    },
  }
}

function hostOf(baseUrl: string): string {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : null
  if (!url || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new AppError("option-invalid", { option: "baseUrl", value: baseUrl.includes("@") ? "" : baseUrl })
  }
  return url.host
}

function connect(options: OpenAiCompatibleOptions, endpoint: Endpoint): Connection {
  const exchanges: Connection["exchanges"] = new Map()
  const chats = new Map<Dialect["limit"], OpenAICompatibleChatLanguageModel>()
  const base = options.baseUrl.replace(/\/+$/, "")
  async function exchangeFetch(...[input, init]: Parameters<typeof fetch>): Promise<Response> {
    const exchange = init?.signal ? exchanges.get(init.signal) : undefined
    if (!exchange) throw new AppError("internal", { what: "a request without an exchange" })
    return await exchange.send(input, init)
  }
  async function chat(dialect: Dialect): Promise<OpenAICompatibleChatLanguageModel> {
    const known = chats.get(dialect.limit)
    if (known) return known
    // Loaded by the first call: nothing that never calls a model pays for it.
    const { OpenAICompatibleChatLanguageModel } = await import("@ai-sdk/openai-compatible")
    const made = new OpenAICompatibleChatLanguageModel(options.model, {
      provider: `${metaName}.chat`,
      url: ({ path }) => base + path,
      headers: endpoint.key === "" ? {} : { authorization: `Bearer ${endpoint.key}` },
      includeUsage: true,
      fetch: exchangeFetch,
      // What stays the same comes first, so that a request is a byte-prefix of the next up to its last message.
      transformRequestBody: ({ model, tools, messages, max_tokens, ...rest }) => ({
        model,
        tools,
        messages,
        [dialect.limit]: max_tokens,
        ...rest,
      }),
    })
    chats.set(dialect.limit, made)
    return made
  }
  return { options, endpoint, exchanges, chat }
}

interface Question {
  readonly request: ModelRequest
  readonly call: ModelCall
}

async function attempt(connection: Connection, dialect: Dialect, question: Question): Promise<ModelReply> {
  const { options, endpoint } = connection
  const silence = (options.stallMs ?? defaultStallMs) * (dialect.stream ? 1 : wholeAnswerFactor)
  const exchange = new Exchange({
    endpoint,
    clock: options.clock,
    fetch: options.fetch ?? fetch,
    signal: question.call.signal,
    connectMs: dialect.stream ? (options.connectMs ?? silence) : silence,
    stallMs: silence,
  })
  connection.exchanges.set(exchange.signal, exchange)
  try {
    // The race ends the call at once even if something below it does not listen to its signal.
    return await Promise.race([exchange.failed, converse(connection, dialect, { ...question, exchange })])
  } catch (error) {
    if (exchange.failure) throw exchange.failure
    // What the library could not read; anything else that is not ours is a bug and must stay one.
    throw error instanceof Error && error.name.startsWith("AI_") ? notJsonFailure(messageOf(error), endpoint) : error
  } finally {
    connection.exchanges.delete(exchange.signal)
    exchange.close()
  }
}

async function converse(
  connection: Connection,
  dialect: Dialect,
  question: Question & { exchange: Exchange },
): Promise<ModelReply> {
  const { request, call, exchange } = question
  const { host } = connection.endpoint
  const chat = await connection.chat(dialect)
  const asked: LanguageModelV4CallOptions = {
    prompt: renderPrompt(request, host),
    tools: renderTools(request.tools),
    maxOutputTokens: request.maxOutputTokens,
    headers: { "idempotency-key": call.idempotencyKey },
    abortSignal: exchange.signal,
    includeRawChunks: true,
  }
  const collector: CollectorOptions = {
    host,
    model: connection.options.model,
    usedIds: idsOf(request),
    onDelta: call.onDelta,
  }
  try {
    if (dialect.stream) return await readStream(chat, asked, { exchange, collector, endpoint: connection.endpoint })
    await chat.doGenerate(asked)
  } catch (error) {
    if (exchange.whole === undefined) throw error
  }
  if (exchange.whole === undefined) throw notJsonFailure(exchange.head, connection.endpoint)
  const result = await chat.convertResponse({ body: exchange.whole })
  return collectWhole(result, exchange.whole, collector)
}

interface Reading {
  readonly exchange: Exchange
  readonly collector: CollectorOptions
  readonly endpoint: Endpoint
}

async function readStream(
  chat: OpenAICompatibleChatLanguageModel,
  asked: LanguageModelV4CallOptions,
  reading: Reading,
): Promise<ModelReply> {
  const { exchange, endpoint } = reading
  const collector = new StreamCollector(reading.collector)
  const { stream } = await chat.doStream(asked)
  for await (const part of stream) {
    collector.add(part)
    if (collector.broken) break
  }
  if (collector.broken) {
    const { raw, error } = collector.broken
    throw (
      complaintFailure(raw, endpoint) ??
      notJsonFailure(raw === undefined ? messageOf(error) : JSON.stringify(raw), endpoint)
    )
  }
  if (collector.finished) return collector.reply()
  // Some local servers end with the mark of the end but without a reason.
  if (collector.started && exchange.sawDone) return collector.reply()
  const streamed = !exchange.sawDone && /^(data|event|id|retry)?:/.test(exchange.head)
  if (!collector.started && !streamed) throw notJsonFailure(exchange.head, endpoint)
  throw cutFailure(new Error("ended-early"), endpoint)
}

/** A refusal that names what it does not know is answered in the other way; anything else is a failure. */
function otherDialect(dialect: Dialect, error: unknown): Dialect | null {
  if (!isAppError(error, "model-bad-request")) return null
  const words = `${error.params["excerpt"] ?? ""} ${messageOf(error.cause)}`
  if (dialect.limit === "max_tokens" && words.includes("max_completion_tokens"))
    return { ...dialect, limit: "max_completion_tokens" }
  // Without `stream_options` a stream tells no usage, and the budget would have to charge the worst case.
  return dialect.stream && /stream/i.test(words) ? { ...dialect, stream: false } : null
}

function idsOf(request: ModelRequest): Set<string> {
  return new Set(
    request.messages.flatMap((message) =>
      message.parts.flatMap((part) => (part.kind === "tool-call" ? [part.id] : [])),
    ),
  )
}
