// The scripted server as its clients see it.
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test, type TestContext } from "node:test"
import { z } from "zod"
import { type ScriptedServer, type ScriptedServerOptions, startScriptedServer } from "./scripted-server.ts"
import { isRecord } from "./scripted-server/asked.ts"

const called = z.object({
  id: z.string(),
  type: z.string(),
  function: z.object({ name: z.string(), arguments: z.string() }),
})
const completionSchema = z.object({
  choices: z.tuple([
    z.object({
      message: z.object({ content: z.string().nullable(), tool_calls: z.array(called).optional() }),
      finish_reason: z.string(),
    }),
  ]),
  usage: z.object({ prompt_tokens: z.number(), prompt_tokens_details: z.object({ cached_tokens: z.number() }) }),
})
const responseSchema = z.object({
  id: z.string(),
  status: z.string(),
  output: z.array(z.looseObject({ type: z.string(), content: z.array(z.object({ text: z.string() })).optional() })),
  usage: z.object({ input_tokens: z.number() }),
})

const script = {
  scenarios: [
    { name: "by-model", model: "cheap", turns: [{ text: "cheap one" }] },
    {
      name: "by-text",
      match: "sort my files",
      turns: [
        { text: "first", calls: [{ tool: ["exec", "run"], input: { command: "ls" } }] },
        { when: "no such file", text: "I see" },
        { text: "second" },
      ],
      end: { text: "over" },
    },
    { name: "since-user", match: "each task", count: "after-last-user", turns: [{ text: "again" }] },
  ],
}
const user = (content: string) => ({ role: "user", content })
const assistant = { role: "assistant", content: "x" }

async function start(t: TestContext, options: ScriptedServerOptions = {}): Promise<ScriptedServer> {
  const server = await startScriptedServer({ script, ...options })
  t.after(() => server.close())
  return server
}

async function post(server: ScriptedServer, path: string, body: unknown): Promise<Response> {
  const text = typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body)
  return await fetch(server.url + path, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer sk-1" },
    body: text,
  })
}

async function complete(server: ScriptedServer, body: object): Promise<z.infer<typeof completionSchema>> {
  return completionSchema.parse(await (await post(server, "/chat/completions", { model: "m", ...body })).json())
}

async function respond(server: ScriptedServer, body: object): Promise<z.infer<typeof responseSchema>> {
  return responseSchema.parse(await (await post(server, "/responses", { model: "m", ...body })).json())
}

async function said(
  server: ScriptedServer,
  messages: readonly unknown[],
  rest: Record<string, unknown> = {},
): Promise<unknown> {
  return (await complete(server, { messages, ...rest })).choices[0].message.content
}

/** The data of an event stream, parsed, without the mark of the end; the names of events must agree with their data. */
async function eventsOf(response: Response): Promise<Readonly<Record<string, unknown>>[]> {
  assert.equal(response.headers.get("content-type"), "text/event-stream")
  const blocks = (await response.text()).split("\n\n").filter((block) => block !== "")
  return blocks.flatMap((block) => {
    const [, name] = /^event: (.*)$/m.exec(block) ?? []
    const [, data = ""] = /^data: (.*)$/m.exec(block) ?? []
    if (data === "[DONE]") return []
    const value: unknown = JSON.parse(data)
    assert.ok(isRecord(value))
    if (name !== undefined) assert.equal(value["type"], name)
    return [value]
  })
}

test("the turn follows from the request: a scenario by model or by text, a turn by count or by rule", async (t) => {
  const server = await start(t)
  const task = user("please sort my files")
  assert.equal(await said(server, [task], { model: "cheap" }), "cheap one")
  assert.equal(await said(server, [task]), "first")
  assert.equal(await said(server, [task, assistant]), "second")
  assert.equal(await said(server, [task, assistant, user("and?"), assistant]), "over")
  assert.equal(await said(server, [task, { role: "tool", content: "ls: no such file" }]), "I see")
  assert.equal(await said(server, [user("each task"), assistant, user("each task")]), "again")
  assert.match(String(await said(server, [user("something else")])), /^No scenario for model "m": 0 turns so far/)
})

test("of several names for a tool the one that the client declares is called", async (t) => {
  const server = await start(t)
  const ask = async (tools: unknown) =>
    (await complete(server, { messages: [user("sort my files")], tools })).choices[0]
  const declared = await ask([{ type: "function", function: { name: "run" } }])
  assert.deepEqual(declared.message.tool_calls, [
    { id: "call_0_0", type: "function", function: { name: "run", arguments: '{"command":"ls"}' } },
  ])
  assert.equal(declared.finish_reason, "tool_calls")
  assert.equal((await ask(undefined)).message.tool_calls?.[0]?.function.name, "exec")
})

test("a stream of chat completions brings the arguments of calls in fragments and usage last, if asked for", async (t) => {
  const server = await start(t)
  const ask = async (rest: object) =>
    await eventsOf(
      await post(server, "/chat/completions", { model: "m", messages: [user("sort my files")], stream: true, ...rest }),
    )
  const chunks = await ask({ stream_options: { include_usage: true } })
  const deltas = chunks
    .flatMap((chunk) => (Array.isArray(chunk["choices"]) ? chunk["choices"] : []))
    .map((choice) => choice.delta)
  const fragments = deltas.flatMap((delta) => delta.tool_calls ?? []).map((call) => call.function.arguments)
  assert.ok(fragments.length > 2)
  assert.equal(fragments.join(""), '{"command":"ls"}')
  const last = chunks.at(-1)
  assert.deepEqual(last?.["choices"], [])
  assert.ok(isRecord(last?.["usage"]) && isRecord(last["usage"]["prompt_tokens_details"]))
  assert.ok((await ask({})).every((chunk) => !("usage" in chunk)))
})

test("what a request begins with like the one before counts as cached", async (t) => {
  const server = await start(t)
  const usage = async (messages: readonly unknown[]) => (await complete(server, { messages })).usage
  const long = user(`sort my files ${"x".repeat(8000)}`)
  assert.equal((await usage([long])).prompt_tokens_details.cached_tokens, 0)
  const next = await usage([long, assistant, user("more")])
  assert.ok(next.prompt_tokens > 2000 && next.prompt_tokens_details.cached_tokens === 1920, JSON.stringify(next))
})

test("a stream of the responses API has its events in the order of the API, numbered, and ends with the whole", async (t) => {
  const server = await start(t, {
    script: { turns: [{ reasoning: "hm", text: "hello", calls: [{ tool: "run", input: {} }] }] },
  })
  const events = await eventsOf(await post(server, "/responses", { model: "m", input: "hi", stream: true }))
  const types = events.map((event) => String(event["type"]).replace("response.", ""))
  assert.deepEqual(
    types.filter((type, at) => type !== types[at - 1]),
    [
      "created",
      "in_progress",
      "output_item.added",
      "reasoning_summary_part.added",
      "reasoning_summary_text.delta",
      "reasoning_summary_text.done",
      "reasoning_summary_part.done",
      "output_item.done",
      "output_item.added",
      "content_part.added",
      "output_text.delta",
      "output_text.done",
      "content_part.done",
      "output_item.done",
      "output_item.added",
      "function_call_arguments.delta",
      "function_call_arguments.done",
      "output_item.done",
      "completed",
    ],
  )
  assert.deepEqual(
    events.map((event) => event["sequence_number"]),
    events.map((_event, at) => at),
  )
  const whole = await respond(server, { input: "hi" })
  assert.deepEqual(
    whole.output.map((item) => item.type),
    ["reasoning", "message", "function_call"],
  )
  assert.equal(whole.status, "completed")
  assert.ok(whole.usage.input_tokens > 0)
})

test("the turns of the responses API are counted over items and over the response before", async (t) => {
  const server = await start(t, {
    script: { turns: [{ text: "one", calls: [{ tool: "run" }] }, { text: "two" }, { text: "three" }] },
  })
  const ask = async (body: object) => await respond(server, body)
  const text = (response: z.infer<typeof responseSchema>) =>
    response.output
      .flatMap((item) => item.content ?? [])
      .map((part) => part.text)
      .join("")
  const first = await ask({ input: [user("go")] })
  assert.equal(text(first), "one")
  const output = { type: "function_call_output", call_id: "call_0_0", output: "ok" }
  assert.equal(text(await ask({ input: [user("go"), ...first.output, output] })), "two")
  const second = await ask({ previous_response_id: first.id, input: [output] })
  assert.equal(text(second), "two")
  assert.equal(text(await ask({ previous_response_id: second.id, input: "on" })), "three")
})

test("models are listed, everything else is a JSON error", async (t) => {
  const server = await start(t)
  const models = z
    .object({ data: z.array(z.object({ id: z.string() })) })
    .parse(await (await fetch(`${server.url}/models`)).json())
  assert.deepEqual(
    models.data.map((model) => model.id),
    ["scripted", "cheap"],
  )
  const missing = await fetch(`${server.url}/embeddings`)
  assert.equal(missing.status, 404)
  z.object({ error: z.object({ message: z.string() }) }).parse(await missing.json())
  const wrong = await fetch(`${server.url}/chat/completions`)
  assert.deepEqual([wrong.status, wrong.headers.get("allow")], [405, "POST"])
  assert.equal((await post(server, "/chat/completions", "{")).status, 400)
})

test("a fault is chosen by header, by the name of the model, or by turn", async (t) => {
  const server = await start(t, { script: { turns: [{ text: "x", fault: "overload" }] } })
  const ask = async (model: string, headers: Record<string, string>) =>
    (
      await fetch(`${server.url}/chat/completions`, {
        method: "POST",
        headers,
        body: JSON.stringify({ model, messages: [] }),
      })
    ).status
  assert.equal(await ask("m", { "x-scripted-fault": "rate" }), 429)
  assert.equal(await ask("fault-unauthorized", {}), 401)
  assert.equal(await ask("m", {}), 529)
})

test("a hundred clients at once each get their own conversation, and every request is in the file", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "scripted-"))
  t.after(() => rmSync(folder, { recursive: true }))
  const logFile = join(folder, "log.jsonl")
  const server = await start(t, { logFile, script: { turns: [{ text: "a" }, { text: "b" }, { text: "c" }] } })
  await Promise.all(
    Array.from({ length: 100 }, async (_client, number) => {
      const messages: unknown[] = [user(`client ${number}`)]
      for (const expected of ["a", "b", "c"]) {
        assert.equal(await said(server, messages), expected)
        messages.push({ role: "assistant", content: expected })
      }
    }),
  )
  assert.equal(readFileSync(logFile, "utf8").trim().split("\n").length, 300)
})

test("from the shell it prints its URL, follows the script and logs bodies byte for byte without keys", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "scripted-"))
  t.after(() => rmSync(folder, { recursive: true }))
  const [scriptFile, logFile] = [join(folder, "script.json"), join(folder, "log.jsonl")]
  writeFileSync(scriptFile, JSON.stringify({ turns: [{ text: "from a file" }] }))
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, "scripted-server.ts"), "--script", scriptFile, "--port", "0", "--log", logFile],
    { stdio: ["ignore", "pipe", "inherit"] },
  )
  t.after(() => child.kill("SIGKILL"))
  const url = await new Promise<string>((resolve) =>
    child.stdout.once("data", (data: Buffer) => resolve(data.toString().trim())),
  )
  const body = '{ "model":"m",\n "messages":[{"role":"user","content":"é \\u00e9"}] }'
  const headers = { authorization: "Bearer sk-1", "x-api-key": "sk-1" }
  const answer = completionSchema.parse(
    await (await fetch(`${url}/chat/completions`, { method: "POST", headers, body })).json(),
  )
  assert.equal(answer.choices[0].message.content, "from a file")
  await fetch(`${url}/chat/completions`, { method: "POST", headers, body: new Uint8Array([123, 255, 125]) })
  const log = readFileSync(logFile, "utf8")
  const [first, second] = log
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
  assert.equal(first.body, body)
  assert.deepEqual([second.encoding, second.body], ["base64", Buffer.from([123, 255, 125]).toString("base64")])
  assert.ok(!log.includes("sk-1"))
  const ended = new Promise((resolve) => child.once("exit", resolve))
  child.kill("SIGTERM")
  assert.equal(await ended, 0)
})
