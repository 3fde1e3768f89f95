// Engines by name, as a worker process opens them on a store that it shares with others.
import { systemClock } from "../../src/base/clock.ts"
import { openSqliteEngine } from "../../src/engines/sqlite/engine.ts"
import type { Engine } from "../../src/kernel/port.ts"

/** Short, so that what another process wrote is seen soon. */
const pollMs = 20

export const adapters: Readonly<Record<string, (location: string) => Promise<Engine>>> = {
  sqlite: (folder) => openSqliteEngine({ folder, clock: systemClock, exclusive: false, pollMs }),
}
