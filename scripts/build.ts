// Builds what is published: bundles every entry into dist/, flat, so that a file finds its neighbours by name wherever the
// package is installed. Sources are never published, and nothing is minified: an installed copy can be read and debugged.
import { existsSync, rmSync, statSync } from "node:fs"
import { basename, join } from "node:path"
import { rolldown } from "rolldown"
import { external, entries } from "./entries.ts"

const root = join(import.meta.dirname, "..")
const dist = join(root, "dist")

const missing = Object.values(entries).filter((path) => !existsSync(join(root, path)))
if (missing.length > 0) {
  console.error(`The build cannot start: ${missing.join(", ")} does not exist. Write it or take it out of scripts/entries.ts.`)
  process.exit(1)
}

rmSync(dist, { recursive: true, force: true })
const bundle = await rolldown({
  cwd: root,
  input: { ...entries },
  platform: "node",
  external: [...external],
  // A dependency that is neither bundled nor declared would be found only on the machine of whoever built it.
  onLog(level, log, handle) {
    if (level === "warn" && log.code === "UNRESOLVED_IMPORT") throw new Error(log.message)
    handle(level, log)
  },
})
const { output } = await bundle.write({
  dir: dist,
  format: "esm",
  entryFileNames: "[name].js",
  chunkFileNames: "[name]-[hash].js",
  minify: false,
  sourcemap: false,
})
await bundle.close()

const bytes = output.reduce((sum, chunk) => sum + statSync(join(dist, basename(chunk.fileName))).size, 0)
console.log(`dist: ${output.length} files, ${Math.round(bytes / 1024)} KB`)
