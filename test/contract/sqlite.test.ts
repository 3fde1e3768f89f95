// The SQLite engine passes the suite of every engine, on disk and in memory.
import { describeEngine } from "./engine.ts"
import { sqliteInMemory, sqliteOnDisk } from "./sqlite-fixture.ts"

describeEngine(sqliteInMemory)
describeEngine(sqliteOnDisk)
