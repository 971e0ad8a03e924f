-- The control plane's state. Times are microseconds since 1970 in UTC; bodies are JSON.

CREATE TABLE mesh (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    mesh_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    -- Rises with everything that a decision depends on (D17).
    policy_epoch INTEGER NOT NULL,
    body TEXT
) STRICT;

CREATE TABLE apply_history (
    revision INTEGER PRIMARY KEY,
    actor TEXT NOT NULL,
    at INTEGER NOT NULL,
    changes TEXT NOT NULL
) STRICT;

CREATE TABLE runs (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    product TEXT NOT NULL,
    state TEXT NOT NULL,
    fencing_token INTEGER NOT NULL,
    body TEXT NOT NULL,
    report TEXT
) STRICT;
CREATE INDEX runs_of_product ON runs (product, sequence);
CREATE INDEX unfinished_runs ON runs (state) WHERE state IN ('running', 'committing');

-- One row a product, kept for ever: the fencing token never falls. `run` is null while nobody holds it.
CREATE TABLE leases (
    product TEXT PRIMARY KEY,
    run TEXT REFERENCES runs (id),
    fencing_token INTEGER NOT NULL,
    holder TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE run_log (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL REFERENCES runs (id),
    at INTEGER NOT NULL,
    level TEXT NOT NULL,
    line TEXT NOT NULL
) STRICT;
CREATE INDEX log_of_run ON run_log (run, sequence);

CREATE TABLE publications (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    product TEXT NOT NULL,
    run TEXT NOT NULL UNIQUE REFERENCES runs (id),
    at INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX publications_of_product ON publications (product, sequence);

CREATE TABLE published_outputs (
    output TEXT NOT NULL,
    major INTEGER NOT NULL,
    publication INTEGER NOT NULL REFERENCES publications (sequence),
    at INTEGER NOT NULL,
    PRIMARY KEY (output, major, publication)
) STRICT, WITHOUT ROWID;

-- Events in the transaction of what they tell of; delivered from here.
CREATE TABLE outbox (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE agreements (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    output TEXT NOT NULL,
    revoked_by TEXT,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX unrevoked_agreements ON agreements (output) WHERE revoked_by IS NULL;

CREATE TABLE users (
    name TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    user TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    hash TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX tokens_of_user ON tokens (user);

CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    leaf BLOB NOT NULL,
    leaf_hash BLOB NOT NULL,
    chain_hash BLOB NOT NULL
) STRICT;

CREATE TABLE audit_subjects (
    subject TEXT PRIMARY KEY,
    subject_key BLOB NOT NULL
) STRICT;

-- 'Mesh' in ASCII: tells our files from other applications'.
PRAGMA application_id = 1298494312;
PRAGMA user_version = 1;
