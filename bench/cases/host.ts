// A warm host with a real endpoint and real sandboxed commands: from a task accepted to the request at the model, two-step
// turns a second for 1 and 100 sessions, and memory idle and after 1,000 runs.
import { randomUUID } from "node:crypto"
import type { Script } from "../scripted-server/script.ts"
import type { Client } from "../../src/client/client.ts"
import { follow } from "../../src/cli/follow.ts"
import { install, type Installation, until } from "../../test/e2e/harness.ts"
import { type Case, type Figure, quantile, timed } from "../figure.ts"
import { pssOfTree } from "../processes.ts"

const turn: Script = {
  scenarios: [{ name: "turn", turns: [{ calls: [{ tool: "run", input: { command: "true" } }] }, { text: "done" }] }],
}
const megabyte = 1024 * 1024

export const host: Case = async () => {
  await using installation = await install(turn)
  const healthy = await timed(() => installation.connect())
  const client = await installation.connect()
  const { pid } = await client.status()
  await turns(installation, client, 1, 20)
  const idle = pssOfTree(pid)
  const latencies = await acceptedToRequest(installation, client, 200)
  const one = await turns(installation, client, 1, 100)
  const hundred = await turns(installation, client, 100, 800)
  await until("the host is quiet", async () => (await client.status()).busy === 0)
  const after = pssOfTree(pid)
  return [
    { what: "host started and healthy", value: healthy, unit: "ms", goal: "≤ 1,000 ms", beside: "OpenClaw 11,000 ms" },
    { what: "task accepted → model request, p50", value: quantile(latencies, 0.5), unit: "ms", goal: "≤ 15 ms", beside: "OpenClaw 183 ms" },
    { what: "task accepted → model request, p95", value: quantile(latencies, 0.95), unit: "ms" },
    { what: "two-step turns, 1 session", value: one.perSecond, unit: "turns/s", goal: "≥ 30", beside: "one sandboxed command each; OpenClaw 3.5" },
    { what: "two-step turns, 100 sessions", value: hundred.perSecond, unit: "turns/s", goal: "≥ 100", beside: "OpenClaw 3.5" },
    { what: "turn at 100 sessions, p95", value: hundred.p95, unit: "ms", goal: "< 1,500 ms", beside: "OpenClaw 27,700 ms" },
    { what: "PSS of the host, warm and idle", value: idle / megabyte, unit: "MB", goal: "≤ 100 MB", beside: "OpenClaw 985 MB" },
    { what: "PSS of the host after 1,000 runs", value: after / megabyte, unit: "MB", goal: "< 250 MB", beside: `${((after - idle) / 1000 / 1024).toFixed(1)} kB a run` },
  ] satisfies readonly Figure[]
}

function task(installation: Installation) {
  const { CHELA_BASE_URL: baseUrl = "", CHELA_MODEL: model = "" } = installation.env
  const route = { kind: "endpoint", baseUrl, model, price: { input: 0, output: 0 } } as const
  return { idem: randomUUID(), parts: [{ kind: "text" as const, text: "work" }], workspace: installation.workspace, route }
}

async function acceptedToRequest(installation: Installation, client: Client, rounds: number): Promise<readonly number[]> {
  const latencies: number[] = []
  for (let i = 0; i < rounds; i++) {
    const before = installation.server.requests.length
    const started = await client.startRun(task(installation))
    const accepted = performance.now()
    await finish(client, started)
    const request = installation.server.requests[before]
    // The request may be on its way before the answer to the task is back.
    if (request) latencies.push(Math.max(0, request.monotonic - accepted))
  }
  return latencies
}

async function turns(installation: Installation, client: Client, atOnce: number, total: number): Promise<{ perSecond: number; p95: number }> {
  const durations: number[] = []
  let left = total
  const one = async (): Promise<void> => {
    while (left-- > 0) durations.push(await timed(async () => finish(client, await client.startRun(task(installation)))))
  }
  const took = await timed(() => Promise.all(Array.from({ length: atOnce }, one)))
  return { perSecond: total / (took / 1000), p95: quantile(durations, 0.95) }
}

async function finish(client: Client, followed: { session: string; run: string }): Promise<void> {
  const abort = new AbortController()
  const watcher = { event: () => {}, live: () => {}, reconnecting: () => {} }
  const end = await follow({ connect: async () => client, followed, watcher, signal: abort.signal })
  if (end.kind !== "ended" || end.event.data?.kind !== "run-ended" || end.event.data.outcome !== "done") throw new Error(JSON.stringify(end))
}
