// Help, made from the definitions of the commands and their texts.
import type { CliContext } from "./command.ts"
import { commands } from "./list.ts"

/** The overview, or the help of one command. */
export function help({ t }: Pick<CliContext, "t">, name?: string): string {
  if (name !== undefined && name in commands) return t(`help-${name}`)
  const names = Object.keys(commands)
  const width = Math.max(...names.map((command) => command.length))
  const lines = names.map((command) => `  ${command.padEnd(width)}  ${t(`help-${command}`).split("\n", 1)[0]}`)
  return [t("help-intro"), "", ...lines, "", t("help-more")].join("\n")
}
