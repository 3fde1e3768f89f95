// What commands are given, made from a process: the only file of the command line that touches streams and signals.
import { createInterface } from "node:readline/promises"
import { homedir } from "node:os"
import { join, resolve } from "node:path"
import type { ReadStream, WriteStream } from "node:tty"
import { type Client } from "../client/client.ts"
import { findHost, findOrStartHost } from "../client/host.ts"
import type { Text } from "../text/text.ts"
import type { CliContext } from "./command.ts"

export interface ProcessLike {
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdin: ReadStream | NodeJS.ReadStream
  readonly stdout: WriteStream | NodeJS.WriteStream
  readonly stderr: WriteStream | NodeJS.WriteStream
  cwd(): string
  once(signal: "SIGINT", listener: () => void): unknown
  exit(code: number): never
}

export interface ContextOptions {
  readonly process: ProcessLike
  readonly version: string
  readonly hostCommand: readonly [string, ...string[]]
  readonly t: Text
  readonly lang: "en" | "zh"
  readonly json: boolean
}

export function createContext({ process, version, hostCommand, t, lang, json }: ContextOptions): CliContext {
  const { env, stdin, stdout, stderr } = process
  const home = homeOf(env)
  const interactive = stdout.isTTY === true && stdin.isTTY === true
  const interrupted = new AbortController()
  // The second Ctrl-C leaves at once; the run goes on being stopped by its host.
  process.once("SIGINT", () => {
    interrupted.abort()
    process.once("SIGINT", () => process.exit(130))
  })
  return {
    t,
    lang,
    env,
    home,
    version,
    json,
    interactive,
    cwd: process.cwd(),
    columns: stdout.columns || 100,
    colors: stdout.isTTY === true && !env["NO_COLOR"],
    print: (line) => void stdout.write(`${line}\n`),
    write: (text) => void stdout.write(text),
    warn: (line) => void stderr.write(`${line}\n`),
    ask: (question, signal) => ask(process, question, signal),
    readInput: (waitMs) => readAll(stdin, waitMs),
    connect: (other) => findOrStartHost({ home: other ?? home, command: hostCommand, env, version }),
    find: (): Promise<Client | null> => findHost({ home }),
    interrupted: interrupted.signal,
  }
}

/** `CHELA_HOME`, else `~/.chela`. */
export function homeOf(env: Readonly<Record<string, string | undefined>>): string {
  return resolve(env["CHELA_HOME"] || join(homedir(), ".chela"))
}

async function ask(process: ProcessLike, question: string, signal: AbortSignal): Promise<string | null> {
  const lines = createInterface({ input: process.stdin, output: process.stdout })
  try {
    return await lines.question(question, { signal })
  } catch {
    return null
  } finally {
    lines.close()
  }
}

/** Empty for a terminal. Null: nothing came within `waitMs` from a pipe that somebody left open. */
async function readAll(stdin: ProcessLike["stdin"], waitMs: number | null): Promise<Uint8Array | null> {
  if (stdin.isTTY) return new Uint8Array()
  const first = new Promise<void>((resolve) => {
    for (const event of ["readable", "end", "error", "close"] as const) stdin.once(event, resolve)
  })
  if (waitMs !== null) {
    const timedOut = new AbortController()
    const timer = setTimeout(() => timedOut.abort(), waitMs)
    await Promise.race([first, new Promise<void>((resolve) => timedOut.signal.addEventListener("abort", () => resolve(), { once: true }))])
    clearTimeout(timer)
    if (timedOut.signal.aborted) {
      stdin.destroy()
      return null
    }
  }
  const chunks: Buffer[] = []
  for await (const chunk of stdin) chunks.push(Buffer.from(chunk as Uint8Array))
  return Buffer.concat(chunks)
}
