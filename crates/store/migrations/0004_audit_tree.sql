-- The Merkle tree over the audit log (RFC 6962) takes the place of a chain of hashes: the hashes of its complete subtrees.
CREATE TABLE audit_nodes (
    level INTEGER NOT NULL,
    position INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (level, position)
) STRICT, WITHOUT ROWID;

-- Size and root of the tree, signed.
CREATE TABLE audit_checkpoint (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    note TEXT NOT NULL
) STRICT;

ALTER TABLE audit DROP COLUMN leaf_hash;
ALTER TABLE audit DROP COLUMN chain_hash;

PRAGMA user_version = 4;
