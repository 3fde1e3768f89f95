// A host: takes the lock of its state folder, opens the app and listens on a socket that only its user can reach. The first
// line on standard output says that it is ready, or why it is not.
import { chmodSync, lstatSync, mkdirSync, rmSync } from "node:fs"
import { dirname } from "node:path"
import { createAdaptorServer } from "@hono/node-server"
import { systemClock } from "./base/clock.ts"
import { AppError, isAppError, messageOf } from "./base/error.ts"
import { openApp, packageVersion } from "./app/app.ts"
import { type Config, type Environment, readConfig } from "./app/config.ts"
import { lockHome } from "./app/host-lock.ts"
import { createGateway } from "./gateway/gateway.ts"

export interface ServeOptions {
  readonly env: Environment
  /** Where to listen. */
  readonly socketPath: string
  /** One line of JSON. */
  readonly say: (line: string) => void
  readonly log: (line: string) => void
}

/** Resolves with the exit code once the host has ended. */
export async function serve(options: ServeOptions): Promise<number> {
  try {
    const config = readConfig(options.env)
    const lock = lockHome(config.home, process.pid)
    try {
      await run(config, options)
    } finally {
      lock.release()
    }
    return 0
  } catch (error) {
    const known = isAppError(error) ? error : new AppError("host-failed", { detail: messageOf(error) })
    options.say(JSON.stringify({ code: known.code, params: known.params }))
    options.log(`host: ${messageOf(error)}`)
    return 1
  }
}

async function run(config: Config, { socketPath, say, log }: ServeOptions): Promise<void> {
  const version = packageVersion()
  const app = await openApp(config, version, log)
  const stop = new AbortController()
  const activity = { open: 0, lastAt: systemClock.monotonic() }
  const gateway = createGateway({ service: app.service, version, shutdown: () => stop.abort(), onError: (error) => log(messageOf(error)) })
  const server = createAdaptorServer({ fetch: gateway.fetch })
  server.on("connection", (socket) => {
    activity.open++
    socket.on("close", () => {
      activity.open--
      activity.lastAt = systemClock.monotonic()
    })
  })
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.once(signal, () => stop.abort())
  try {
    prepareSocket(socketPath)
    await new Promise<void>((resolve, reject) => {
      server.on("error", reject)
      server.listen(socketPath, resolve)
    })
    if (process.platform !== "win32") chmodSync(socketPath, 0o600)
    say(JSON.stringify({ ready: true, pid: process.pid }))
    await untilIdle(config, app, activity, stop.signal)
  } finally {
    server.close()
    if ("closeAllConnections" in server) server.closeAllConnections()
    await app.close()
  }
}

/** A socket that a dead host left is in the way; the lock has just proved that it is dead. */
function prepareSocket(path: string): void {
  if (process.platform === "win32") return
  const folder = dirname(path)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const found = lstatSync(folder)
  if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & 0o022) !== 0) {
    throw new AppError("state-unreadable", { path: folder, detail: "not a folder of this user alone" })
  }
  rmSync(path, { force: true })
}

const idleLookMs = 1_000

async function untilIdle(config: Config, app: Awaited<ReturnType<typeof openApp>>, activity: { open: number; lastAt: number }, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await systemClock.sleep(idleLookMs, signal)
    const quietMs = systemClock.monotonic() - activity.lastAt
    if (activity.open === 0 && quietMs > config.idleMs && (await app.idle())) return
  }
}

