//! A statement that asks for too much ends with a clear error, and the engine goes on.

use std::time::Duration;

use meshwork_control::port::data::{QueryEngine, QueryLimits};

use super::catalog::{LIMITS, fixture, run};

async fn under(limits: QueryLimits, sql: &str) -> String {
    let fixture = fixture().await;
    let mut request = fixture.request(sql);
    request.limits = limits;
    let answer = match fixture.engine.plan(request).await {
        Ok(planned) => run(planned.as_ref(), Vec::new()).await,
        Err(error) => Err(error),
    };
    assert_eq!(fixture.query("SELECT 1").await.unwrap(), ["1"]);
    answer.map_or_else(|error| error.code, |rows| format!("{} rows", rows.len()))
}

#[tokio::test]
async fn rows_time_memory_and_size() {
    let many = "SELECT a.value FROM generate_series(1, 100000) a";
    assert_eq!(under(QueryLimits { rows: Some(10), ..LIMITS }, many).await, "MW0812");
    assert_eq!(
        under(QueryLimits { rows: Some(10), ..LIMITS }, "SELECT * FROM generate_series(1, 10)").await,
        "10 rows"
    );
    let endless = "SELECT count(*) FROM generate_series(1, 1000000000) a, generate_series(1, 1000) b";
    assert_eq!(under(QueryLimits { time: Duration::from_millis(500), ..LIMITS }, endless).await, "MW0810");
    // Joins that would compute for hours before their first batch.
    let series = "generate_series(1, 3000) a, generate_series(1, 3000) b, generate_series(1, 3000) c";
    let brief = QueryLimits { time: Duration::from_millis(500), ..LIMITS };
    assert_eq!(
        under(brief, &format!("SELECT count(*) FROM {series}, {}", "generate_series(1, 3000) d")).await,
        "MW0810"
    );
    let sort = "SELECT a.value, repeat('x', 200) FROM generate_series(1, 200000) a ORDER BY a.value % 7, 2";
    let small = QueryLimits { memory_bytes: 1 << 20, spill_bytes: 1 << 20, ..LIMITS };
    assert_eq!(under(small, sort).await, "MW0811");
    assert_eq!(under(QueryLimits { sql_bytes: 10, ..LIMITS }, "SELECT 1234567").await, "MW0801");
}

#[tokio::test]
async fn one_expression_cannot_make_gigabytes() {
    for sql in [
        "SELECT length(repeat('x', 1000000000))",
        "SELECT length(lpad(name, 1000000000)) FROM crm.c",
        "SELECT count(*) FROM crm.c WHERE length(repeat(region, 100000000 + id)) > 0",
        "SELECT cardinality(range(1, 1000000000))",
        "SELECT cardinality(array_repeat('x', 1000000000))",
    ] {
        assert_eq!(under(LIMITS, sql).await, "MW0811", "{sql}");
    }
    assert_eq!(under(LIMITS, "SELECT repeat(region, 1000), range(1, 1000, 3) FROM crm.c").await, "7 rows");
}

#[tokio::test]
async fn the_deepest_allowed_statements_run() {
    let fixture = fixture().await;
    let chain = |n: usize, op: &str| vec!["id"; n].join(op);
    for sql in [
        format!("SELECT {} FROM crm.c WHERE id = 1", chain(700, "+")),
        format!("SELECT count(*) FROM crm.c WHERE {}", vec!["id = 1"; 700].join(" OR ")),
        format!("SELECT {}id{} FROM crm.c", "abs(".repeat(30), ")".repeat(30)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(200)),
    ] {
        let started = std::time::Instant::now();
        let answer = fixture.query(&sql).await;
        assert!(answer.is_ok(), "{} {answer:?} after {:?}", &sql[..60], started.elapsed());
    }
    for sql in [
        format!("SELECT {}", chain(20_000, "+")),
        format!("SELECT 1 WHERE {}", vec!["1 = 1"; 20_000].join(" AND ")),
        format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000)),
        format!("SELECT {}id{} FROM crm.c", "abs(".repeat(40), ")".repeat(40)),
        format!("SELECT {} 1", "NOT ".repeat(20_000)),
        format!("SELECT {} 1", "- ".repeat(5_000)),
    ] {
        assert_eq!(fixture.query(&sql).await.unwrap_err().code, "MW0806", "{}", &sql[..40]);
    }
}

/// Statements that would compute for minutes or for ever, each in an operator of its own.
const HEAVY: [(&str, &str); 12] = [
    ("cross join", "SELECT count(*) FROM s a, s b"),
    ("cross join, sorted", "SELECT a.value + b.value AS n FROM s a, s b ORDER BY n DESC LIMIT 3"),
    ("inequality", "SELECT count(*) FROM s a, s b WHERE a.value + b.value < 0"),
    ("left join", "SELECT count(*) FROM s a LEFT JOIN s b ON a.value * b.value < 0"),
    ("full join", "SELECT count(*) FROM s a FULL JOIN s b ON a.value * b.value < 0"),
    ("left join without condition", "SELECT count(b.value) FROM s a LEFT JOIN s b ON true"),
    ("semi join", "SELECT count(*) FROM s a WHERE EXISTS (SELECT 1 FROM s b WHERE a.value + b.value < 0)"),
    ("anti join", "SELECT count(*) FROM s a WHERE NOT EXISTS (SELECT 1 FROM s b WHERE a.value + b.value < 0)"),
    ("few keys", "SELECT count(*) FROM s a JOIN s b ON a.value % 2 = b.value % 2"),
    ("few keys, filtered", "SELECT count(*) FROM s a JOIN s b ON a.value % 2 = b.value % 2 AND a.value + b.value < 0"),
    (
        "recursion",
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t WHERE n < 0",
    ),
    ("every value", "SELECT count(*) FROM s a, s b WHERE cast(a.value * b.value AS text) LIKE '%x%'"),
];

/// The limit holds at once whatever computes, and leaves the engine's threads to others.
#[tokio::test(flavor = "multi_thread")]
async fn the_time_limit_holds_for_every_operator() {
    let fixture = fixture().await;
    let limit = Duration::from_millis(300);
    // On a machine that has other things to do as well.
    let second = Duration::from_secs(2);
    for (what, sql) in HEAVY {
        let sql = sql.replace(" s ", " generate_series(1, 300000) ");
        let mut request = fixture.request(&sql);
        request.limits = QueryLimits { time: limit, memory_bytes: 1 << 30, ..LIMITS };
        let started = std::time::Instant::now();
        let planned = fixture.engine.plan(request).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let ended = run(planned.as_ref(), Vec::new()).await;
        let took = started.elapsed();
        assert_eq!(ended.map_err(|error| error.code), Err("MW0810".to_owned()), "{what}");
        assert!(took < limit + second, "{what} ended after {took:?}");
        let started = std::time::Instant::now();
        assert_eq!(fixture.query("SELECT 1").await.unwrap(), ["1"]);
        assert!(started.elapsed() < second, "{what} still computes: another statement took {:?}", started.elapsed());
    }
}

/// Without memory for one side a join writes it to temporary files, exchanged between partitions or not.
#[tokio::test]
async fn a_nested_loop_join_spills_or_says_that_memory_ran_out() {
    let join = "SELECT count(*) FROM (SELECT value, repeat('x', 200) AS w FROM generate_series(1, 60000) GROUP BY 1, 2) a \
                JOIN (SELECT DISTINCT value FROM generate_series(1, 20)) b ON a.value < b.value AND length(a.w) > 0";
    let fixture = fixture().await;
    let with = async |memory_bytes, spill_bytes| {
        let mut request = fixture.request(join);
        request.limits = QueryLimits { memory_bytes, spill_bytes, ..LIMITS };
        let planned = fixture.engine.plan(request).await?;
        run(planned.as_ref(), Vec::new()).await
    };
    assert_eq!(with(8 << 20, 1 << 30).await.unwrap(), ["190"]);
    match with(256 << 10, 1 << 10).await {
        Ok(rows) => assert_eq!(rows, ["190"]),
        Err(error) => assert_eq!(error.code, "MW0811", "{error}"),
    }
}
