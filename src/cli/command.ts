// What a command of the command line is, and what it is given. Commands are data: help, parsing and completion come from
// the same definition; each one's file is loaded only when it is called.
import type { ArgsDef, ParsedArgs } from "citty"
import { AppError } from "../base/error.ts"
import { nearest } from "../base/nearest.ts"
import type { Client } from "../client/client.ts"
import type { ExitCode } from "../protocol/exit.ts"
import type { Text } from "../text/text.ts"

export interface CliContext {
  readonly t: Text
  readonly lang: "en" | "zh"
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  /** The state folder. */
  readonly home: string
  readonly version: string
  /** True if a person reads standard output and can be asked. */
  readonly interactive: boolean
  /** Columns of the terminal. */
  readonly columns: number
  readonly colors: boolean
  readonly json: boolean
  /** Writes a line to standard output. */
  readonly print: (line: string) => void
  /** Writes as it is, without a newline. */
  readonly write: (text: string) => void
  /** Writes a line to standard error. */
  readonly warn: (line: string) => void
  /** Asks on the terminal; null if `signal` is aborted first. */
  readonly ask: (question: string, signal: AbortSignal) => Promise<string | null>
  /** All of standard input; empty for a terminal, null if a pipe stays silent for `waitMs`. */
  readonly readInput: (waitMs: number | null) => Promise<Uint8Array | null>
  /** The host of a state folder (`home` unless told), started if needed. */
  readonly connect: (home?: string) => Promise<Client>
  /** The running host, null if there is none. */
  readonly find: () => Promise<Client | null>
  /** Aborted by the first Ctrl-C. */
  readonly interrupted: AbortSignal
}

export interface Command<A extends ArgsDef = ArgsDef> {
  readonly name: string
  readonly args: A
  run(context: CliContext, args: ParsedArgs<A>): Promise<ExitCode>
}

/** Keeps the types of a command's arguments together. */
export function defineCommand<const A extends ArgsDef>(command: Command<A>): Command {
  // Sound because the arguments are parsed with the definition that stands beside `run`.
  return command as unknown as Command
}

/** Throws `option-invalid` for an option that the command does not have. */
export function requireKnownOptions(command: Command, rawArgs: readonly string[]): void {
  const known = Object.entries(command.args).flatMap(([name, { type, ...rest }]) => {
    const alias = "alias" in rest && rest.alias !== undefined ? [rest.alias].flat() : []
    return type === "positional" ? [] : [name, ...alias]
  })
  const end = rawArgs.indexOf("--")
  for (const raw of end < 0 ? rawArgs : rawArgs.slice(0, end)) {
    const name = /^--?(?:no-)?([A-Za-z][\w-]*)/.exec(raw)?.[1]
    if (name === undefined || known.includes(name)) continue
    throw new AppError("option-invalid", { option: raw, value: "", expected: nearest(name, known) ?? known.map((option) => `--${option}`).join(" ") })
  }
}
