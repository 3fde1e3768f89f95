// What an installation weighs: the packed package in an empty folder.
import { execFileSync } from "node:child_process"
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Case } from "../figure.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

export const size: Case = async () => {
  const folder = mkdtempSync(join(tmpdir(), "chela-size-"))
  try {
    const npm = (args: readonly string[], cwd: string): string => execFileSync("npm", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
    npm(["run", "build"], root)
    const tarball = npm(["pack", "--silent", "--pack-destination", folder], root).trim().split("\n").at(-1) ?? ""
    writeFileSync(join(folder, "package.json"), "{}")
    npm(["install", "--no-audit", "--no-fund", join(folder, tarball)], folder)
    const packages = npm(["ls", "--all", "--parseable"], folder).trim().split("\n").length - 1
    const modules = join(folder, "node_modules")
    return [
      { what: "installed size", value: bytesOf(modules) / 1024 / 1024, unit: "MB", goal: "≤ 60 MB", beside: "pi 158 MB, OpenClaw 647 MB" },
      { what: "installed packages", value: packages, unit: "", goal: "≤ 40", beside: "pi 120, OpenClaw 330" },
      { what: "tarball", value: statSync(join(folder, tarball)).size / 1024 / 1024, unit: "MB" },
    ]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** As `du` counts: blocks, not lengths. */
function bytesOf(folder: string): number {
  let sum = 0
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) sum += statSync(join(entry.parentPath, entry.name)).blocks * 512
  }
  return sum
}
