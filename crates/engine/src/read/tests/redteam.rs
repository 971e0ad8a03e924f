//! What must not work: every statement gives over the governed table what it gives over one that was masked and filtered
//! before — the same rows, or the same error.

use super::catalog::fixture;

/// Rows 1 to 7 of the red team's list, and the plain statements that must go on working.
pub const STATEMENTS: &[&str] = &[
    // Plain.
    "SELECT * FROM crm.c",
    "SELECT id, name, region FROM crm.c ORDER BY id",
    "SELECT * FROM crm.c_v1 WHERE id > 3 ORDER BY id DESC LIMIT 2",
    "SELECT c.*, o.amount FROM crm.c c JOIN crm.o o ON o.customer = c.id",
    "SELECT id FROM crm.c WHERE region = 'EU' AND id BETWEEN 2 AND 9",
    "SELECT id FROM crm.c WHERE name IS NULL",
    "SELECT id FROM crm.c WHERE id IN (1, 2, 3, 4)",
    "SELECT upper(name), length(ssn) FROM crm.c ORDER BY 1, 2",
    // 1: clear values compare with the mask.
    "SELECT id FROM crm.c WHERE ssn = '123-45-6789'",
    "SELECT id FROM crm.c WHERE ssn = 'nnn-nn-6789'",
    "SELECT id FROM crm.c WHERE ssn <> '123-45-6789'",
    "SELECT id FROM crm.c WHERE ssn LIKE '123%'",
    "SELECT id FROM crm.c WHERE ssn NOT LIKE '%6789'",
    "SELECT id FROM crm.c WHERE ssn LIKE '%6789'",
    "SELECT id FROM crm.c WHERE ssn ILIKE 'NNN%'",
    "SELECT id FROM crm.c WHERE substr(ssn, 1, 3) = '123'",
    "SELECT id FROM crm.c WHERE left(ssn, 3) = 'nnn'",
    "SELECT id FROM crm.c WHERE ssn IN ('123-45-6789', '111-11-1111')",
    "SELECT id FROM crm.c WHERE ssn BETWEEN '1' AND '2'",
    "SELECT id FROM crm.c WHERE ssn ~ '^123'",
    "SELECT id FROM crm.c WHERE ssn ~ '^n+'",
    "SELECT id FROM crm.c WHERE regexp_like(ssn, '123')",
    "SELECT id FROM crm.c WHERE email = 'ada@x.eu'",
    "SELECT id FROM crm.c WHERE email LIKE '%@x.eu'",
    "SELECT id FROM crm.c WHERE length(email) = 8",
    "SELECT id FROM crm.c WHERE email = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'",
    "SELECT id FROM crm.c WHERE salary = 100",
    "SELECT id FROM crm.c WHERE salary > 0",
    "SELECT id FROM crm.c WHERE NOT salary > 0",
    "SELECT id FROM crm.c WHERE salary IS NULL",
    "SELECT id FROM crm.c WHERE salary IS NOT NULL",
    "SELECT id FROM crm.c WHERE salary IS DISTINCT FROM 100",
    "SELECT id FROM crm.c WHERE ssn IS NULL",
    "SELECT id FROM crm.c WHERE starts_with(ssn, '123')",
    "SELECT id FROM crm.c WHERE strpos(ssn, '45') > 0",
    "SELECT id FROM crm.c WHERE ssn || '' = '123-45-6789'",
    "SELECT id FROM crm.c WHERE '123-45-6789' = ssn OR id = 1",
    "SELECT id FROM crm.c WHERE (ssn, id) = ('123-45-6789', 1)",
    // 2: no way round the mask through order, aggregates or statistics.
    "SELECT id FROM crm.c ORDER BY salary, id LIMIT 1",
    "SELECT id FROM crm.c ORDER BY salary DESC NULLS LAST, id DESC LIMIT 2",
    "SELECT id, ssn FROM crm.c ORDER BY ssn, id LIMIT 3",
    "SELECT min(salary), max(salary), sum(salary), avg(salary), count(salary) FROM crm.c",
    "SELECT min(ssn), max(ssn) FROM crm.c",
    "SELECT min(email), max(email) FROM crm.c",
    "SELECT min(id), max(id) FROM crm.c",
    "SELECT min(region), max(region) FROM crm.c",
    "SELECT count(DISTINCT ssn), count(DISTINCT email), count(DISTINCT salary) FROM crm.c",
    "SELECT ssn, count(*) FROM crm.c GROUP BY ssn",
    "SELECT salary, count(*) FROM crm.c GROUP BY salary",
    "SELECT email, count(*) FROM crm.c GROUP BY email HAVING count(*) > 1",
    "SELECT DISTINCT ssn FROM crm.c",
    "SELECT approx_distinct(ssn) FROM crm.c",
    "SELECT approx_distinct(region), median(id) FROM crm.c",
    "SELECT stddev(salary), var_pop(salary), corr(salary, id) FROM crm.c",
    "SELECT bool_and(salary > 0), bool_or(salary IS NULL) FROM crm.c",
    "SELECT first_value(ssn ORDER BY id), last_value(ssn ORDER BY id) FROM crm.c",
    "SELECT region, count(*) FROM crm.c GROUP BY ROLLUP (region)",
    "SELECT count(*) FILTER (WHERE salary > 0), count(*) FILTER (WHERE id > 3) FROM crm.c",
    // 3: only the rows that are there.
    "SELECT count(*) FROM crm.c",
    "SELECT count(1) FROM crm.c",
    "SELECT count(id), count(name), count(region) FROM crm.c",
    "SELECT 1 FROM crm.c",
    "SELECT count(*) FROM (SELECT id FROM crm.c LIMIT 100) x",
    "SELECT count(*) FROM crm.c WHERE region IS NULL",
    "SELECT count(*) FROM crm.c a, crm.c b",
    "SELECT EXISTS (SELECT 1 FROM crm.c WHERE region = 'US')",
    // 4: masked values take part in joins and subqueries.
    "SELECT o.oid FROM crm.o o JOIN crm.c c ON c.ssn = o.note",
    "SELECT o.oid FROM crm.o o LEFT JOIN crm.c c ON c.id = o.customer WHERE c.id IS NULL",
    "SELECT o.oid, c.ssn FROM crm.o o LEFT JOIN crm.c c ON c.id = o.customer ORDER BY 1",
    "SELECT o.oid FROM crm.o o FULL JOIN crm.c c ON c.id = o.customer AND c.salary > 0",
    "SELECT o.oid FROM crm.o o RIGHT JOIN crm.c c ON c.id = o.customer WHERE c.name <> 'Ada'",
    "SELECT oid FROM crm.o WHERE note IN (SELECT ssn FROM crm.c)",
    "SELECT oid FROM crm.o WHERE note NOT IN (SELECT ssn FROM crm.c WHERE ssn IS NOT NULL)",
    "SELECT oid FROM crm.o WHERE customer IN (SELECT id FROM crm.c)",
    "SELECT oid FROM crm.o WHERE customer NOT IN (SELECT id FROM crm.c)",
    "SELECT oid FROM crm.o o WHERE EXISTS (SELECT 1 FROM crm.c c WHERE c.id = o.customer AND c.salary > 0)",
    "SELECT oid FROM crm.o o WHERE NOT EXISTS (SELECT 1 FROM crm.c c WHERE c.id = o.customer)",
    "SELECT oid, (SELECT max(ssn) FROM crm.c c WHERE c.id = o.customer) FROM crm.o o ORDER BY 1",
    "SELECT a.id, b.id FROM crm.c a JOIN crm.c b ON a.ssn = b.ssn ORDER BY 1, 2",
    "SELECT a.id, b.id FROM crm.c a JOIN crm.c b ON a.email = b.email AND a.id < b.id",
    "SELECT id FROM crm.c JOIN crm.o ON id = customer WHERE ssn LIKE '%6789'",
    "SELECT x.s FROM crm.o o, LATERAL (SELECT c.ssn AS s FROM crm.c c WHERE c.id = o.customer) x",
    "WITH RECURSIVE r(n) AS (SELECT min(id) FROM crm.c UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT r.n, c.ssn FROM r JOIN crm.c c ON c.id = r.n",
    "WITH x AS (SELECT ssn FROM crm.c) SELECT count(*) FROM x a, x b WHERE a.ssn = b.ssn",
    "SELECT id FROM crm.c WHERE ssn = (SELECT '123-45-6789')",
    "SELECT id FROM crm.c WHERE ssn > ALL (SELECT note FROM crm.o)",
    "SELECT id FROM crm.c NATURAL JOIN (SELECT customer AS id FROM crm.o) x",
    // 5: nothing depends on hidden rows, not even failing.
    "SELECT id FROM crm.c WHERE 1/(CASE WHEN region='US' THEN 0 ELSE 1 END)=1",
    "SELECT id FROM crm.c WHERE 1/(CASE WHEN region='APAC' THEN 0 ELSE 1 END)=1 AND id > 0",
    "SELECT id FROM crm.c WHERE 1/(CASE WHEN region='EU' THEN 0 ELSE 1 END)=1",
    "SELECT CAST(name AS INT) FROM crm.c",
    "SELECT id FROM crm.c WHERE CAST(name AS INT) = 17",
    "SELECT CAST(name AS INT) FROM crm.c WHERE name ~ '^[0-9]+$'",
    "SELECT CAST(name AS BIGINT) FROM crm.c WHERE id IN (3, 5, 9, 10)",
    "SELECT TRY_CAST(name AS INT) FROM crm.c",
    "SELECT 1/(id - 2) FROM crm.c",
    "SELECT 1/(id - 4) FROM crm.c WHERE id < 100",
    "SELECT 1/(id - 3) FROM crm.c",
    "SELECT id FROM crm.c WHERE 10/(id - 7) > 0",
    "SELECT 1/salary FROM crm.c",
    "SELECT id FROM crm.c WHERE 1/salary > 0",
    "SELECT CAST(ssn AS INT) FROM crm.c",
    "SELECT CAST(left(ssn, 1) AS INT) FROM crm.c WHERE id = 1",
    "SELECT CASE WHEN region = 'US' THEN 1/0 ELSE id END FROM crm.c",
    "SELECT COALESCE(salary, id) FROM crm.c",
    "SELECT COALESCE(ssn, CAST(1/(id - 5) AS TEXT)) FROM crm.c",
    "SELECT NULLIF(region, 'US'), NULLIF(ssn, '123-45-6789') FROM crm.c",
    "SELECT CASE WHEN salary > 50 THEN 'rich' WHEN salary IS NULL THEN 'unknown' ELSE 'poor' END FROM crm.c",
    "SELECT salary + 9223372036854775807 FROM crm.c",
    "SELECT id * 9223372036854775807 FROM crm.c WHERE id > 1",
    "SELECT sum(salary) + 1 FROM crm.c",
    "SELECT CAST(id AS TINYINT), CAST(id AS TEXT) FROM crm.c",
    "SELECT CAST(name AS DATE) FROM crm.c",
    "SELECT sqrt(id - 5) FROM crm.c",
    "SELECT repeat(name, CASE WHEN region = 'US' THEN -1 ELSE 1 END) FROM crm.c",
    "SELECT id FROM crm.c WHERE CAST(region AS INT) = 1",
    "SELECT id FROM crm.c WHERE region <> 'EU' AND CAST(region AS INT) = 1",
    "SELECT id FROM crm.c JOIN crm.o ON 1/(customer - 2) = 1 - id",
    // 6: the filter holds whatever else is asked.
    "SELECT id FROM crm.c WHERE region='US' OR true",
    "SELECT id FROM crm.c WHERE NOT (region='EU')",
    "SELECT id FROM crm.c WHERE region <> 'EU'",
    "SELECT id FROM crm.c WHERE region = 'US'",
    "SELECT id FROM crm.c WHERE region IN ('US', 'APAC')",
    "SELECT id FROM crm.c WHERE region NOT IN ('EU')",
    "SELECT id FROM crm.c WHERE region IS NULL OR region > 'A'",
    "SELECT id FROM crm.c WHERE true",
    "SELECT id FROM crm.c WHERE false",
    "SELECT id FROM crm.c WHERE NULL",
    "SELECT id FROM crm.c WHERE id = 1 AND id = 2",
    "SELECT id FROM crm.c WHERE region = region",
    "SELECT id FROM crm.c WHERE region = 'EU' AND region = 'US'",
    "SELECT id FROM crm.c WHERE id > 1 OR (region = 'US' AND salary > 0)",
    "SELECT id FROM crm.c WHERE random() < 2 OR region = 'US'",
    "SELECT region FROM crm.c WHERE region < 'F' GROUP BY region",
    "SELECT id FROM crm.c LIMIT 0",
    "SELECT count(*) FROM (SELECT * FROM crm.c LIMIT 3) x",
    "SELECT count(*) FROM (SELECT * FROM crm.c OFFSET 5) x",
    // 7: sets, windows, arrays, structs.
    "SELECT ssn FROM crm.c UNION ALL SELECT note FROM crm.o",
    "SELECT ssn FROM crm.c UNION SELECT ssn FROM crm.c",
    "SELECT note FROM crm.o INTERSECT SELECT ssn FROM crm.c",
    "SELECT note FROM crm.o EXCEPT SELECT ssn FROM crm.c",
    "SELECT id, row_number() OVER (ORDER BY salary, id) FROM crm.c ORDER BY 1",
    "SELECT id, rank() OVER (ORDER BY ssn) FROM crm.c ORDER BY 1",
    "SELECT id, lag(ssn) OVER (ORDER BY id), lead(salary) OVER (ORDER BY id) FROM crm.c ORDER BY 1",
    "SELECT id, count(*) OVER (PARTITION BY ssn) FROM crm.c ORDER BY 1",
    "SELECT id, sum(salary) OVER (ORDER BY id) FROM crm.c ORDER BY 1",
    "SELECT id, ntile(3) OVER (ORDER BY id) FROM crm.c ORDER BY 1",
    "SELECT array_agg(ssn ORDER BY id) FROM crm.c",
    "SELECT string_agg(ssn, ',' ORDER BY id) FROM crm.c",
    "SELECT array_agg(DISTINCT salary) FROM crm.c",
    "SELECT struct(ssn, salary) FROM crm.c",
    "SELECT named_struct('s', ssn) FROM crm.c",
    "SELECT named_struct('s', ssn)['s'] FROM crm.c",
    "SELECT struct(c.*) FROM crm.c c",
    "SELECT c FROM crm.c c",
    "SELECT make_array(ssn, email)[1] FROM crm.c",
    "SELECT unnest(make_array(ssn, name)) FROM crm.c",
    "SELECT map(make_array('k'), make_array(ssn)) FROM crm.c",
    "SELECT array_has(array_agg(ssn), '123-45-6789') FROM crm.c",
    "SELECT md5(ssn), sha256(ssn) FROM crm.c WHERE id = 1",
    "SELECT arrow_typeof(ssn), arrow_typeof(salary) FROM crm.c WHERE id = 1",
    "SELECT count(*), ssn IS NULL FROM crm.c GROUP BY 2",
    "SELECT concat(name, ssn, email) FROM crm.c",
    "SELECT x.* FROM (SELECT * FROM crm.c) x WHERE x.ssn LIKE '%6789'",
    "SELECT greatest(salary, id), least(salary, id) FROM crm.c",
    // 16: comments, quoting, case and Unicode mean the same to checker and executor.
    "SELECT /* crm.o */ id FROM CRM.C -- FROM crm.o",
    "SELECT id FROM \"crm\".\"c\"",
    "SELECT id FROM \"CRM\".c",
    "SELECT \"ID\" FROM crm.c",
    "SELECT U&\"\\0069d\" FROM crm.c",
    "SELECT id FROM meshwork.crm.c",
    "SELECT id FROM c",
    "SELECT id FROM public.c",
    "SELECT id FROM other.crm.c",
    "SELECT id FROM ｃrm.c",
    "WITH c AS (SELECT 1 AS id) SELECT id FROM c",
    "WITH \"crm.c\" AS (SELECT 1 AS id) SELECT id FROM \"crm.c\"",
    "SELECT crm.c.id FROM crm.c",
    "SELECT nothing FROM crm.c",
    "SELECT ssn FROM crm.c GROUP BY id",
];

#[tokio::test]
async fn every_statement_gives_what_the_materialised_table_gives() {
    let fixture = fixture().await;
    assert!(STATEMENTS.len() >= 120, "{}", STATEMENTS.len());
    for sql in STATEMENTS {
        fixture.assert_as_oracle(sql).await;
    }
}

#[tokio::test]
async fn statements_that_are_no_query_are_refused() {
    let fixture = fixture().await;
    for sql in [
        "COPY crm.c TO '/tmp/stolen.csv'",
        "COPY (SELECT * FROM crm.c) TO '/tmp/stolen.parquet'",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE VIEW v AS SELECT * FROM crm.c",
        "CREATE TABLE t AS SELECT * FROM crm.c",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "INSERT INTO crm.c VALUES (1)",
        "UPDATE crm.c SET name = 'x'",
        "DELETE FROM crm.c",
        "MERGE INTO crm.c USING crm.o ON true WHEN MATCHED THEN DELETE",
        "DROP TABLE crm.c",
        "SET datafusion.execution.time_zone = '+08:00'",
        "SET search_path = crm",
        "SHOW ALL",
        "SHOW CREATE TABLE crm.c",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "BEGIN",
        "DECLARE x CURSOR FOR SELECT * FROM crm.c",
        "EXPLAIN INSERT INTO crm.c VALUES (1)",
        "SELECT 1; SELECT * FROM crm.c",
        "DESCRIBE crm.c",
        "USE crm",
    ] {
        let error = fixture.query(sql).await.unwrap_err();
        assert!(["MW0802", "MW0805", "MW0808"].contains(&error.code.as_str()), "{sql}: {error}");
    }
}

#[tokio::test]
async fn side_doors_are_closed() {
    let fixture = fixture().await;
    for sql in [
        "SELECT input_file_name() FROM crm.c",
        "SELECT file_row_index() FROM crm.c",
        "SELECT arrow_metadata(id) FROM crm.c",
        "SELECT with_metadata(id, 'a', 'b') FROM crm.c",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT * FROM parquet_metadata('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"/etc/passwd\"",
        "SELECT * FROM \"file:///etc/passwd\"",
        "SELECT * FROM 'http://127.0.0.1/x.csv'",
        "SELECT * FROM information_schema.df_settings",
        "SELECT * FROM information_schema.\"tables\" t, datafusion.public.x",
    ] {
        let error = fixture.query(sql).await.unwrap_err();
        let known = ["MW0802", "MW0804", "MW0807", "MW0809"];
        assert!(known.contains(&error.code.as_str()), "{sql}: {error}");
    }
}

#[tokio::test]
async fn explain_shows_nothing_below_a_table() {
    let fixture = fixture().await;
    for sql in [
        "EXPLAIN SELECT * FROM crm.c WHERE ssn = 'a' AND id > 3",
        "EXPLAIN VERBOSE SELECT count(*) FROM crm.c",
        "EXPLAIN ANALYZE SELECT c.ssn, o.amount FROM crm.c c JOIN crm.o o ON o.customer = c.id",
        "EXPLAIN (ANALYZE, VERBOSE) SELECT min(salary) FROM crm.c",
    ] {
        let text = fixture.query(sql).await.unwrap().join("\n");
        assert!(text.contains("crm.c"), "{sql}: {text}");
        for secret in ["parquet", "file", "out-c", "EU", "rows=12", "mask", "Sha256", "statistics", "pruning"] {
            assert!(!text.to_lowercase().contains(&secret.to_lowercase()), "{sql} shows {secret}:\n{text}");
        }
    }
}

#[tokio::test]
async fn an_error_from_inside_says_nothing() {
    let fixture = fixture().await;
    let planned = fixture.planned("SELECT * FROM crm.c").await.unwrap();
    for entry in std::fs::read_dir(fixture.folder.path().join("out-c/v1")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "parquet") {
            std::fs::write(path, b"not a parquet file").unwrap();
        }
    }
    let error = super::catalog::run(planned.as_ref(), Vec::new()).await.unwrap_err();
    assert_eq!(error.code, "MW0813");
    assert!(!error.message.contains("arquet") && !error.message.contains("out-c"), "{error}");
}
