use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;
use meshwork_core::contract::Field;
use meshwork_testkit::field;
use sqlx::Connection as _;

use super::*;
use crate::source::{Face, SourceTable};

async fn made(path: &Path, statements: &'static str) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = options.connect().await.expect("opens");
    connection.execute(sqlx::raw_sql(statements)).await.expect("runs");
    connection
}

async fn rows(path: &Path, query: Option<&str>, fields: &[Field], sql: &str, reading: &Reading) -> Result<String> {
    let file = SourceFile::own(path)?;
    let table = query.is_none().then_some("t");
    let source = open("shop", file, table, query, &Typing::of(fields), reading.clone()).await?;
    let context = SessionContext::new();
    context.register_table("t", Arc::new(SourceTable::new(source, Face::Plain))).expect("registers");
    let batches = context.sql(sql).await.expect("plans").collect().await;
    let batches = batches.map_err(|error| crate::write::own_error(&error).expect("an error of ours"))?;
    Ok(pretty_format_batches(&batches).expect("prints").to_string())
}

const TABLE: &str =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, name NVARCHAR(20), price NUMERIC(10,2), ratio REAL, raw BLOB,
     on_day DATE, ok BOOLEAN);
     INSERT INTO t VALUES (1, 'é', 0.99, 0.1, x'00ff', '2024-02-29', 1), (2, NULL, NULL, NULL, NULL, NULL, NULL);";

#[tokio::test]
async fn types_of_the_table_and_of_the_contract() {
    let folder = tempfile::tempdir().expect("temp");
    let path = folder.path().join("a.db");
    made(&path, TABLE).await.close().await.expect("closes");
    let fields =
        [Field { native: ColumnType::Date, ..field("on_day") }, Field { native: ColumnType::Boolean, ..field("ok") }];
    let found = rows(&path, None, &fields, "SELECT * FROM t ORDER BY id", &Reading::default()).await.expect("reads");
    let expected = "\
+----+------+-------+-------+------+------------+------+
| id | name | price | ratio | raw  | on_day     | ok   |
+----+------+-------+-------+------+------------+------+
| 1  | é    | 0.99  | 0.1   | 00ff | 2024-02-29 | true |
| 2  |      |       |       |      |            |      |
+----+------+-------+-------+------+------------+------+";
    assert_eq!(found, expected);
    let reading = Reading::default();
    let counted = rows(&path, Some("SELECT 1 AS x FROM t WHERE id < 2;"), &[], "SELECT count(*) AS n FROM t", &reading);
    assert!(counted.await.expect("reads").contains("| 1 |"));
}

#[tokio::test]
async fn what_a_writer_has_not_yet_moved_from_its_log_is_read() {
    let folder = tempfile::tempdir().expect("temp");
    let path = folder.path().join("a.db");
    let mut writer = made(&path, "PRAGMA journal_mode = WAL").await;
    writer.execute(sqlx::raw_sql(TABLE)).await.expect("runs");
    let found = rows(&path, None, &[], "SELECT count(*) AS n FROM t", &Reading::default()).await.expect("reads");
    assert!(found.contains("| 2 |"), "{found}");
    writer.close().await.expect("closes");
}

#[tokio::test]
async fn values_that_do_not_fit_are_never_nulls() {
    let folder = tempfile::tempdir().expect("temp");
    let path = folder.path().join("a.db");
    made(&path, "CREATE TABLE t (id INTEGER, n INT); INSERT INTO t VALUES (1, 'many'), (2, 3);").await;
    let undeclared = rows(&path, None, &[], "SELECT n FROM t", &Reading::default()).await.expect_err("no number");
    assert_eq!(undeclared.code, "MW0523");
    assert!(!undeclared.message.contains("many"), "{undeclared}");
    let reading = Reading::default();
    let fields = [Field { native: ColumnType::Int64, ..field("n") }];
    rows(&path, None, &fields, "SELECT n FROM t", &reading).await.expect("reads");
    assert_eq!(reading.unfit.of("n").0, 1);
}

#[tokio::test]
async fn faults() {
    let folder = tempfile::tempdir().expect("temp");
    let path = folder.path().join("a.db");
    made(&path, TABLE).await.close().await.expect("closes");
    let other = folder.path().join("other.db");
    made(&other, "CREATE TABLE secret (x)").await.close().await.expect("closes");
    for (query, code) in [
        ("SELECT nothing FROM t", "MW0522"),
        ("SELECT 1) AS q; ATTACH DATABASE 'other.db' AS o; SELECT * FROM (SELECT 1", "MW0522"),
        ("DELETE FROM t", "MW0522"),
    ] {
        let error = rows(&path, Some(query), &[], "SELECT * FROM t", &Reading::default()).await.expect_err(query);
        assert_eq!(error.code, code, "{error}");
    }
    let fine = rows(&path, Some("SELECT ';' AS a -- it; is\n"), &[], "SELECT * FROM t", &Reading::default()).await;
    assert!(fine.expect("one statement").contains("| ; |"));
    let damaged = folder.path().join("damaged.db");
    std::fs::write(
        &damaged,
        "no database, but long enough to be looked at as one ........................................",
    )
    .expect("writes");
    let error = rows(&damaged, None, &[], "SELECT 1", &Reading::default()).await.expect_err("damaged");
    assert_eq!(error.code, "MW0535", "{error}");
    let absent =
        rows(&path, Some("SELECT * FROM absent"), &[], "SELECT 1", &Reading::default()).await.expect_err("absent");
    assert!(absent.message.contains("no such table"), "{absent}");
}

#[tokio::test]
async fn of_rows_before_a_range_only_those_come_that_cannot_be_told() {
    let folder = tempfile::tempdir().expect("temp");
    let path = folder.path().join("a.db");
    let statements = "CREATE TABLE t (id INTEGER, at DATETIME, loose, day TEXT);
        WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000)
        INSERT INTO t SELECT n, datetime('2024-01-01', n || ' hours'), n, date('2024-01-01', n || ' days') FROM n;
        UPDATE t SET at = replace(at, ' ', 'T') || '+14:00' WHERE id % 2 = 0;
        UPDATE t SET at = '  ' || at WHERE id = 3;";
    made(&path, statements).await.close().await.expect("closes");
    let zoned = Field { native: ColumnType::Timestamp, default_timezone: Some("UTC".into()), ..field("at") };
    let whole = |name: &str| Field { native: ColumnType::Int64, ..field(name) };
    let fields = [whole("id"), zoned, whole("loose"), Field { native: ColumnType::Date, ..field("day") }];
    let reading = Reading::default();
    let file = SourceFile::own(&path).expect("there");
    let source = open("shop", file, Some("t"), None, &Typing::of(&fields), reading.clone()).await.expect("opens");
    for (column, from, expected) in [
        ("id", "990", Some((10, 10))),
        // A day more, and one that no order of texts tells.
        ("at", "2024-02-10T00:00:00Z", Some((66, 33))),
        ("day", "2026-09-20", Some((9, 7))),
        ("loose", "990", None),
    ] {
        let found = crate::source::range::tests::sent(&source, &reading, column, from, None).await;
        assert_eq!(found, expected, "{column}");
    }
}

#[test]
fn affinities() {
    let decimal = |precision, scale| ColumnType::Decimal { precision, scale };
    for (declared, expected) in [
        ("BIGINT UNSIGNED", ColumnType::Int64),
        ("NVARCHAR(160)", ColumnType::Text),
        ("DOUBLE PRECISION", ColumnType::Float64),
        ("NUMERIC(10,2)", decimal(10, 2)),
        ("decimal(5)", decimal(5, 0)),
        ("DECIMAL", ColumnType::Text),
        ("", ColumnType::Text),
    ] {
        assert_eq!(type_of(declared), expected, "{declared}");
    }
}
