// Server-sent events as an async iterable; only what the gateway sends is understood (`event`, `id`, `data`).

export interface ServerEvent {
  readonly event: string
  readonly id: string | null
  readonly data: string
}

/** Ends when the stream ends; rejects when it breaks. */
export async function* serverEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  const decoder = new TextDecoder()
  let rest = ""
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true })
    const blocks = rest.split("\n\n")
    rest = blocks.pop() ?? ""
    for (const block of blocks) yield parseBlock(block)
  }
}

function parseBlock(block: string): ServerEvent {
  let event = "message"
  let id: string | null = null
  const data: string[] = []
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":")
    const field = line.slice(0, colon)
    const value = line.slice(colon + 1).replace(/^ /, "")
    if (field === "event") event = value
    if (field === "id") id = value
    if (field === "data") data.push(value)
  }
  return { event, id, data: data.join("\n") }
}
