// The typed client of a gateway: command line, workbench, tests and benchmarks all use this one. It trusts a gateway of its
// own version and loads no schema library.
import { AppError, type ErrorCode, type ErrorParams, errorCodes } from "../base/error.ts"
import type { Answered, HostStatus, NewRun, Problem, Question, RunDetail, RunSummary, StartedRun, StreamItem } from "../protocol/api.ts"
import type { Fetch } from "./socket.ts"
import { serverEvents } from "./sse.ts"

export interface Client {
  status(signal?: AbortSignal): Promise<HostStatus>
  startRun(run: NewRun): Promise<StartedRun>
  runs(query?: { readonly limit?: number; readonly state?: RunSummary["state"] }): Promise<readonly RunSummary[]>
  run(run: string): Promise<RunDetail>
  stop(run: string, reason?: string): Promise<RunSummary>
  questions(state?: Question["state"]): Promise<readonly Question[]>
  answer(token: string, answer: { readonly granted: boolean; readonly by: string }): Promise<Answered>
  /** From behind `after` (the beginning without one) until the connection breaks or `signal` is aborted. */
  events(session: string, options?: { readonly after?: string; readonly signal?: AbortSignal }): AsyncGenerator<StreamItem>
  shutdown(): Promise<void>
}

/** Every method rejects with the gateway's `AppError`, or with the transport's own error. */
export function createClient(fetch: Fetch): Client {
  const get = async <T>(path: string, signal?: AbortSignal): Promise<T> => answerOf<T>(await fetch(path, signal ? { signal } : {}))
  const post = async <T>(path: string, value: unknown): Promise<T> =>
    answerOf<T>(await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(value) }))
  return {
    status: (signal) => get("/v1/status", signal),
    startRun: (run) => post("/v1/runs", run),
    runs: (query = {}) => get(`/v1/runs?${new URLSearchParams(Object.entries(query).map(([name, value]): [string, string] => [name, String(value)]))}`),
    run: (run) => get(`/v1/runs/${encodeURIComponent(run)}`),
    stop: (run, reason) => post(`/v1/runs/${encodeURIComponent(run)}/stop`, reason === undefined ? {} : { reason }),
    questions: (state) => get(`/v1/questions${state ? `?state=${state}` : ""}`),
    answer: (token, answer) => post(`/v1/questions/${encodeURIComponent(token)}/answer`, answer),
    shutdown: async () => void (await post("/v1/shutdown", {})),
    async *events(session, { after, signal } = {}) {
      const query = after === undefined ? "" : `?after=${encodeURIComponent(after)}`
      const answer = await fetch(`/v1/sessions/${encodeURIComponent(session)}/events${query}`, signal ? { signal } : {})
      if (!answer.ok || !answer.body) return void (await answerOf(answer))
      for await (const { event, data } of serverEvents(answer.body)) {
        if (event === "event") yield { kind: "event", event: JSON.parse(data) as Extract<StreamItem, { kind: "event" }>["event"] }
        if (event === "live") yield { kind: "live", delta: JSON.parse(data) as Extract<StreamItem, { kind: "live" }>["delta"] }
      }
    },
  }
}

async function answerOf<T>(answer: Response): Promise<T> {
  const text = await answer.text()
  if (answer.ok) return JSON.parse(text) as T
  throw problemError(text, answer.status)
}

function problemError(text: string, status: number): AppError {
  try {
    const problem = JSON.parse(text) as Problem
    const code = errorCodes.find((known) => known === problem.code)
    if (code) return new AppError(code satisfies ErrorCode, problem.params satisfies ErrorParams)
  } catch {
    // Not problem+json: whatever answered is not our gateway, and the status below says what it said.
  }
  return new AppError("host-failed", { detail: `HTTP ${status} ${text.slice(0, 200)}` })
}
