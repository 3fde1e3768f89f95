// The composition root: the one place that knows every part and hands each what it needs.
import { readFileSync } from "node:fs"
import { homedir } from "node:os"
import { fileURLToPath } from "node:url"
import { systemClock } from "../base/clock.ts"
import { messageOf } from "../base/error.ts"
import { newId, systemRandom } from "../base/id.ts"
import { checkDatabase } from "../engines/sqlite/check.ts"
import { journalPath, openSqliteEngine } from "../engines/sqlite/engine.ts"
import { createIsolator } from "../guard/isolator.ts"
import type { Agent } from "../kernel/agent.ts"
import { Driver } from "../kernel/driver.ts"
import { runAgent } from "../kernel/loop.ts"
import { systemPrompt } from "../kernel/prompt.ts"
import type { HostStatus } from "../protocol/api.ts"
import { runTool } from "../tools/run.ts"
import { checkWorkspace } from "./workspace.ts"
import type { Config } from "./config.ts"
import { LiveBus } from "./live.ts"
import { Models } from "./models.ts"
import { Service } from "./service.ts"

export interface App {
  readonly service: Service
  /** Nothing runs, and no timer is due soon. */
  idle(): Promise<boolean>
  /** Lets what runs stop at its next step and closes everything. Safe to call twice. */
  close(): Promise<void>
}

/** A timer that is due sooner keeps a host alive that nobody is connected to. */
const soonMs = 10 * 60_000

export async function openApp(config: Config, version: string, log: (line: string) => void): Promise<App> {
  const clock = systemClock
  const engine = await openSqliteEngine({ folder: config.home, clock, exclusive: true })
  const isolator = createIsolator({
    stateDir: config.home,
    node: process.execPath,
    supervisorEntry: supervisorEntry(),
    clock,
    invokingUser: config.invokingUser,
  })
  const live = new LiveBus()
  const stopSettling = engine.watch((change) => {
    if (change.kind === "events") live.settle(change.session)
  })
  const models = new Models(config, clock)
  const report = isolator.report(AbortSignal.timeout(60_000))
  const agent = async (): Promise<Agent> => ({
    name: "main",
    zone: config.zone,
    system: systemPrompt,
    limits: config.limits,
    tools: [runTool(isolator, (await report).staging)],
    model: (route) => models.get(route),
    live: (event) => live.publish(event),
  })
  const driver = new Driver({
    ports: { engine, clock, random: systemRandom },
    worker: newId("w", systemRandom),
    concurrency: config.concurrency,
    handle: async (session, poisoned) => runAgent(session, await agent(), poisoned),
    onError: (error, session) => log(`${session ?? "driver"}: ${messageOf(error)}`),
  })
  const closing = new AbortController()
  let journal: HostStatus["journal"] = "checking"
  void checkDatabase(journalPath(config.home), closing.signal).then((checked) => {
    if (!checked) return
    journal = checked.ok ? "ok" : "damaged"
    if (!checked.ok) log(`journal: ${checked.detail}`)
  })
  const startedAt = clock.now()
  const service = new Service({
    engine,
    driver,
    live,
    checkWorkspace: (path) => checkWorkspace(path, { homes: [homedir()], state: config.home }),
    keepKey: (route, apiKey) => models.keepKey(route, apiKey),
    status: async () => ({
      pid: process.pid,
      version,
      home: config.home,
      startedAt,
      model: models.configured(),
      sandbox: await report,
      journal,
    }),
  })
  let closed: Promise<void> | null = null
  return {
    service,
    async idle() {
      const due = await engine.nextDueIn()
      return driver.busy === 0 && (due === null || due > soonMs)
    },
    close() {
      closed ??= (async () => {
        closing.abort()
        stopSettling()
        await driver.close()
        await isolator.close()
        await engine.close()
      })()
      return closed
    },
  }
}

/** Sources run as .ts; the published package is bundled beside the supervisor's own file. */
function supervisorEntry(): string {
  const own = import.meta.url
  return fileURLToPath(own.endsWith(".ts") ? new URL("../guard/supervisor.ts", own) : new URL("./supervisor.js", own))
}

/** The version in package.json, two folders above sources and one above the bundle. */
export function packageVersion(): string {
  const own = import.meta.url
  const path = fileURLToPath(own.endsWith(".ts") ? new URL("../../package.json", own) : new URL("../package.json", own))
  return (JSON.parse(readFileSync(path, "utf8")) as { version: string }).version
}
