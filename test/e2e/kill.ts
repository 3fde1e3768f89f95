// The kill test: one run whose host is ended with `kill -9` inside every step and at every step boundary, beside the same
// run undisturbed. Nothing may be lost, nothing repeated, and the files must be the same.
import assert from "node:assert/strict"
import { randomUUID } from "node:crypto"
import type { JournalEvent } from "../../src/protocol/event.ts"
import { follow } from "../../src/cli/follow.ts"
import type { Script } from "../../bench/scripted-server/script.ts"
import { install, type Installation, treeOf } from "./harness.ts"

/** Commands whose repetition would be seen: they append, move, count and delete. */
function commandsOf(steps: number): readonly string[] {
  return Array.from({ length: steps }, (_, i) => {
    const n = i + 1
    switch (i % 5) {
      case 0:
        return `echo line ${n} >> journal.txt; sleep 0.05; echo end ${n} >> journal.txt`
      case 1:
        return `mkdir -p d && cat journal.txt >> d/all-${n}.txt && sleep 0.03 && mv d/all-${n}.txt d/kept-${n}.txt`
      case 2:
        return `count=$(cat count 2>/dev/null || echo 0); sleep 0.03; echo $((count + 1)) > count`
      case 3:
        return `ln -sf journal.txt link-${n}; rm -rf d; mkdir d; echo ${n} > d/new; sleep 0.03; chmod 700 d`
      default:
        return `wc -l < journal.txt >> lines.txt; sleep 0.03; test -e link-${n - 1} && rm link-${n - 1}; echo ${n} >> removed.txt`
    }
  })
}

export function scriptOf(steps: number): Script {
  const turns = commandsOf(steps).map((command) => ({ text: `step`, calls: [{ tool: "run", input: { command } }] }))
  return { scenarios: [{ name: "kill", turns: [...turns, { text: "all done" }] }] }
}

export interface KillReport {
  readonly kills: number
  readonly steps: number
  /** Steps without exactly one result, calls without effect. */
  readonly lost: number
  /** Results that stand twice in the journal. */
  readonly repeated: number
  /** Steps that had more than one attempt. */
  readonly again: number
}

export interface KillOptions {
  readonly steps: number
  /** Which events bring death; called once for each event of the run. */
  readonly killAt: (event: JournalEvent) => boolean
  /** What else dies with the host. */
  readonly alsoKill?: (installation: Installation) => void
}

export async function killTest({ steps, killAt, alsoKill }: KillOptions): Promise<KillReport> {
  await using calm = await install(scriptOf(steps))
  await runTask(calm, () => false, undefined)
  await using shaken = await install(scriptOf(steps))
  const { events, kills } = await runTask(shaken, killAt, alsoKill)

  assert.deepEqual(treeOf(shaken.workspace), treeOf(calm.workspace), "the files differ from those of the undisturbed run")
  const finished = events.filter(({ kind }) => kind === "step-finished")
  const keys = finished.map(({ key }) => key)
  const started = new Map<string, number>()
  for (const { kind, key } of events) {
    if (kind !== "step-started") continue
    const step = key.slice(0, key.lastIndexOf("#"))
    started.set(step, (started.get(step) ?? 0) + 1)
  }
  const failed = finished.filter(({ data }) => data?.kind === "step-finished" && data.outcome !== "done")
  return {
    kills,
    steps: keys.length,
    lost: steps * 2 + 1 - new Set(keys).size + failed.length,
    repeated: keys.length - new Set(keys).size,
    again: [...started.values()].filter((times) => times > 1).length,
  }
}

async function runTask(
  installation: Installation,
  killAt: KillOptions["killAt"],
  alsoKill: KillOptions["alsoKill"],
): Promise<{ events: readonly JournalEvent[]; kills: number }> {
  const client = await installation.connect()
  const { CHELA_BASE_URL: baseUrl = "", CHELA_MODEL: model = "" } = installation.env
  const followed = await client.startRun({
    idem: randomUUID(),
    parts: [{ kind: "text", text: "work" }],
    workspace: installation.workspace,
    route: { kind: "endpoint", baseUrl, model, price: { input: 0, output: 0 } },
  })
  let pid = (await client.status()).pid
  let kills = 0
  const connect = async (): ReturnType<typeof installation.connect> => {
    const found = await installation.connect()
    pid = (await found.status()).pid
    return found
  }
  const watcher = {
    event(event: JournalEvent) {
      if (!killAt(event)) return
      kills++
      installation.kill(pid)
      alsoKill?.(installation)
    },
    live: () => {},
    reconnecting: () => {},
  }
  const end = await follow({ connect, followed, watcher, signal: AbortSignal.timeout(30 * 60_000) })
  assert.equal(end.kind, "ended")
  const { events, state } = await (await installation.connect()).run(followed.run)
  assert.equal(state, "done")
  return { events, kills }
}
