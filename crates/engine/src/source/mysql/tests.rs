//! Against a real MariaDB, which the test starts.

use std::collections::BTreeMap;

use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;
use meshwork_core::contract::Field;
use meshwork_core::mesh::DatabaseConnection;
use meshwork_testkit::{Mariadb, field};

use super::*;
use crate::source::{Face, Secrets, SourceTable};

fn spec(server: &Mariadb, table: Option<&str>, query: Option<&str>) -> DatabaseSpec {
    DatabaseSpec {
        connection: DatabaseConnection {
            host: "127.0.0.1".into(),
            port: Some(server.port()),
            database: "shop".into(),
            user: "reader".into(),
            password: Some("${secret:shop}".into()),
            ..DatabaseConnection::default()
        },
        table: table.map(str::to_owned),
        query: query.map(str::to_owned),
        ..DatabaseSpec::default()
    }
}

fn access(password: &str) -> Access {
    let variables = BTreeMap::from([("MW_SECRET_SALES_SHOP".to_owned(), password.to_owned())]);
    Access::new("sales", Secrets { variables, folder: None }, std::path::Path::new("/nonexistent"), 0)
}

async fn query(spec: &DatabaseSpec, fields: &[Field], sql: &str, reading: &Reading, password: &str) -> Result<String> {
    let source = open("shop", spec, &Typing::of(fields), reading.clone(), &access(password)).await?;
    let context = SessionContext::new();
    context.register_table("t", Arc::new(SourceTable::new(source, Face::Plain))).expect("registers");
    let batches = context.sql(sql).await.expect("plans").collect().await;
    let batches = batches.map_err(|error| crate::write::own_error(&error).expect("an error of ours"))?;
    Ok(pretty_format_batches(&batches).expect("prints").to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_server() {
    let server = Mariadb::start().expect("MariaDB");
    let password = server.password();
    server.sql(
        "CREATE TABLE every_type (id INT PRIMARY KEY, a TINYINT(1), b TINYINT UNSIGNED, c BIGINT UNSIGNED, d DECIMAL(12,3),
           e FLOAT, f DOUBLE, g DATE, h DATETIME(6), i TIMESTAMP NULL, j TIME(3), k VARCHAR(10), l BLOB, m ENUM('x','y'),
           n JSON, o BIT(4), p YEAR);
         SET time_zone = '+02:00';
         INSERT INTO every_type VALUES (1, 1, 255, 18446744073709551615, -123456789.125, 0.1, 0.1, '2024-02-29',
           '2024-02-29 12:00:00.123456', '2024-02-29 12:00:00', '-12:00:01.5', 'é', x'00ff', 'y', '{\"a\":1}', b'1010', 2024);
         INSERT INTO every_type (id) VALUES (2);
         CREATE TABLE many AS SELECT seq AS id, seq % 7 AS g FROM seq_1_to_20000;
         CREATE TABLE zero (id INT, d DATE);
         INSERT INTO zero VALUES (1, '0000-00-00'), (2, '2024-00-10'), (3, NULL), (4, '2024-01-01');
         CREATE TABLE shapes (id INT, p POINT);",
    );
    let reading = Reading::default();
    let all = spec(&server, Some("shop.every_type"), None);
    let boolean = [Field { native: ColumnType::Boolean, ..field("a") }];
    let found = query(&all, &boolean, "SELECT * FROM t ORDER BY id", &reading, password).await.expect("reads");
    let expected = "\
+----+------+-----+----------------------+----------------+-----+-----+------------+----------------------------+----------------------+---------------+---+------+---+---------+----+------+
| id | a    | b   | c                    | d              | e   | f   | g          | h                          | i                    | j             | k | l    | m | n       | o  | p    |
+----+------+-----+----------------------+----------------+-----+-----+------------+----------------------------+----------------------+---------------+---+------+---+---------+----+------+
| 1  | true | 255 | 18446744073709551615 | -123456789.125 | 0.1 | 0.1 | 2024-02-29 | 2024-02-29T12:00:00.123456 | 2024-02-29T10:00:00Z | -12:00:01.500000 | é | 00ff | y | {\"a\":1} | 10 | 2024 |";
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines = |text: &str| text.lines().filter(|line| line.starts_with('|')).map(words).collect::<Vec<_>>();
    assert_eq!(lines(&found)[..2], lines(expected)[..2], "{found}");
    assert!(lines(&found)[2].iter().all(|word| word == "|" || word == "2"), "{found}");
    assert_eq!(reading.meter.rows(), 2);

    let many = spec(&server, None, Some("SELECT * FROM many WHERE g < 3;"));
    let sum = query(&many, &[], "SELECT count(*) AS n, sum(id) AS s FROM t", &Reading::default(), password).await;
    let expected: u64 = (1..=20_000u64).filter(|n| n % 7 < 3).sum();
    assert!(sum.expect("reads").contains(&expected.to_string()));

    // The zero date is neither a day nor null.
    let zero = spec(&server, Some("zero"), None);
    let reading = Reading::default();
    let day = [Field { native: ColumnType::Date, ..field("d") }];
    query(&zero, &day, "SELECT d FROM t", &reading, password).await.expect("reads");
    assert_eq!(reading.unfit.of("d").0, 2);
    let undeclared = query(&zero, &[], "SELECT d FROM t", &Reading::default(), password).await.expect_err("no day");
    assert_eq!(undeclared.code, "MW0523", "{undeclared}");

    for (spec, password, code) in [
        (spec(&server, Some("absent"), None), password, "MW0522"),
        (spec(&server, None, Some("SELECT nothing FROM")), password, "MW0522"),
        (spec(&server, Some("many"), None), "wrong", "MW0521"),
    ] {
        let error = query(&spec, &[], "SELECT 1", &Reading::default(), password).await.expect_err(code);
        assert_eq!(error.code, code, "{error}");
        assert!(!error.hints.is_empty());
    }
    let shape =
        query(&spec(&server, Some("shapes"), None), &[field("p")], "SELECT 1", &Reading::default(), password).await;
    assert_eq!(shape.expect_err("a point").code, "MW0523");
    let mut encrypted = spec(&server, Some("many"), None);
    encrypted.connection.tls = Some("require".into());
    let refused = query(&encrypted, &[], "SELECT count(*) FROM t", &Reading::default(), password).await;
    assert_eq!(refused.expect_err("this server has no certificate").code, "MW0525");
    let gone = spec(&server, Some("many"), None);
    drop(server);
    let error = query(&gone, &[], "SELECT 1", &Reading::default(), "x").await.expect_err("gone");
    assert_eq!(error.code, "MW0520", "{error}");
}

#[test]
fn the_protocols_dates() {
    assert_eq!(date(&[4, 0xE8, 7, 2, 29]).as_deref(), Some("2024-02-29"));
    assert_eq!(date(&[0]), None);
    assert_eq!(date(&[4, 0xE8, 7, 0, 10]), None);
    assert_eq!(moment(&[4, 0xE8, 7, 1, 2], true).as_deref(), Some("2024-01-02T00:00:00.000000Z"));
    assert_eq!(moment(&[7, 0xE8, 7, 1, 2, 3, 4, 5], false).as_deref(), Some("2024-01-02T03:04:05.000000"));
    assert_eq!(time(&[0]).as_deref(), Some("00:00:00"));
    assert_eq!(time(&[8, 1, 1, 0, 0, 0, 2, 0, 0]).as_deref(), Some("-26:00:00"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_range_are_all_that_the_server_sends() {
    let server = Mariadb::start().expect("MariaDB");
    server.sql(
        "CREATE TABLE log AS SELECT seq AS id, CAST(seq AS UNSIGNED) AS big, CAST(seq / 10 AS DECIMAL(12,2)) AS amount,
           DATE_ADD('2024-01-01', INTERVAL seq DAY) AS day, TIMESTAMPADD(SECOND, seq, CAST('2024-01-01' AS DATETIME(6))) AS local,
           CAST(seq AS CHAR) AS word FROM seq_1_to_1000;
         ALTER TABLE log ADD COLUMN at TIMESTAMP(6) NULL;
         SET time_zone = '+02:00';
         UPDATE log SET at = TIMESTAMPADD(MINUTE, id, '2024-01-01 02:00:00'), day = DATE(day);
         ALTER TABLE log MODIFY day DATE;",
    );
    let reading = Reading::default();
    let spec = spec(&server, Some("log"), None);
    // As a contract may have it: the same digits in another zone, of which the server knows nothing.
    let zoned =
        Field { native: ColumnType::Timestamp, default_timezone: Some("Europe/Berlin".into()), ..field("local") };
    for (fields, local) in [(vec![], Some((10, 10))), (vec![zoned], None)] {
        let typing = Typing::of(&fields);
        let source = open("shop", &spec, &typing, reading.clone(), &access(server.password())).await.expect("opens");
        for (column, from, expected) in [
            ("id", "990", Some((10, 10))),
            ("big", "990", Some((10, 10))),
            ("amount", "99.50", Some((5, 5))),
            ("day", "2026-09-20", Some((7, 7))),
            ("local", "2024-01-01T00:16:30.000000", local),
            ("at", "2024-01-01T16:30:00Z", Some((10, 10))),
            ("word", "990", None),
        ] {
            let found = crate::source::range::tests::sent(&source, &reading, column, from, None).await;
            assert_eq!(found, expected, "{column}");
        }
    }
}
