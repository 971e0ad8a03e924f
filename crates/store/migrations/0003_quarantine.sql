-- Rows that runs have set aside, from the publication of the run on; the rows themselves lie in files of the domain.
CREATE TABLE quarantine (
    run TEXT NOT NULL REFERENCES runs (id),
    output TEXT NOT NULL,
    major INTEGER NOT NULL,
    product TEXT NOT NULL,
    at INTEGER NOT NULL,
    superseded INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (run, output, major)
) STRICT;
CREATE INDEX quarantine_of_product ON quarantine (product, at);
CREATE INDEX quarantine_by_age ON quarantine (at);

PRAGMA user_version = 3;
