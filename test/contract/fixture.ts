// What an engine has to offer to be put through the suites. What a kind of store cannot do it says, and the tests that
// need it are left out; every engine has to be able to do each of it in one of its stores.
import { test, type TestContext } from "node:test"
import type { Engine } from "../../src/kernel/port.ts"
import type { FakeClock } from "./fake-clock.ts"

export interface EngineFixture {
  readonly name: string
  /** What its stores can do; the same for each of them. */
  readonly can: { readonly reopen: boolean; readonly share: boolean; readonly processes: boolean; readonly fakeTime: boolean; readonly backup: boolean }
  /** A new, empty store. */
  make(): Promise<Store>
}

export interface Store {
  /** Opens it as its only host: sessions that a dead process held are free at once. */
  open(): Promise<Engine>
  /** Opens it beside others, as one process of several. */
  join(): Promise<Engine>
  /** Where a worker process finds it. */
  readonly location: string
  /** Stands still in a store of the machine's time. */
  readonly clock: FakeClock
  readonly damage: Damage
  /** Leaves no room for anything more, until the function that it returns is called. */
  fill(): Promise<() => void>
  /** Holds the store against all writers, until the function that it returns is called. */
  lock(): Promise<() => void>
  remove(): Promise<void>
}

/** Changes what is kept behind the engine's back. */
export interface Damage {
  eventData(where: { session: string; kind: string; key: string }, text: string): void
  eventVersion(where: { session: string; kind: string; key: string }, version: number): void
  mailboxLabel(session: string, text: string): void
  body(hash: string, text: string): void
  /** A large body that stands in a file; `text` null: the file is gone. */
  blob(hash: string, text: string | null): Promise<void>
  /** Marks the store as written by a later version of the program. */
  newer(): void
  /** All bytes that are kept, for looking whether something is among them. */
  bytes(): Promise<Buffer>
}

export interface Opened {
  readonly store: Store
  readonly engine: Engine
}

/** A store and its engine that are gone when the test ends. */
export async function opened(t: TestContext, fixture: EngineFixture): Promise<Opened> {
  const store = await fixture.make()
  const engine = await store.open()
  t.after(async () => {
    await engine.close()
    await store.remove()
  })
  return { store, engine }
}

/** For a test that needs something of its store. */
export function testIf(able: boolean, name: string, body: (t: TestContext) => Promise<void>): void {
  if (able) test(name, body)
}
