use meshwork_core::contract::Field;
use meshwork_core::types::LogicalType;

use meshwork_core::product::Merge;

use super::*;

fn table(fields: &[(&str, ColumnType)]) -> Table {
    let field = |(name, native): &(&str, ColumnType)| Field {
        id: None,
        name: (*name).to_owned(),
        physical_name: None,
        renamed_from: None,
        logical_type: LogicalType::String,
        physical_type: None,
        native: native.clone(),
        required: false,
        unique: false,
        primary_key: None,
        classifications: Vec::new(),
        description: None,
        tags: Vec::new(),
        examples: Vec::new(),
        default_timezone: None,
        format: None,
        place: None,
    };
    Table {
        name: "leads".to_owned(),
        physical_name: None,
        description: None,
        fields: fields.iter().map(field).collect(),
        clauses: Vec::new(),
    }
}

/// Findings as `code line:column message`, over an input `crm` of known and one `raw` of unknown columns.
fn found(sql: &str) -> Vec<String> {
    let crm = vec![("lead_id".to_owned(), ColumnType::Text), ("score".to_owned(), ColumnType::Int64)];
    let check = SqlCheck {
        sql: sql.to_owned(),
        place: Place { path: "leads.sql".to_owned(), line: 1, column: 1 },
        inputs: BTreeMap::from([("crm".to_owned(), Some(crm)), ("raw".to_owned(), None)]),
        produces: table(&[("lead_id", ColumnType::Text), ("score", ColumnType::Int64)]),
        mode: Mode::Merge,
        merge: Merge { delete_when: Some("op = 'D'".to_owned()), ..Merge::default() },
    };
    let said = |d: Diagnostic| format!("{} {}:{} {}", d.code, d.place.line, d.place.column, d.message);
    Checker.check_sql(&check).into_iter().map(said).collect()
}

#[test]
fn a_transformation_that_fits_has_no_findings() {
    assert_eq!(found("SELECT lead_id, score FROM crm"), Vec::<String>::new());
    assert_eq!(found("WITH x AS (SELECT * FROM crm) SELECT * FROM x"), Vec::<String>::new());
    assert_eq!(found("SELECT lead_id, score, op FROM raw"), Vec::<String>::new(), "what a merge deletes by");
    assert_eq!(found("SELECT id AS lead_id, CAST(points AS BIGINT) AS score FROM raw"), Vec::<String>::new());
    assert_eq!(
        found("SELECT c.lead_id, r.points AS score FROM crm c JOIN raw r ON r.id = c.lead_id"),
        Vec::<String>::new()
    );
}

#[test]
fn errors_stand_at_their_place() {
    assert_eq!(found("SELECT lead_id, score\nFROM crmm"), ["MW0832 2:6 `crmm` is not an input of this product"]);
    assert_eq!(found("SELECT lead_id,\n  scor AS score FROM crm"), ["MW0833 2:3 column `scor` does not exist"]);
    assert!(
        found("SELECT lead_id score, FROM")[0].starts_with("MW0830 1:"),
        "{:?}",
        found("SELECT lead_id score, FROM")
    );
    assert!(found("DELETE FROM crm")[0].starts_with("MW0831"));
    assert!(found("SELECT 1; SELECT 2")[0].starts_with("MW0831"));
    assert!(found("SELECT nosuch(lead_id) AS lead_id, score FROM crm")[0].starts_with("MW0836"));
}

#[test]
fn the_contract_s_columns_are_produced_with_their_types() {
    assert_eq!(
        found("SELECT lead_id FROM crm"),
        ["MW0834 1:1 the contract's column `score` is not produced by the SQL"]
    );
    assert_eq!(
        found("SELECT lead_id, lead_id AS score FROM crm"),
        ["MW0835 1:1 column `score` is produced as TEXT and declared as BIGINT"]
    );
    assert_eq!(
        found("SELECT lead_id, score, 1 AS more FROM crm"),
        ["MW0837 1:1 the SQL produces column `more`, which the contract does not have"]
    );
    assert_eq!(found("SELECT lead_id, NULL AS score FROM crm"), Vec::<String>::new());
}

#[test]
fn a_clause_s_query_is_over_the_table() {
    let place = Place { path: "leads.contract.yaml".to_owned(), line: 20, column: 5 };
    let leads = table(&[("lead_id", ColumnType::Text)]);
    let codes = |query: &str| -> Vec<String> {
        Checker.check_clause_sql(query, &place, &leads).into_iter().map(|d| d.code).collect()
    };
    assert_eq!(codes("SELECT count(*) FROM {table} WHERE lead_id IS NULL"), Vec::<String>::new());
    assert_eq!(codes("SELECT count(*) FROM {batch} b JOIN {table} USING (lead_id)"), Vec::<String>::new());
    assert_eq!(codes("SELECT count(*) FROM {table} WHERE led_id IS NULL"), ["MW0833"]);
    assert_eq!(codes("SELECT count(* FROM {table}"), ["MW0830"]);
    assert_eq!(codes("SELECT count(*) FROM other"), ["MW0832"]);
}

#[test]
fn types_of_a_source_that_nobody_declared_are_not_judged() {
    assert_eq!(found("SELECT id AS lead_id, sum(points) AS score FROM raw GROUP BY id"), Vec::<String>::new());
    assert!(found("SELECT lead_id, sum(lead_id) AS score FROM crm GROUP BY lead_id")[0].starts_with("MW0836"));
}

#[test]
fn columns_named_in_using_belong_to_a_source_too() {
    assert_eq!(
        found("SELECT c.lead_id, r.points AS score FROM crm c JOIN raw r USING (lead_id)"),
        Vec::<String>::new()
    );
    assert!(found("SELECT a.lead_id, a.score FROM crm a JOIN crm b USING (key)")[0].starts_with("MW0833"));
}

#[test]
fn a_planner_that_panics_is_a_finding() {
    let place = Place { path: "leads.sql".to_owned(), line: 3, column: 1 };
    let found = roomy(&place, || panic!("on purpose"));
    assert_eq!((found[0].code.as_str(), &found[0].place), ("MW0836", &place));
}
