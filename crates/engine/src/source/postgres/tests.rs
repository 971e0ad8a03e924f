//! Against a real server, which the test starts.

use std::collections::BTreeMap;

use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;
use meshwork_core::contract::Field;
use meshwork_core::types::ColumnType;
use meshwork_testkit::Postgres;

use meshwork_core::mesh::DatabaseConnection;

use super::*;
use crate::source::{Face, Secrets, SourceTable};

fn spec(server: &Postgres, table: Option<&str>, query: Option<&str>) -> DatabaseSpec {
    DatabaseSpec {
        connection: DatabaseConnection {
            host: "127.0.0.1".into(),
            port: Some(server.port()),
            database: "postgres".into(),
            user: "postgres".into(),
            password: Some("${secret:crm}".into()),
            ..DatabaseConnection::default()
        },
        table: table.map(str::to_owned),
        query: query.map(str::to_owned),
        ..DatabaseSpec::default()
    }
}

fn access(password: &str) -> Access {
    let variables = BTreeMap::from([("MW_SECRET_SALES_CRM".to_owned(), password.to_owned())]);
    Access::new("sales", Secrets { variables, folder: None }, std::path::Path::new("/nonexistent"), 0)
}

async fn query(
    spec: &DatabaseSpec,
    fields: &[meshwork_core::contract::Field],
    sql: &str,
    server: &Postgres,
) -> Result<String> {
    let reading = Reading::default();
    let source = open("crm", spec, &Typing::of(fields), reading.clone(), &access(server.password())).await?;
    let context = SessionContext::new();
    context.register_table("crm", Arc::new(SourceTable::new(source, Face::Plain))).expect("registers");
    let frame = context.sql(sql).await.expect("plans");
    let batches = frame.collect().await.map_err(|error| crate::write::own_error(&error).expect("an error of ours"))?;
    Ok(pretty_format_batches(&batches).expect("prints").to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_server() {
    let server = Postgres::start().expect("PostgreSQL");
    server.sql(
        "CREATE TYPE mood AS ENUM ('sad', 'glad');
         CREATE TABLE every_type (id bigint, a bool, b int2, c int4, d float4, e float8, f numeric(10,2), g numeric,
           h text, i varchar(5), j char(3), k uuid, l json, m jsonb, n date, o timestamp, p timestamptz, q time,
           r bytea, s int4[], t text[], u mood, v point);
         INSERT INTO every_type VALUES
           (1, true, -1, 2147483647, 1.5, 0.1, -12345678.90, 0.0001, 'é', 'ab', 'x', '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
            '{\"a\": 1}', '{\"a\":1}', '2024-02-29', '2024-02-29 12:00:00.123456', '2024-02-29 12:00:00+02', '23:59:59',
            '\\x00ff', '{1,NULL,3}', '{\"a\",\"b,c\"}', 'glad', '(1,2)');
         INSERT INTO every_type (id) VALUES (2);
         CREATE TABLE many AS SELECT n AS id, n % 7 AS g FROM generate_series(1, 20000) AS n;
         CREATE TABLE amounts (amount numeric);
         INSERT INTO amounts VALUES (1.25), (1.255), ('NaN');",
    );

    let all = spec(&server, Some("public.every_type"), None);
    let sql = "SELECT id, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u FROM crm ORDER BY id";
    let shown = query(&all, &[], sql, &server).await.expect("reads");
    let first = shown.lines().nth(3).unwrap_or_default();
    let cells: Vec<&str> = first.split('|').map(str::trim).collect();
    assert_eq!(
        cells[1..23],
        [
            "1",
            "true",
            "-1",
            "2147483647",
            "1.5",
            "0.1",
            "-12345678.90",
            "0.0001000000",
            "é",
            "ab",
            "x",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "{\"a\": 1}",
            "{\"a\": 1}",
            "2024-02-29",
            "2024-02-29T12:00:00.123456",
            "2024-02-29T10:00:00Z",
            "23:59:59",
            "00ff",
            "[1, , 3]",
            "[a, b,c]",
            "glad"
        ],
        "{shown}"
    );
    let second = shown.lines().nth(4).unwrap_or_default();
    assert!(second.split('|').skip(2).all(|cell| cell.trim().is_empty()), "{shown}");

    // A column of a type that cannot be read is named when the contract wants it.
    let error = query(&all, &[meshwork_testkit::field("v")], "SELECT 1", &server).await.expect_err("unknown type");
    assert_eq!((error.code.as_str(), error.message.contains("point")), ("MW0523", true), "{error}");

    let many = spec(&server, None, Some("SELECT * FROM many WHERE g < 3;"));
    let counted = query(&many, &[], "SELECT count(*) AS n, sum(id) AS s FROM crm", &server).await.expect("counts");
    assert!(counted.contains("8572"), "{counted}");

    // Numbers are read at the contract's scale; what does not fit is recorded, not rounded.
    let amount = Field { native: ColumnType::Decimal { precision: 10, scale: 2 }, ..meshwork_testkit::field("amount") };
    let reading = Reading::default();
    let amounts = spec(&server, Some("amounts"), None);
    let source = open("crm", &amounts, &Typing::of(&[amount]), reading.clone(), &access(server.password()))
        .await
        .expect("opens");
    let context = SessionContext::new();
    context.register_table("crm", Arc::new(SourceTable::new(source, Face::Plain))).expect("registers");
    context.sql("SELECT * FROM crm").await.expect("plans").collect().await.expect("reads");
    assert_eq!(reading.unfit.of("amount").0, 2);

    for (spec, password, code) in [
        (spec(&server, Some("public.none"), None), server.password(), "MW0522"),
        (spec(&server, None, Some("SELECT nothing FROM")), server.password(), "MW0522"),
        (spec(&server, Some("many"), None), "wrong", "MW0521"),
    ] {
        let opened = open("crm", &spec, &Typing::default(), Reading::default(), &access(password)).await;
        let error = opened.expect_err("refused");
        assert_eq!(error.code, code, "{error}");
        assert!(!format!("{error:?}").contains("wrong"), "no secret in {error:?}");
    }
    let late = spec(&server, None, Some("SELECT 1 / (5 - n) AS x FROM generate_series(1, 9) AS n"));
    let error = query(&late, &[], "SELECT * FROM crm", &server).await.expect_err("breaks off");
    assert_eq!((error.code.as_str(), error.message.contains("22012")), ("MW0524", true), "{error}");

    let gone = spec(&server, Some("many"), None);
    let password = server.password().to_owned();
    drop(server);
    let opened = open("crm", &gone, &Typing::default(), Reading::default(), &access(&password)).await;
    assert_eq!(opened.expect_err("down").code, "MW0520");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encrypted_connections() {
    let (server, certificate) = Postgres::start_with_tls().expect("PostgreSQL");
    let variables = BTreeMap::from([
        ("MW_SECRET_SALES_CRM".to_owned(), server.password().to_owned()),
        ("MW_SECRET_SALES_CA".to_owned(), certificate),
    ]);
    let access = Access::new("sales", Secrets { variables, folder: None }, std::path::Path::new("/nonexistent"), 0);
    let used = async |host: &str, tls: &str, ca: bool| {
        let mut spec =
            spec(&server, None, Some("SELECT ssl::text AS ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"));
        spec.connection.host = host.into();
        spec.connection.tls = Some(tls.into());
        spec.connection.ca = ca.then(|| "${secret:ca}".to_owned());
        let source = open("crm", &spec, &Typing::default(), Reading::default(), &access).await.map_err(|e| e.code)?;
        let context = SessionContext::new();
        context.register_table("crm", Arc::new(SourceTable::new(source, Face::Plain))).expect("registers");
        let batches = context.sql("SELECT ssl FROM crm").await.expect("plans").collect().await.expect("reads");
        Ok::<_, String>(arrow::util::display::array_value_to_string(batches[0].column(0), 0).expect("displays"))
    };
    for (host, tls, ca, expected) in [
        ("127.0.0.1", "disable", false, Ok("false")),
        ("127.0.0.1", "prefer", false, Ok("true")),
        ("127.0.0.1", "require", false, Ok("true")),
        ("localhost", "verify-full", true, Ok("true")),
        // Nobody that this machine knows vouches for the server.
        ("localhost", "verify-full", false, Err("MW0525")),
        // The certificate is for another name.
        ("127.0.0.1", "verify-full", true, Err("MW0525")),
    ] {
        let found = used(host, tls, ca).await;
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{host} {tls} {ca}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_range_are_all_that_the_server_sends() {
    let server = Postgres::start().expect("PostgreSQL");
    server.sql(
        "CREATE TABLE log AS SELECT n AS id, (n / 10.0)::numeric(12,2) AS amount, '2024-01-01'::date + n AS day,
           '2024-01-01'::timestamp + n * interval '1.000001 second' AS local, now() AS same,
           '2024-01-01 00:00:00+05:30'::timestamptz + n * interval '1 minute' AS at, n::text AS word
         FROM generate_series(1, 1000) AS n;
         INSERT INTO log (id) VALUES (NULL);",
    );
    let reading = Reading::default();
    let spec = spec(&server, Some("public.log"), None);
    let source =
        open("crm", &spec, &Typing::default(), reading.clone(), &access(server.password())).await.expect("opens");
    let sent = async |column: &str, from: &str, until: Option<&str>| {
        crate::source::range::tests::sent(&source, &reading, column, from, until).await
    };
    for (column, from, until, expected) in [
        ("id", "990", None, Some((10, 10))),
        ("id", "990", Some("995"), Some((5, 5))),
        ("amount", "99.50", None, Some((5, 5))),
        ("day", "2026-09-20", None, Some((7, 7))),
        ("local", "2024-01-01T00:16:30.000990", None, Some((10, 10))),
        ("at", "2024-01-01T11:00:00Z", None, Some((10, 10))),
        ("word", "990", None, None),
    ] {
        assert_eq!(sent(column, from, until).await, expected, "{column}");
    }
    // Who asks for what lies beyond also hears of rows that have no value.
    let range = Range { column: "id".into(), from: Some(("999".into(), false)), until: None, nulls: true };
    let narrow = source.within(&range).expect("asked");
    let before = reading.meter.rows();
    let table = SourceTable::new(narrow, Face::Plain);
    let rows = SessionContext::new().read_table(Arc::new(table)).expect("a table").count().await.expect("reads");
    assert_eq!((rows, reading.meter.rows() - before), (2, 2));
}
