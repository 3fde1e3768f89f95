// An OpenAI-compatible HTTP server on loopback that follows a script and writes every request it got to a file, so that
// real clients, ours and others', can be driven and measured. Started from the shell it prints one line with its URL:
//   node bench/scripted-server.ts --script FILE.json [--port 0] [--log FILE.jsonl] [--faults rate,none,cut]
import { closeSync, openSync, readFileSync, writeSync } from "node:fs"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { setTimeout as wait } from "node:timers/promises"
import { parseArgs } from "node:util"
import { isRecord, type Question, readChat, readResponses } from "./scripted-server/asked.ts"
import { sendChat } from "./scripted-server/chat.ts"
import { sendFault } from "./scripted-server/fault.ts"
import { sendJson } from "./scripted-server/reply.ts"
import { sendResponse } from "./scripted-server/responses.ts"
import {
  chooseTurn,
  type Fault,
  faultSchema,
  parseScript,
  type Script,
  tokensOf,
  wireCalls,
} from "./scripted-server/script.ts"

export interface ScriptedServerOptions {
  readonly script?: unknown
  readonly port?: number
  /** Appended: one JSON line for each request. */
  readonly logFile?: string
  /** For the first requests that ask for a reply, one each, in this order; null for none. */
  readonly faults?: readonly (Fault | null)[]
}

export interface SeenRequest {
  /** UTC milliseconds, and milliseconds of `performance.now()` of this process. */
  readonly time: number
  readonly monotonic: number
  readonly method: string
  readonly path: string
  /** Without the values of headers that carry keys. */
  readonly headers: Readonly<Record<string, string>>
  /** Byte-exact, as text if it is UTF-8, else as base64. */
  readonly body: string
  readonly encoding: "utf8" | "base64"
}

export interface ScriptedServer {
  /** The base URL for clients, with `/v1`. */
  readonly url: string
  readonly requests: readonly SeenRequest[]
  /** Resolves when this many requests have come. */
  received(count: number): Promise<void>
  /** Resolves when no answer is under way. */
  idle(): Promise<void>
  /** How many connections were made so far. */
  connections(): number
  /** Ends every connection. Safe to call twice. */
  close(): Promise<void>
}

const keyHeaders = new Set(["authorization", "proxy-authorization", "x-api-key", "api-key", "cookie"])
const keptConversations = 1000

interface State {
  readonly script: Script
  readonly requests: SeenRequest[]
  readonly faults: (Fault | null)[]
  /** What the newest request of a conversation read, to tell what a provider would have cached. */
  readonly prompts: Map<string, string>
  readonly log: number | null
  readonly waiting: Set<() => void>
  served: number
  running: number
  connections: number
}

/** Listens on 127.0.0.1. */
export async function startScriptedServer(options: ScriptedServerOptions = {}): Promise<ScriptedServer> {
  const state: State = {
    script: parseScript(options.script ?? { scenarios: [] }),
    requests: [],
    faults: [...(options.faults ?? [])],
    prompts: new Map(),
    log: options.logFile === undefined ? null : openSync(options.logFile, "a"),
    waiting: new Set(),
    served: 0,
    running: 0,
    connections: 0,
  }
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    state.running += 1
    response.once("close", () => {
      state.running -= 1
      for (const check of state.waiting) check()
    })
    handle(state, request, response).catch((error: unknown) => {
      // A client that went away is no failure of the server; anything else must be seen.
      if (!response.headersSent)
        sendJson(response, 500, { error: { message: String(error), type: "scripted_server", param: null, code: null } })
      else response.destroy()
    })
  })
  server.on("connection", () => (state.connections += 1))
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen({ port: options.port ?? 0, host: "127.0.0.1", backlog: 1024 }, resolve)
  })
  const address = server.address()
  const port = typeof address === "object" && address ? address.port : 0
  let closing: Promise<void> | null = null
  return {
    url: `http://127.0.0.1:${port}/v1`,
    requests: state.requests,
    received: (count) => until(state, () => state.requests.length >= count),
    idle: () => until(state, () => state.running === 0),
    connections: () => state.connections,
    close: () => {
      closing ??= new Promise((resolve) => {
        server.close(() => {
          if (state.log !== null) closeSync(state.log)
          resolve()
        })
        server.closeAllConnections()
      })
      return closing
    },
  }
}

function until(state: State, holds: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const check = (): void => {
      if (!holds()) return
      state.waiting.delete(check)
      resolve()
    }
    state.waiting.add(check)
    check()
  })
}

async function handle(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const arrived = { time: Date.now(), monotonic: performance.now() }
  const path = new URL(request.url ?? "/", "http://127.0.0.1").pathname
  const seen = await readRequest(request, path, arrived)
  state.requests.push(seen)
  // Written before the answer: a client that is killed by it still has its request in the file.
  if (state.log !== null) writeSync(state.log, `${JSON.stringify(seen)}\n`)
  for (const check of state.waiting) check()
  const route = path.replace(/\/+$/, "")
  const method = { "/v1/models": "GET", "/v1/chat/completions": "POST", "/v1/responses": "POST" }[route]
  if (method === undefined) return sendJson(response, 404, failure(`No such path: ${path}`))
  if (method !== seen.method) return sendJson(response, 405, failure(`${path} takes ${method}`), { allow: method })
  if (route === "/v1/models") return sendJson(response, 200, models(state.script))
  await reply(state, {
    seen,
    response,
    chat: route === "/v1/chat/completions",
    header: request.headers["x-scripted-fault"],
  })
}

interface Exchange {
  readonly seen: SeenRequest
  readonly response: ServerResponse
  readonly chat: boolean
  readonly header: string | string[] | undefined
}

async function reply(state: State, { seen, response, chat, header }: Exchange): Promise<void> {
  const body = parseBody(seen)
  if (!body) return sendJson(response, 400, failure("The body is no JSON object"))
  const question = chat ? readChat(body) : readResponses(body)
  const chosen = chooseTurn(state.script, question.asked)
  const named = faultSchema.safeParse(header ?? /^fault-(.*)$/.exec(question.asked.model)?.[1])
  const fault = state.faults.shift() ?? (named.success ? named.data : chosen.turn.fault)
  const turn = { ...chosen.turn, ...(fault === undefined ? {} : { fault }) }
  if (turn.delayMs !== undefined) await wait(turn.delayMs)
  if (fault !== undefined && sendFault(response, fault, question.stream)) return
  const tokens = tokensOf(turn, question.prompt, rememberPrompt(state, question))
  state.served += 1
  const unique = `${state.served.toString(36)}${question.asked.turnsSoFar.toString(36).padStart(4, "0")}`
  const answer = {
    question,
    chosen: { ...chosen, turn },
    calls: wireCalls({ ...chosen, turn }, question.asked),
    tokens,
    unique,
    created: Math.floor(seen.time / 1000),
  }
  await (chat ? sendChat(response, answer) : sendResponse(response, answer))
}

function rememberPrompt(state: State, question: Question): string {
  const earlier = state.prompts.get(question.conversation) ?? ""
  state.prompts.delete(question.conversation)
  state.prompts.set(question.conversation, question.prompt)
  const oldest = state.prompts.keys().next()
  if (state.prompts.size > keptConversations && !oldest.done) state.prompts.delete(oldest.value)
  return earlier
}

async function readRequest(
  request: IncomingMessage,
  path: string,
  arrived: Pick<SeenRequest, "time" | "monotonic">,
): Promise<SeenRequest> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(Buffer.from(chunk))
  const bytes = Buffer.concat(chunks)
  const text = bytes.toString("utf8")
  const exact = Buffer.from(text).equals(bytes)
  const headers = Object.entries(request.headers).map(([name, value]) => [
    name,
    keyHeaders.has(name) ? "[removed]" : String(value),
  ])
  return {
    ...arrived,
    method: request.method ?? "",
    path,
    headers: Object.fromEntries(headers),
    body: exact ? text : bytes.toString("base64"),
    encoding: exact ? "utf8" : "base64",
  }
}

function parseBody(seen: SeenRequest): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(seen.body)
    return isRecord(value) ? value : null
  } catch {
    // Answered with status 400.
    return null
  }
}

function models(script: Script): unknown {
  const names = new Set([
    "scripted",
    ...script.scenarios.flatMap((scenario) => (scenario.model === undefined ? [] : [scenario.model])),
  ])
  return {
    object: "list",
    data: [...names].map((id) => ({ id, object: "model", created: 1_700_000_000, owned_by: "scripted-server" })),
  }
}

function failure(message: string): unknown {
  return { error: { message, type: "invalid_request_error", param: null, code: null } }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      script: { type: "string" },
      port: { type: "string" },
      log: { type: "string" },
      faults: { type: "string" },
    },
  })
  const named = values.faults?.split(",").map((name) => (name === "none" ? null : faultSchema.parse(name)))
  const server = await startScriptedServer({
    ...(values.script === undefined ? {} : { script: JSON.parse(readFileSync(values.script, "utf8")) }),
    ...(values.log === undefined ? {} : { logFile: values.log }),
    ...(named === undefined ? {} : { faults: named }),
    port: Number(values.port ?? 0),
  })
  process.stdout.write(`${server.url}\n`)
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void server.close())
}

if (import.meta.main) await main()
