-- Every table that a publication has named, at each place where it has been, until its files are gone. `given_up`: since
-- when its product is known to have it no longer.
CREATE TABLE tables (
    output TEXT NOT NULL,
    major INTEGER NOT NULL,
    root TEXT NOT NULL,
    path TEXT NOT NULL,
    product TEXT NOT NULL,
    given_up INTEGER,
    PRIMARY KEY (output, major, root, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX tables_of_product ON tables (product);

INSERT INTO tables (output, major, root, path, product)
SELECT DISTINCT o.value ->> '$.output', o.value ->> '$.major', o.value ->> '$.location.root',
       o.value ->> '$.location.path', p.product
FROM publications p, json_each(p.body, '$.outputs') o
WHERE true
ON CONFLICT DO NOTHING;

-- They keep the versions that they are served over.
CREATE INDEX publications_of_views ON publications (sequence) WHERE instr(body, '"kind":"view"') > 0;

PRAGMA user_version = 5;
