// The command line: finds out which command is meant, loads that one file and turns every failure into a sentence and an exit
// code. Everything it needs of the process comes in as an argument.
import { parseArgs } from "citty"
import { isAppError, messageOf } from "../base/error.ts"
import { nearest } from "../base/nearest.ts"
import { exitCode } from "../protocol/exit.ts"
import { chooseLanguage, createText } from "../text/text.ts"
import { type CliContext, type Command, requireKnownOptions } from "./command.ts"
import { createContext, type ProcessLike } from "./context.ts"
import { commands } from "./list.ts"

export interface MainOptions {
  readonly process: ProcessLike
  readonly version: string
  /** Program and arguments that start a host. */
  readonly hostCommand: readonly [string, ...string[]]
}

/** Resolves with the exit code; never rejects. */
export async function main(options: MainOptions): Promise<number> {
  const { argv, env } = options.process
  const { rest, lang } = takeLanguage(argv.slice(2))
  const t = createText(chooseLanguage(lang, env))
  if (rest[0] === "host") return (await import("./host.ts")).runHost(options.process)
  const context = createContext({ ...options, t, lang: chooseLanguage(lang, env), json: rest.includes("--json") })
  try {
    return await dispatch(context, rest)
  } catch (error) {
    return fail(context, error)
  }
}

async function dispatch(context: CliContext, rest: readonly string[]): Promise<number> {
  const [first] = rest
  if (first === undefined || first === "--help" || first === "-h" || first === "help") {
    const { help } = await import("./help.ts")
    context.print(help(context, rest[1]))
    return exitCode.done
  }
  if (first === "--version" || first === "-v" || first === "version") {
    context.print(context.version)
    return exitCode.done
  }
  const load = commands[first]
  if (load) return execute(context, await load(), rest.slice(1))
  if (isOneWord(rest)) return suggest(context, first)
  return execute(context, await commands["run"]?.(), rest)
}

async function execute(context: CliContext, command: Command | undefined, rawArgs: readonly string[]): Promise<number> {
  if (!command) return exitCode.failed
  if (rawArgs.includes("--help")) {
    const { help } = await import("./help.ts")
    context.print(help(context, command.name))
    return exitCode.done
  }
  requireKnownOptions(command, rawArgs)
  return command.run(context, parseArgs([...rawArgs], command.args))
}

/** A single unknown word is far more often a mistyped command than a task, and a task costs money. */
function isOneWord(rest: readonly string[]): boolean {
  const words = rest.filter((word) => !word.startsWith("-"))
  return words.length === 1 && words[0] !== undefined && /^[\w-]+$/.test(words[0])
}

function suggest(context: CliContext, word: string): number {
  const near = nearest(word, Object.keys(commands))
  context.warn(near ? context.t("command-unknown", { word, suggestion: near }) : context.t("command-unknown-no-idea", { word }))
  return exitCode.usage
}

function fail(context: CliContext, error: unknown): number {
  const code = isAppError(error) ? error.code : "internal"
  const params = isAppError(error) ? error.params : { detail: messageOf(error) }
  if (context.json) context.print(JSON.stringify({ kind: "error", code, params }))
  context.warn(context.t(code, params))
  return code === "option-invalid" || code === "command-unknown" ? exitCode.usage : exitCode.failed
}

/** `--lang zh` or `--lang=zh`, wherever it stands before `--`. */
function takeLanguage(args: readonly string[]): { rest: readonly string[]; lang: string | undefined } {
  const end = args.indexOf("--")
  const at = args.findIndex((arg, i) => (end < 0 || i < end) && (arg === "--lang" || arg.startsWith("--lang=")))
  if (at < 0) return { rest: args, lang: undefined }
  const arg = args[at] ?? ""
  const inline = arg.startsWith("--lang=")
  return { rest: [...args.slice(0, at), ...args.slice(at + (inline ? 1 : 2))], lang: inline ? arg.slice(7) : args[at + 1] }
}
