// The configuration: environment and config.json, read once at start and here only. An unknown key is a warning with a
// suggestion, never a refusal: an update must not keep anybody's agent from starting.
import { readFileSync } from "node:fs"
import { homedir } from "node:os"
import { join, resolve } from "node:path"
import { z } from "zod"
import { AppError, messageOf } from "../base/error.ts"
import { nearest } from "../base/nearest.ts"
import { defaultLimits, type Limits } from "../kernel/budget.ts"
import type { CodedText } from "../protocol/api.ts"
import { parsePrice } from "../protocol/price.ts"
import type { Route } from "../protocol/task.ts"

export type Environment = Readonly<Record<string, string | undefined>>

export interface Config {
  /** The state folder. */
  readonly home: string
  readonly route: Route | null
  readonly apiKey: string | null
  readonly limits: Limits
  /** IANA zone of the agent. */
  readonly zone: string
  /** Milliseconds without client and work after which a host that was started on demand ends. */
  readonly idleMs: number
  /** Sessions that are worked on at once. */
  readonly concurrency: number
  /** Who started the program through sudo, so that commands run as that person. */
  readonly invokingUser: { readonly uid: number; readonly gid: number } | null
  readonly warnings: readonly CodedText[]
}

const fileSchema = z.object({
  baseUrl: z.url().optional(),
  model: z.string().min(1).optional(),
  price: z.string().optional(),
  runTokens: z.number().int().nonnegative().optional(),
  runDollars: z.number().nonnegative().optional(),
  dayDollars: z.number().nonnegative().optional(),
  zone: z.string().optional(),
  idleSeconds: z.number().positive().optional(),
  concurrency: z.number().int().positive().max(1000).optional(),
})
type File = z.infer<typeof fileSchema>

/** Throws `config-unreadable` if the file is there and cannot be used, `option-invalid` for an environment that cannot be meant. */
export function readConfig(env: Environment): Config {
  const home = homeOf(env)
  const { values, warnings } = readFile(join(home, "config.json"))
  const price = parsePrice(env["CHELA_PRICE"] ?? values.price)
  const baseUrl = env["CHELA_BASE_URL"] ?? values.baseUrl
  const model = env["CHELA_MODEL"] ?? values.model
  return {
    home,
    route: baseUrl !== undefined && model !== undefined ? { kind: "endpoint", baseUrl, model, price } : null,
    apiKey: env["CHELA_API_KEY"] ?? null,
    limits: limitsOf(values),
    zone: zoneOf(env["TZ"] ?? values.zone),
    idleMs: (values.idleSeconds ?? 60) * 1000,
    concurrency: values.concurrency ?? 100,
    invokingUser: invokingUser(env),
    warnings,
  }
}

/** `CHELA_HOME`, else `~/.chela`. */
export function homeOf(env: Environment): string {
  return resolve(env["CHELA_HOME"] || join(homedir(), ".chela"))
}

function readFile(path: string): { values: File; warnings: readonly CodedText[] } {
  let text: string
  try {
    text = readFileSync(path, "utf8")
  } catch {
    return { values: {}, warnings: [] }
  }
  const found = parseObject(text, path)
  const known = Object.keys(fileSchema.shape)
  const warnings = Object.keys(found)
    .filter((key) => !known.includes(key))
    .map((key): CodedText => ({ code: "config-key-unknown", params: { path, key, suggestion: nearest(key, known) ?? "" } }))
  const parsed = fileSchema.safeParse(found)
  if (parsed.success) return { values: parsed.data, warnings }
  const [issue] = parsed.error.issues
  const key = String(issue?.path[0] ?? "")
  throw new AppError("config-unreadable", { path, line: lineOf(text, key), detail: `${key}: ${issue?.message ?? ""}` })
}

function parseObject(text: string, path: string): Record<string, unknown> {
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(text))
  } catch (cause) {
    throw new AppError("config-unreadable", { path, line: 1, detail: messageOf(cause) }, { cause })
  }
}

function lineOf(text: string, key: string): number {
  const at = text.indexOf(`"${key}"`)
  return at < 0 ? 1 : text.slice(0, at).split("\n").length
}

function limitsOf(values: File): Limits {
  const micros = (dollars: number | undefined, otherwise: number | null): number | null =>
    dollars === undefined ? otherwise : Math.round(dollars * 1_000_000)
  return {
    run: { maxTokens: values.runTokens ?? defaultLimits.run.maxTokens, maxMicros: micros(values.runDollars, defaultLimits.run.maxMicros) },
    day: { maxTokens: null, maxMicros: micros(values.dayDollars, defaultLimits.day.maxMicros) },
  }
}

function zoneOf(wanted: string | undefined): string {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone
  try {
    return wanted ? Intl.DateTimeFormat("en", { timeZone: wanted }).resolvedOptions().timeZone : own
  } catch {
    return own
  }
}

function invokingUser(env: Environment): Config["invokingUser"] {
  const uid = Number(env["SUDO_UID"])
  const gid = Number(env["SUDO_GID"])
  return Number.isInteger(uid) && uid > 0 && Number.isInteger(gid) ? { uid, gid } : null
}
