// `npm run bench [case …]`: runs the benchmarks one after the other and prints one table. Machines are noisy: each figure that
// is compared with something stands beside it from the same run.
import { durable } from "./cases/durable.ts"
import { host } from "./cases/host.ts"
import { size } from "./cases/size.ts"
import { startup } from "./cases/startup.ts"
import type { Case, Figure } from "./figure.ts"

const cases: Readonly<Record<string, Case>> = { startup, durable, host, size }

const wanted = process.argv.slice(2)
const figures: Figure[] = []
for (const [name, run] of Object.entries(cases)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  process.stderr.write(`${name} …\n`)
  figures.push(...(await run()))
}
print(figures)

function print(rows: readonly Figure[]): void {
  const cells = rows.map(({ what, value, unit, goal, beside }) => [what, `${format(value)} ${unit}`, goal ?? "", beside ?? ""])
  const table = [["what", "measured", "goal", "beside"], ...cells]
  const widths = [0, 1, 2, 3].map((column) => Math.max(...table.map((row) => (row[column] ?? "").length)))
  for (const [i, row] of table.entries()) {
    process.stdout.write(`${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd()}\n`)
    if (i === 0) process.stdout.write(`${widths.map((width) => "-".repeat(width)).join("  ")}\n`)
  }
}

function format(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}
