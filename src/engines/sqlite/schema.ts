// The tables of the SQLite engine as numbered migrations, and the opening of a database: WAL, every commit synced.
// A migration is never edited once released; a database from a newer version is refused untouched.
import { DatabaseSync } from "node:sqlite"
import { AppError } from "../../base/error.ts"

const migrations: readonly string[] = [
  `
  CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    fence INTEGER NOT NULL DEFAULT 0,
    worker TEXT,
    lease_until INTEGER NOT NULL DEFAULT 0,
    lease_ms INTEGER NOT NULL DEFAULT 0,   -- a lease that ends later than this from now is one of a clock that was set back
    wake INTEGER NOT NULL DEFAULT 0,       -- rises with all that may need a claim
    seen_wake INTEGER NOT NULL DEFAULT 0,  -- what the claim has looked at; release compares, so no wake-up is lost
    due_at INTEGER,                        -- null: nothing to do; 0: at once, whatever the clock says
    since INTEGER NOT NULL DEFAULT 0,      -- order among those that are due at once
    attempts INTEGER NOT NULL DEFAULT 0,
    cancel TEXT
  ) STRICT;
  CREATE INDEX sessions_due ON sessions (due_at, since, id) WHERE due_at IS NOT NULL;

  CREATE TABLE bodies (
    hash TEXT PRIMARY KEY,
    data TEXT,                             -- null: in a file, or erased
    erased_at INTEGER
  ) STRICT;

  CREATE TABLE mailbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session TEXT NOT NULL,
    idem TEXT NOT NULL,
    principal TEXT NOT NULL,
    origin TEXT NOT NULL,
    label TEXT NOT NULL,
    body TEXT NOT NULL,
    at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,               -- 0: at once, whatever the clock says
    consumed_at INTEGER,
    UNIQUE (session, idem)
  ) STRICT;
  CREATE INDEX mailbox_waiting ON mailbox (session, id) WHERE consumed_at IS NULL;

  CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session TEXT NOT NULL,
    run TEXT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    at INTEGER NOT NULL,
    v INTEGER NOT NULL,
    principal TEXT NOT NULL,
    label TEXT NOT NULL,
    origin TEXT NOT NULL,
    data TEXT NOT NULL,
    body TEXT
  ) STRICT;
  CREATE UNIQUE INDEX events_once ON events (session, kind, key);
  CREATE INDEX events_session ON events (session, id);
  CREATE INDEX events_run ON events (run, id);

  CREATE TABLE promises (
    token TEXT PRIMARY KEY,
    session TEXT NOT NULL,
    run TEXT NOT NULL,
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    action_hash TEXT,
    due_at INTEGER,
    body TEXT,
    state TEXT NOT NULL DEFAULT 'open',
    answer TEXT,
    answered_by TEXT,
    answered_at INTEGER,
    used_at INTEGER,
    opened_at INTEGER NOT NULL,
    recorded INTEGER NOT NULL DEFAULT 0,   -- its end is in the journal
    UNIQUE (session, key)
  ) STRICT;
  CREATE INDEX promises_waiting ON promises (session) WHERE recorded = 0;

  CREATE TABLE budgets (
    scope TEXT PRIMARY KEY,
    used_tokens INTEGER NOT NULL DEFAULT 0,
    used_micros INTEGER NOT NULL DEFAULT 0,
    held_tokens INTEGER NOT NULL DEFAULT 0,
    held_micros INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE TABLE reservations (
    id TEXT PRIMARY KEY,
    scopes TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    micros INTEGER NOT NULL,
    settled INTEGER NOT NULL DEFAULT 0
  ) STRICT;

  CREATE TABLE outbox (
    id TEXT PRIMARY KEY,
    session TEXT NOT NULL,
    run TEXT NOT NULL,
    target TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending',
    at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX outbox_pending ON outbox (at) WHERE state = 'pending';

  CREATE TABLE runs (
    run TEXT PRIMARY KEY,
    session TEXT NOT NULL,
    state TEXT NOT NULL,
    title TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    steps INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    micros INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX runs_started ON runs (started_at);
  CREATE INDEX runs_session ON runs (session);
  `,
]

/** Older ones can corrupt a WAL when two connections write and checkpoint at once. */
const minimumSqlite = [3, 51, 3] as const

/** Opens (and makes or migrates) a database. Throws `sqlite-too-old`, `state-newer`, `state-unreadable`. */
export function openDatabase(path: string): DatabaseSync {
  const db = open(path)
  try {
    requireSqlite(db)
    db.exec("PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
    migrate(db)
    return db
  } catch (cause) {
    db.close()
    if (cause instanceof AppError) throw cause
    throw new AppError("state-unreadable", { path, detail: String(cause) }, { cause })
  }
}

function open(path: string): DatabaseSync {
  try {
    return new DatabaseSync(path)
  } catch (cause) {
    throw new AppError("state-unreadable", { path, detail: String(cause) }, { cause })
  }
}

function requireSqlite(db: DatabaseSync): void {
  const version = String(db.prepare("SELECT sqlite_version() AS v").get()?.["v"])
  const [major = 0, minor = 0, patch = 0] = version.split(".").map(Number)
  const [needMajor, needMinor, needPatch] = minimumSqlite
  const enough =
    major > needMajor || (major === needMajor && (minor > needMinor || (minor === needMinor && patch >= needPatch)))
  if (!enough) throw new AppError("sqlite-too-old", { version, needed: minimumSqlite.join(".") })
}

function migrate(db: DatabaseSync): void {
  // Two processes may open a new database at once: the version is read again inside the write transaction.
  db.exec("BEGIN IMMEDIATE")
  try {
    const found = Number(db.prepare("PRAGMA user_version").get()?.["user_version"])
    if (found > migrations.length) throw new AppError("state-newer", { found, known: migrations.length })
    for (const sql of migrations.slice(found)) db.exec(sql)
    db.exec(`PRAGMA user_version = ${migrations.length}`)
    db.exec("COMMIT")
  } catch (cause) {
    if (db.isTransaction) db.exec("ROLLBACK")
    throw cause
  }
}
