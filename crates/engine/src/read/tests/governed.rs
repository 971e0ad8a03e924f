//! What a reader gets and what is recorded of it.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};
use datafusion::arrow::datatypes::DataType;
use meshwork_control::port::data::QueryEngine;
use meshwork_core::error::Kind;
use meshwork_core::filter::RowFilter;

use super::catalog::{FakeCatalog, Fixture, fixture, moment, run};

#[tokio::test]
async fn masks_and_filter_as_designed() {
    let fixture = fixture().await;
    let rows = fixture.query("SELECT id, name, ssn, salary, region FROM crm.c ORDER BY id LIMIT 2").await.unwrap();
    assert_eq!(rows, ["1|Ada|nnn-nn-6789|NULL|EU", "3|17|nnn-nn-1111|NULL|EU"]);
}

#[tokio::test]
async fn the_tables_of_a_statement_come_from_its_plan() {
    let fixture = fixture().await;
    let sql = "WITH unused AS (SELECT * FROM crm.o) SELECT id FROM crm.c WHERE ssn = 'x' ORDER BY name";
    let planned = fixture.planned(sql).await.unwrap();
    let [used] = planned.tables() else { panic!("{:?}", planned.tables()) };
    assert_eq!((used.domain.as_str(), used.output.as_str(), used.delta_version), ("crm", "c", 2));
    assert_eq!(used.columns, ["id", "name", "ssn"]);
    assert_eq!(used.masked, ["ssn"]);
    assert!(used.filtered);
    let both = fixture.planned("SELECT note FROM crm.o WHERE customer IN (SELECT id FROM crm.c)").await.unwrap();
    assert_eq!(both.tables().len(), 2);
}

#[tokio::test]
async fn results_have_plain_types_and_no_metadata() {
    let fixture = fixture().await;
    let schema = fixture.planned("SELECT name, ssn, note FROM crm.c, crm.o").await.unwrap().schema();
    assert!(schema.fields().iter().all(|field| field.data_type() == &DataType::Utf8 && field.metadata().is_empty()));
    assert!(schema.metadata().is_empty());
}

#[tokio::test]
async fn a_table_without_obligations_has_no_barrier() {
    let fixture = fixture().await;
    let plan = fixture.query("EXPLAIN SELECT count(*) FROM crm.o WHERE amount > 10").await.unwrap().join("\n");
    assert!(plan.contains("Scan: crm.o") && !plan.contains("GovernedScan"), "{plan}");
    // Counted from statistics, as DataFusion does on its own.
    let plan = fixture.query("EXPLAIN SELECT count(*) FROM crm.o").await.unwrap().join("\n");
    assert!(!plan.contains("Scan: crm.o"), "{plan}");
}

#[tokio::test]
async fn unknown_and_undiscoverable_look_alike_and_forbidden_says_so() {
    let fixture = fixture().await;
    let unknown = fixture.query("SELECT * FROM crm.nothing").await.unwrap_err();
    let hidden = fixture.query("SELECT * FROM nowhere.nothing").await.unwrap_err();
    assert_eq!((unknown.kind, hidden.kind), (Kind::NotFound, Kind::NotFound));
    assert_eq!(unknown.message, "table `crm.nothing` does not exist");
    assert_eq!(hidden.message, "table `nowhere.nothing` does not exist");
    assert_eq!(fixture.query("SELECT * FROM crm.closed").await.unwrap_err().code, "MW0700");
}

fn withholding(fixture: &Fixture) -> Fixture2<'_> {
    let mut catalog: FakeCatalog = fixture.catalog.as_ref().clone();
    for table in catalog.tables.values_mut().filter(|table| table.output.as_str() == "c") {
        table.columns.retain(|column| column.name != "ssn");
        table.withheld = vec!["ssn".to_owned()];
    }
    Fixture2 { fixture, catalog: Arc::new(catalog) }
}

struct Fixture2<'a> {
    fixture: &'a Fixture,
    catalog: Arc<FakeCatalog>,
}

impl Fixture2<'_> {
    async fn query(&self, sql: &str) -> meshwork_core::Result<Vec<String>> {
        let mut request = self.fixture.request(sql);
        request.catalog = Arc::clone(&self.catalog) as Arc<_>;
        let planned = self.fixture.engine.plan(request).await?;
        run(planned.as_ref(), Vec::new()).await
    }
}

#[tokio::test]
async fn a_withheld_column_is_absent_and_naming_it_is_forbidden() {
    let fixture = fixture().await;
    let narrow = withholding(&fixture);
    let rows = narrow.query("SELECT * FROM crm.c WHERE id = 1").await.unwrap();
    assert_eq!(rows[0].split('|').count(), 5);
    for sql in ["SELECT ssn FROM crm.c", "SELECT id FROM crm.c WHERE ssn = 'x'", "SELECT x.ssn FROM crm.c x"] {
        let error = narrow.query(sql).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.kind), ("MW0715", Kind::Forbidden), "{sql}");
    }
    assert_eq!(narrow.query("SELECT snn FROM crm.c").await.unwrap_err().code, "MW0803");
}

#[tokio::test]
async fn a_row_filter_may_name_a_withheld_column() {
    let fixture = fixture().await;
    let mut narrow = withholding(&fixture);
    let catalog = Arc::make_mut(&mut narrow.catalog);
    for table in catalog.tables.values_mut().filter(|table| table.output.as_str() == "c") {
        table.columns.retain(|column| column.name != "region");
        table.withheld.push("region".to_owned());
    }
    assert_eq!(narrow.query("SELECT count(*) FROM crm.c").await.unwrap(), ["7"]);
}

#[tokio::test]
async fn statistics_are_public_without_a_row_filter_but_not_those_of_masked_columns() {
    let fixture = fixture().await;
    let mut catalog = fixture.catalog.as_ref().clone();
    for table in catalog.tables.values_mut() {
        table.rows = RowFilter::default();
    }
    let all = Fixture2 { fixture: &fixture, catalog: Arc::new(catalog) };
    assert_eq!(all.query("SELECT count(*), min(id), max(id) FROM crm.c").await.unwrap(), ["12|1|12"]);
    assert_eq!(all.query("SELECT min(salary), max(salary), count(salary) FROM crm.c").await.unwrap(), ["NULL|NULL|0"]);
}

#[tokio::test]
async fn time_travel_reads_the_version_of_that_moment() {
    let fixture = fixture().await;
    let count = |sql: &'static str| fixture.query(sql);
    assert_eq!(count("SELECT count(*) FROM crm.c").await.unwrap(), ["7"]);
    assert_eq!(count("SELECT count(*) FROM crm.c FOR SYSTEM_TIME AS OF '2026-01-15'").await.unwrap(), ["4"]);
    assert_eq!(
        count("SELECT count(*) FROM crm.c FOR SYSTEM_TIME AS OF TIMESTAMP '2026-02-15 10:00:00' x").await.unwrap(),
        ["7"]
    );
    // Today's policy, on the old version too; both in one statement.
    let sql = "SELECT n.id FROM crm.c n LEFT JOIN crm.c FOR SYSTEM_TIME AS OF '2026-01-15' AS old ON n.id = old.id
        WHERE old.id IS NULL ORDER BY 1";
    assert_eq!(fixture.query(sql).await.unwrap(), ["9", "10", "12"]);
    let old = "SELECT ssn FROM crm.c FOR SYSTEM_TIME AS OF '2026-01-15' WHERE id = 1";
    assert_eq!(fixture.query(old).await.unwrap(), ["nnn-nn-6789"]);
    let mut request = fixture.request("SELECT count(*) FROM crm.c");
    request.as_of = Some(moment("2026-01-15"));
    let planned = fixture.engine.plan(request).await.unwrap();
    assert_eq!(run(planned.as_ref(), Vec::new()).await.unwrap(), ["4"]);
    assert_eq!(planned.tables()[0].delta_version, 1);
}

#[tokio::test]
async fn parameters_have_types_and_bind_again_and_again() {
    let fixture = fixture().await;
    let planned = fixture.planned("SELECT id FROM crm.c WHERE id > $1 AND ssn = $2 ORDER BY id").await.unwrap();
    assert_eq!(planned.parameters(), [Some(DataType::Int64), Some(DataType::Utf8)]);
    let values = |id: i64, ssn: &str| -> Vec<ArrayRef> {
        vec![Arc::new(Int64Array::from(vec![id])), Arc::new(StringArray::from(vec![ssn]))]
    };
    assert_eq!(run(planned.as_ref(), values(0, "nnn-nn-6789")).await.unwrap(), ["1", "9"]);
    assert_eq!(run(planned.as_ref(), values(5, "nnn-nn-6789")).await.unwrap(), ["9"]);
    assert_eq!(run(planned.as_ref(), values(0, "123-45-6789")).await.unwrap(), Vec::<String>::new());
    assert_eq!(run(planned.as_ref(), Vec::new()).await.unwrap_err().code, "MW0817");
}

#[tokio::test]
async fn a_statement_without_parameters_runs_again() {
    let fixture = fixture().await;
    let planned = fixture.planned("SELECT count(*) FROM crm.c JOIN crm.o ON id = customer").await.unwrap();
    for _ in 0..3 {
        assert_eq!(run(planned.as_ref(), Vec::new()).await.unwrap(), ["4"]);
    }
}

#[tokio::test]
async fn now_is_the_request_s_and_the_zone_is_utc() {
    let fixture = fixture().await;
    assert_eq!(fixture.query("SELECT current_date").await.unwrap(), ["2026-03-01"]);
    assert_eq!(fixture.query("SELECT CAST(TIMESTAMP '2026-03-01T00:00:00Z' AS TEXT)").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_version_that_does_not_exist_is_an_error_without_a_path() {
    let fixture = fixture().await;
    let mut catalog = fixture.catalog.as_ref().clone();
    for table in catalog.tables.values_mut() {
        table.delta_version = 99;
    }
    let broken = Fixture2 { fixture: &fixture, catalog: Arc::new(catalog) };
    let error = broken.query("SELECT 1 FROM crm.c").await.unwrap_err();
    assert_eq!((error.code.as_str(), error.kind), ("MW0818", Kind::Environment));
    assert!(!error.message.contains("out-c"), "{error}");
}

/// Stored before two columns swapped their names: the policy follows the columns, not the names.
#[tokio::test]
async fn columns_are_found_by_identity() {
    let fixture = fixture().await;
    let mut catalog = fixture.catalog.as_ref().clone();
    let table = catalog.tables.get_mut(&("crm".to_owned(), "c".to_owned())).unwrap();
    table.location = super::catalog::write_renamed(&fixture.folder).await;
    table.delta_version = 1;
    let renamed = Fixture2 { fixture: &fixture, catalog: Arc::new(catalog) };
    let rows = renamed.query("SELECT id, name, ssn, region, salary FROM crm.c").await.unwrap();
    assert_eq!(rows, ["1|Ada|nnn-nn-6789|EU|NULL"]);
    assert_eq!(renamed.query("SELECT old_region FROM crm.c").await.unwrap_err().code, "MW0803");
}
