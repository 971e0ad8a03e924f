//! A view gives what the materialised table gives: with the policy on the view, over the bare table, and with the policy on
//! the table, under a view without obligations. All statements of the red team, and random ones.

use std::collections::BTreeMap;

use meshwork_control::port::data::{GovernedBody, GovernedTable, GovernedView};
use meshwork_core::filter::RowFilter;
use meshwork_core::id::OutputId;
use meshwork_core::publication::ViewColumn;
use meshwork_testkit::RandomSql;

use super::catalog::{Fixture, fixture, moment, run};
use super::redteam::STATEMENTS;

/// Without masks, filter and grants.
fn bare(table: &GovernedTable, name: &str) -> GovernedTable {
    let mut bare = table.clone();
    bare.columns.iter_mut().for_each(|column| column.mask = None);
    bare.rows = RowFilter::default();
    bare.decision_digest = format!("digest-{name}");
    bare
}

/// `table` as a view over another one.
fn view(table: &GovernedTable, sql: &str, below: GovernedTable) -> GovernedTable {
    let column = |column: &meshwork_control::port::data::GovernedColumn| ViewColumn {
        id: Some(column.id.clone()),
        name: column.name.clone(),
        native: column.native.clone(),
    };
    let body = GovernedView {
        sql: sql.to_owned(),
        now: moment("2026-01-31"),
        columns: table.columns.iter().map(column).collect(),
        inputs: BTreeMap::from([("people".to_owned(), below)]),
    };
    GovernedTable {
        output_id: OutputId::new("out-view"),
        delta_version: 7,
        body: GovernedBody::View(Box::new(body)),
        ..table.clone()
    }
}

const SQL: &str = "SELECT p.id, p.name, coalesce(p.email, NULL) AS email, p.ssn, p.salary, p.region FROM people p";

#[derive(Clone, Copy)]
enum Policy {
    OnView,
    BelowView,
    BelowTwo,
}

async fn viewed(policy: Policy) -> Fixture {
    let mut fixture = fixture().await;
    let mut catalog = fixture.catalog.as_ref().clone();
    let c = catalog.tables[&("crm".to_owned(), "c".to_owned())].clone();
    let table = match policy {
        Policy::OnView => view(&c, "SELECT * FROM people", bare(&c, "bare")),
        Policy::BelowView => view(&bare(&c, "view"), SQL, c),
        Policy::BelowTwo => {
            let first = view(&bare(&c, "first"), "SELECT * FROM people WHERE true", c.clone());
            view(&bare(&c, "second"), "WITH p AS (SELECT * FROM people) SELECT * FROM p", first)
        }
    };
    for name in ["c", "c_v1"] {
        catalog.tables.insert(("crm".to_owned(), name.to_owned()), table.clone());
    }
    fixture.catalog = std::sync::Arc::new(catalog);
    fixture
}

#[tokio::test]
async fn every_statement_gives_over_a_view_what_the_materialised_table_gives() {
    for (policy, step) in [(Policy::OnView, 1), (Policy::BelowView, 1), (Policy::BelowTwo, 5)] {
        let fixture = viewed(policy).await;
        for sql in STATEMENTS.iter().step_by(step) {
            fixture.assert_as_oracle(sql).await;
        }
    }
}

#[tokio::test]
async fn random_statements_over_views_equal_the_oracle() {
    for (seed, policy) in [(20_261_121, Policy::OnView), (20_261_122, Policy::BelowView)] {
        let fixture = viewed(policy).await;
        let mut random = RandomSql::new(seed, "crm.c", "crm.o");
        let (mut answered, total) = (0, 60);
        for _ in 0..total {
            let sql = random.statement();
            fixture.assert_as_oracle(&sql).await;
            answered += usize::from(fixture.query(&sql).await.is_ok());
        }
        assert!(answered > total / 2, "only {answered} of {total} statements had an answer");
    }
}

#[tokio::test]
async fn the_record_names_what_a_view_reads() {
    let fixture = viewed(Policy::BelowTwo).await;
    let planned = fixture.planned("SELECT ssn FROM crm.c WHERE id > 3").await.unwrap();
    let whole: Vec<_> = planned.tables().iter().flat_map(|table| table.whole()).collect();
    let said: Vec<_> = whole
        .iter()
        .map(|table| (table.decision_digest.as_str(), table.delta_version, table.masked.len(), table.filtered))
        .collect();
    assert_eq!(said, [("digest-second", 7, 0, false), ("digest-first", 7, 0, false), ("digest-c", 2, 3, true)]);
}

#[tokio::test]
async fn nothing_below_a_view_is_shown() {
    for policy in [Policy::OnView, Policy::BelowView] {
        let fixture = viewed(policy).await;
        for sql in ["EXPLAIN VERBOSE SELECT count(*) FROM crm.c", "EXPLAIN ANALYZE SELECT ssn FROM crm.c WHERE id > 3"]
        {
            let text = fixture.query(sql).await.unwrap().join("\n");
            for secret in ["parquet", "file", "out-c", "EU", "rows=12", "people", "digest", "statistics"] {
                assert!(!text.to_lowercase().contains(&secret.to_lowercase()), "{sql} shows {secret}:\n{text}");
            }
        }
        for sql in ["SELECT * FROM people", "SELECT * FROM public.people", "SELECT people.id FROM crm.c"] {
            assert!(fixture.query(sql).await.is_err(), "{sql}");
        }
    }
}

#[tokio::test]
async fn an_error_below_a_view_says_nothing() {
    let fixture = viewed(Policy::OnView).await;
    let planned = fixture.planned("SELECT * FROM crm.c").await.unwrap();
    for entry in std::fs::read_dir(fixture.folder.path().join("out-c/v1")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "parquet") {
            std::fs::write(path, b"not a parquet file").unwrap();
        }
    }
    let error = run(planned.as_ref(), Vec::new()).await.unwrap_err();
    assert_eq!(error.code, "MW0813", "{error}");
}

/// `now()` is the moment of the run that checked the view, not that of the reader.
#[tokio::test]
async fn a_view_has_its_own_moment() {
    let mut fixture = fixture().await;
    let mut catalog = fixture.catalog.as_ref().clone();
    let c = catalog.tables[&("crm".to_owned(), "c".to_owned())].clone();
    let mut shown = bare(&c, "view");
    shown.columns.retain(|column| column.name == "name");
    let sql = "SELECT CAST(CAST(now() AS DATE) AS VARCHAR) AS name FROM people WHERE id = 1";
    let table = view(&shown, sql, bare(&c, "bare"));
    catalog.tables.insert(("crm".to_owned(), "c".to_owned()), table);
    fixture.catalog = std::sync::Arc::new(catalog);
    assert_eq!(fixture.query("SELECT name FROM crm.c").await.unwrap(), ["2026-01-31"]);
}
