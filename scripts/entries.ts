// What the build makes: one file of dist/ for each name. A new program or public entry is one line here (and, if others
// import it, one in `exports` of package.json).

export const entries: Readonly<Record<string, string>> = {
  cli: "src/cli/main.ts",
  supervisor: "src/guard/supervisor.ts",
  "journal-worker": "src/engines/sqlite/worker.ts",
  client: "src/client/client.ts",
}

/** Packages that stay packages, because those who import Chela need the very same copy. */
export const external: readonly string[] = []
