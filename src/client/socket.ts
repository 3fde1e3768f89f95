// `fetch` over a unix socket (a named pipe on Windows): the transport between the command line and its host.
import { request } from "node:http"
import { Readable } from "node:stream"

export type Fetch = (path: string, init?: FetchInit) => Promise<Response>

export interface FetchInit {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal?: AbortSignal
}

/** Rejects with Node's own error (`ENOENT`, `ECONNREFUSED`, `ECONNRESET`, …) if nobody answers. */
export function fetchOverSocket(socketPath: string): Fetch {
  return (path, init = {}) =>
    new Promise((resolve, reject) => {
      const { method = "GET", headers = {}, body, signal } = init
      const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) }
      const sent = request({ socketPath, path, method, headers: { host: "chela", ...headers, ...length }, ...(signal && { signal }) }, (answer) => {
        const stream = Readable.toWeb(answer) as ReadableStream<Uint8Array>
        const received = new Headers()
        for (const [name, value] of Object.entries(answer.headers)) if (typeof value === "string") received.set(name, value)
        resolve(new Response(stream, { status: answer.statusCode ?? 500, headers: received }))
      })
      sent.on("error", reject)
      sent.end(body)
    })
}
