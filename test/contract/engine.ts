// The suite that every engine passes unchanged: `describeEngine` with a fixture that makes stores of that engine. Each
// part stands in a file of its own, named for what it is about.
import { describe } from "node:test"
import { describeClaims } from "./claims.ts"
import { describeCommit } from "./commit.ts"
import type { EngineFixture } from "./fixture.ts"
import { describeMailbox } from "./mailbox.ts"

const parts: readonly ((fixture: EngineFixture) => void)[] = [describeMailbox, describeClaims, describeCommit]

export function describeEngine(fixture: EngineFixture): void {
  describe(fixture.name, () => {
    for (const part of parts) part(fixture)
  })
}
