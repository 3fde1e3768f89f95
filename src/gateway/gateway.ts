// The HTTP face of a host. Every request is parsed here and every failure leaves as problem+json; what a route does is one
// call of the service.
import { Hono } from "hono"
import { streamSSE } from "hono/streaming"
import { z } from "zod"
import { AppError, type ErrorCode, isAppError, messageOf } from "../base/error.ts"
import type { Service } from "../app/service.ts"
import { answerSchema, newRunSchema, type Problem, stopSchema } from "../protocol/api.ts"
import { maxTaskBytes } from "../protocol/task.ts"

export interface GatewayPorts {
  readonly service: Service
  readonly version: string
  /** Asked by a client that wants this host to go away. */
  readonly shutdown: () => void
  readonly onError: (error: unknown) => void
}

/** A task and what stands around it. */
const maxRequestBytes = maxTaskBytes * 2

const listSchema = z.object({
  limit: z.coerce.number().int().positive().max(10_000).default(50),
  state: z.enum(["running", "parked", "done", "failed", "canceled"]).optional(),
})
const questionsSchema = z.object({ state: z.enum(["open", "answered", "expired", "canceled"]).optional() })

export function createGateway(ports: GatewayPorts): Hono {
  const { service } = ports
  const app = new Hono()
  app.onError((error) => problem(error, ports))
  app.notFound((context) => problem(new AppError("not-found", { path: context.req.path }), ports))

  app.get("/healthz", (context) => context.text("ok"))
  app.get("/v1/status", async (context) => context.json(await service.status()))
  app.post("/v1/shutdown", (context) => {
    ports.shutdown()
    return context.json({ accepted: true }, 202)
  })

  app.post("/v1/runs", async (context) => context.json(await service.startRun(await body(context.req.raw, newRunSchema), "cli"), 202))
  app.get("/v1/runs", async (context) => {
    const { limit, state } = parse(context.req.query(), listSchema)
    return context.json(await service.runs({ limit, ...(state && { state }) }))
  })
  app.get("/v1/runs/:run", async (context) => context.json(await service.run(context.req.param("run"))))
  app.post("/v1/runs/:run/stop", async (context) => {
    const { reason } = await body(context.req.raw, stopSchema)
    return context.json(await service.stop(context.req.param("run"), reason), 202)
  })

  app.get("/v1/questions", async (context) => {
    const { state } = parse(context.req.query(), questionsSchema)
    return context.json(await service.questions(state ? { state } : {}))
  })
  app.post("/v1/questions/:token/answer", async (context) =>
    context.json(await service.answer(context.req.param("token"), await body(context.req.raw, answerSchema))),
  )

  app.get("/v1/sessions/:session/events", (context) =>
    streamSSE(context, async (stream) => {
      const after = context.req.header("last-event-id") ?? context.req.query("after")
      const gone = new AbortController()
      stream.onAbort(() => gone.abort())
      const query = { session: context.req.param("session"), ...(after !== undefined && { after: cursor(after) }) }
      for await (const item of service.stream(query, gone.signal)) {
        if (item.kind === "event") await stream.writeSSE({ event: "event", id: item.event.cursor, data: JSON.stringify(item.event) })
        else await stream.writeSSE({ event: "live", data: JSON.stringify(item.delta) })
      }
    }),
  )
  return app
}

/** A cursor comes from us; anything else would silently start somewhere. */
function cursor(text: string): string {
  if (!/^\d{1,16}$/.test(text)) throw new AppError("request-invalid", { detail: "unknown cursor" })
  return text
}

async function body<T>(request: Request, schema: z.ZodType<T>): Promise<T> {
  const length = Number(request.headers.get("content-length") ?? 0)
  if (length > maxRequestBytes) throw new AppError("task-too-long", { bytes: length, maxBytes: maxTaskBytes })
  const text = await request.text()
  if (text.length > maxRequestBytes) throw new AppError("task-too-long", { bytes: text.length, maxBytes: maxTaskBytes })
  let value: unknown
  try {
    value = text === "" ? {} : JSON.parse(text)
  } catch (cause) {
    throw new AppError("request-invalid", { detail: messageOf(cause) }, { cause })
  }
  return parse(value, schema)
}

function parse<T>(value: unknown, schema: z.ZodType<T>): T {
  const parsed = schema.safeParse(value)
  if (!parsed.success) throw new AppError("request-invalid", { detail: z.prettifyError(parsed.error) })
  return parsed.data
}

const statuses: Partial<Record<ErrorCode, 400 | 404 | 409 | 413 | 503 | 507>> = {
  "run-unknown": 404,
  "approval-unknown": 404,
  "not-found": 404,
  "run-ended": 409,
  "approval-answered": 409,
  "approval-expired": 409,
  "task-too-long": 413,
  "disk-full": 507,
  "engine-closed": 503,
  "state-locked": 503,
}
const callersFault = /^(task|workspace|option|request)-/

function problem(error: unknown, ports: GatewayPorts): Response {
  const known = isAppError(error) ? error : new AppError("internal", { detail: messageOf(error) }, { cause: error })
  const status = statuses[known.code] ?? (callersFault.test(known.code) ? 400 : 500)
  if (status === 500) ports.onError(error)
  const answer: Problem = { type: "about:blank", title: known.code, status, code: known.code, params: known.params }
  return new Response(JSON.stringify(answer), { status, headers: { "content-type": "application/problem+json" } })
}
