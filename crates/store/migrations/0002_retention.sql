-- Publications older than these are no longer served: their files may have been removed.
CREATE TABLE horizons (
    output TEXT NOT NULL,
    major INTEGER NOT NULL,
    publication INTEGER NOT NULL REFERENCES publications (sequence),
    at INTEGER NOT NULL,
    PRIMARY KEY (output, major)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 2;
