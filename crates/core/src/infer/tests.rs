use std::collections::HashSet;

use super::*;
use crate::check::{self, Files};
use crate::error::Severity;
use crate::quality::Rule;
use crate::scaffold;

fn team(text: &str) -> TeamName {
    TeamName::new(text).unwrap()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn target() -> Target {
    Target {
        domain: name("music"),
        product: name("shop"),
        owner: team("music_team"),
        connection: Some(name("source")),
        from: "shop.db".into(),
    }
}

/// A column whose values are all of a type.
fn column(column: &str, native: ColumnType, rows: u64, unique: bool) -> ColumnProfile {
    let ty = ProfiledType { native, because: format!("{rows} values"), ..ProfiledType::default() };
    let seen = Values { rows, distinct: unique.then_some(rows), unique, ..Values::default() };
    ColumnProfile { name: column.to_owned(), ty, seen, ..ColumnProfile::default() }
}

fn table(name: &str, columns: Vec<ColumnProfile>) -> TableProfile {
    TableProfile {
        name: name.to_owned(),
        source: ProposedSource::Csv { path: format!("shop/data/{name}.csv"), options: CsvOptions::default() },
        description: None,
        rows: columns.first().map_or(0, |c| c.seen.rows),
        complete: true,
        columns,
        catalog: Catalog::default(),
        combinations: Vec::new(),
    }
}

/// The mesh that `init --from` would write.
fn mesh(proposal: &Proposal) -> Files {
    let mut files: Files = scaffold::mesh(&name("acme")).into_iter().collect();
    files.extend(scaffold::domain(&name("music"), &name("music_team").into()));
    files.extend(proposal.files.clone());
    files
}

fn all(tables: &[TableProfile]) -> Proposal {
    propose(&target(), tables, &HashSet::new(), &["pii".to_owned()], &|_, _| Some(true))
}

fn albums() -> Vec<TableProfile> {
    let mut email = column("Contact E-Mail", ColumnType::Text, 100, true);
    email.seen.personal = vec![(Personal::Email, 100)];
    email.seen.formats = vec![("email", 100)];
    let mut status = column("Status", ColumnType::Text, 100, false);
    status.seen.values = Some(vec![("no".into(), 40), ("on sale".into(), 60)]);
    let mut price = column("unit price", ColumnType::Decimal { precision: 12, scale: 2 }, 100, false);
    price.seen.numbers = Some(("0.99".into(), "12.50".into()));
    price.seen.nulls = 7;
    let mut released = column("released", ColumnType::Date, 100, false);
    released.ty.format = Some("%d.%m.%Y".into());
    vec![
        table(
            "artists",
            vec![column("ArtistId", ColumnType::Int64, 50, true), column("Name", ColumnType::Text, 50, true), email],
        ),
        table(
            "Album",
            vec![
                column("AlbumId", ColumnType::Int64, 100, true),
                column("ArtistId", ColumnType::Int64, 100, false),
                status,
                price,
                released,
                column("order", ColumnType::LocalTimestamp, 100, false),
                column("cover", ColumnType::Binary, 100, false),
                column("tags", ColumnType::List(Box::new(ColumnType::Text)), 100, false),
                column(
                    "size",
                    ColumnType::Struct(vec![
                        ("width".into(), ColumnType::Decimal { precision: 8, scale: 2 }),
                        ("unit".into(), ColumnType::Text),
                    ]),
                    100,
                    false,
                ),
            ],
        ),
    ]
}

#[test]
fn a_proposal_passes_check_and_means_what_was_seen() {
    let proposal = all(&albums());
    let checked = check::check(&mesh(&proposal));
    assert_eq!(checked.diagnostics, [], "{:#?}", proposal.files);
    let mesh = checked.mesh.unwrap();
    let (product, album) = mesh.output("music", "album").unwrap();
    assert_eq!(product.status, crate::product::Status::Proposed);
    let schema = album.versions[&1].schema();
    let rules: Vec<String> = schema.clauses.iter().map(|c| format!("{} {:?}", c.id, c.severity)).collect();
    let has =
        |rule: &dyn Fn(&Rule) -> bool| schema.clauses.iter().any(|c| c.severity == Severity::Error && rule(&c.rule));
    assert!(has(&|r| matches!(r, Rule::Unique { columns } if columns == &["album_id"])), "{rules:?}");
    assert!(has(
        &|r| matches!(r, Rule::References { to, to_columns, .. } if to == "music.artists" && to_columns == &["artist_id"])
    ));
    assert!(has(&|r| matches!(r, Rule::Enum { column, values } if column == "status" && values.len() == 2)));
    assert!(has(&|r| matches!(r, Rule::Range { column, min: Some(_), max: None, .. } if column == "unit_price")));
    assert!(has(&|r| matches!(r, Rule::Required { column } if column == "status")));
    assert!(!has(&|r| matches!(r, Rule::Required { column } if column == "unit_price")));
    assert_eq!(schema.field("order").unwrap().native, ColumnType::LocalTimestamp);
    assert_eq!(schema.field("size").unwrap().native, albums()[1].columns[8].ty.native);
    let (_, artists) = mesh.output("music", "artists").unwrap();
    let contact = artists.versions[&1].schema().field("contact_e_mail").unwrap();
    assert_eq!(contact.classifications, [name("pii")]);
    assert_eq!(contact.physical_name.as_deref(), Some("Contact E-Mail"));
    assert_eq!(proposal.outputs[0].personal, ["contact_e_mail"]);
}

#[test]
fn evidence_stands_beside_each_guess() {
    let proposal = all(&albums());
    let text = &proposal.files.iter().find(|(path, _)| path.ends_with("album.contract.yaml")).unwrap().1;
    for line in [
        "    primary_key: true                         # 100 distinct values in 100 rows; 0.97",
        "    references: artists.artist_id             # all 100 values stand there; 0.95",
        "    enum: [\"no\", on sale]                     # 2 values in 100 rows; 0.99",
        "    required: false                           # 7 of 100 rows are null (7.0 %)",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn what_was_seen_in_a_part_only_blocks_nothing() {
    let mut tables = albums();
    for table in &mut tables {
        table.complete = false;
    }
    let proposal = propose(&target(), &tables, &HashSet::new(), &["pii".to_owned()], &|_, _| None);
    let checked = check::check(&mesh(&proposal));
    assert_eq!(checked.diagnostics, []);
    let mesh = checked.mesh.unwrap();
    for output in mesh.domains["music"].products["shop"].outputs.values() {
        let schema = output.versions[&1].schema();
        let blocking: Vec<_> = schema
            .clauses
            .iter()
            .filter(|c| c.severity == Severity::Error && !matches!(c.rule, Rule::Type { .. } | Rule::Metric { .. }))
            .collect();
        assert!(blocking.is_empty(), "{blocking:#?}");
    }
}

#[test]
fn a_mesh_without_the_classification_gets_a_comment() {
    let proposal = propose(&target(), &albums(), &HashSet::new(), &[], &|_, _| Some(true));
    let text = &proposal.files[1].1;
    assert!(text.contains("# contact_e_mail: likely e-mail addresses"), "{text}");
    assert!(!text.contains("classification: pii"));
}

const MANIFEST: &str = r#"{
  "metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json", "adapter_type": "postgres", "project_name": "jaffle"},
  "nodes": {
    "model.jaffle.orders": {"resource_type": "model", "name": "orders", "alias": "orders", "schema": "shop", "description": "Orders.",
      "config": {"materialized": "table"},
      "columns": {"order_id": {"name": "order_id", "data_type": "bigint", "description": "Its number"},
                  "status": {"name": "status", "data_type": "varchar(20)", "meta": {}},
                  "customer_id": {"name": "customer_id", "data_type": "integer"}}},
    "model.jaffle.customers": {"resource_type": "model", "name": "customers", "schema": "shop", "config": {"materialized": "view"},
      "columns": {"customer_id": {"name": "customer_id", "data_type": "integer"},
                  "mail": {"name": "mail", "meta": {"contains_pii": true}}}},
    "model.jaffle.helper": {"resource_type": "model", "name": "helper", "schema": "shop", "config": {"materialized": "ephemeral"}, "columns": {}},
    "test.jaffle.u": {"resource_type": "test", "name": "unique_orders", "attached_node": "model.jaffle.orders", "column_name": "order_id",
      "test_metadata": {"name": "unique", "kwargs": {"column_name": "order_id"}}, "config": {"severity": "ERROR"}},
    "test.jaffle.n": {"resource_type": "test", "name": "not_null_orders", "attached_node": "model.jaffle.orders", "column_name": "order_id",
      "test_metadata": {"name": "not_null", "kwargs": {}}, "config": {}},
    "test.jaffle.w": {"resource_type": "test", "name": "warns", "attached_node": "model.jaffle.orders", "column_name": "status",
      "test_metadata": {"name": "not_null", "kwargs": {}}, "config": {"severity": "warn"}},
    "test.jaffle.a": {"resource_type": "test", "name": "accepted", "attached_node": "model.jaffle.orders", "column_name": "status",
      "test_metadata": {"name": "accepted_values", "kwargs": {"values": ["placed", "returned"]}}, "config": {}},
    "test.jaffle.r": {"resource_type": "test", "name": "rel", "attached_node": "model.jaffle.orders", "column_name": "customer_id",
      "depends_on": {"nodes": ["model.jaffle.orders", "model.jaffle.customers"]},
      "test_metadata": {"name": "relationships", "kwargs": {"to": "ref('customers')", "field": "customer_id"}}, "config": {}},
    "test.jaffle.x": {"resource_type": "test", "name": "own_sql", "attached_node": "model.jaffle.orders", "depends_on": {"nodes": []}, "config": {}}
  },
  "sources": {}
}"#;

#[test]
fn dbt_tests_become_clauses() {
    let project = dbt::read(MANIFEST).unwrap();
    assert_eq!((project.name.as_str(), project.models.len()), ("jaffle", 2));
    assert_eq!(project.notes.len(), 3, "{:?}", project.notes);
    let proposal = all(&project.models);
    let mut files = mesh(&proposal);
    let connection = Connected {
        name: name("source"),
        lines: vec![
            ("type", "postgres".into()),
            ("host", "localhost".into()),
            ("database", "shop".into()),
            ("user", "reader".into()),
            ("password", "${secret:source_password}".into()),
        ],
    };
    let domain = "domains/music/domain.yaml";
    let text = scaffold::domain_with(&name("music"), &name("music_team").into(), Some(&connection));
    files.insert(domain.into(), text);
    let checked = check::check(&files);
    assert_eq!(checked.diagnostics, []);
    let mesh = checked.mesh.unwrap();
    let (_, orders) = mesh.output("music", "orders").unwrap();
    let schema = orders.versions[&1].schema();
    let ids: Vec<&str> = schema.clauses.iter().map(|c| c.id.as_str()).collect();
    for id in ["order_id.required", "order_id.unique", "status.enum", "customer_id.references"] {
        assert!(ids.iter().any(|found| found.starts_with(id)), "{id} is not in {ids:?}");
    }
    assert!(!ids.contains(&"status.required"));
    assert_eq!(schema.field("order_id").unwrap().native, ColumnType::Int64);
    let (_, customers) = mesh.output("music", "customers").unwrap();
    assert_eq!(customers.versions[&1].schema().field("mail").unwrap().classifications, [name("pii")]);
}

#[test]
fn other_json_is_no_manifest() {
    for (text, part) in [
        ("{}", "not a dbt manifest"),
        ("[", "not JSON"),
        (r#"{"metadata":{"dbt_schema_version":"https://schemas.getdbt.com/dbt/manifest/v4.json"}}"#, "version 4"),
    ] {
        let error = dbt::read(text).unwrap_err();
        assert_eq!(error.code, "MW1104");
        assert!(error.message.contains(part), "{error}");
    }
}

#[test]
fn a_key_of_several_columns_where_none_is_one() {
    let mut weather = table(
        "weather",
        vec![column("origin", ColumnType::Text, 100, false), column("time_hour", ColumnType::Timestamp, 100, false)],
    );
    weather.combinations = vec![vec!["origin".into(), "time_hour".into()]];
    let checked = check::check(&mesh(&all(&[weather])));
    assert_eq!(checked.diagnostics, []);
    let mesh = checked.mesh.unwrap();
    let (_, output) = mesh.output("music", "weather").unwrap();
    let unique = |rule: &Rule| matches!(rule, Rule::Unique { columns } if columns == &["origin", "time_hour"]);
    assert!(output.versions[&1].schema().clauses.iter().any(|clause| unique(&clause.rule)));
}

#[test]
fn only_what_cannot_be_negative_is_kept_from_it() {
    let number = |name: &str, native: ColumnType, least: &str, most: &str| {
        let mut found = column(name, native, 100, false);
        found.seen.numbers = Some((least.into(), most.into()));
        found
    };
    let weather = table(
        "weather",
        vec![
            number("precip", ColumnType::Float64, "0", "1.21"),
            number("temp", ColumnType::Float64, "0.5", "100.04"),
            number("pressure", ColumnType::Float64, "983.8", "1042.1"),
            number("seats", ColumnType::Int64, "2", "450"),
            number("updated", ColumnType::Int64, "1517365391235", "1517967904877"),
        ],
    );
    let proposal = all(&[weather]);
    let checked = check::check(&mesh(&proposal));
    assert_eq!(checked.diagnostics, []);
    let mesh = checked.mesh.unwrap();
    let (_, output) = mesh.output("music", "weather").unwrap();
    let bounded: Vec<&str> = output.versions[&1]
        .schema()
        .clauses
        .iter()
        .filter(|clause| clause.severity == Severity::Error)
        .filter_map(|clause| match &clause.rule {
            Rule::Range { column, .. } => Some(column.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(bounded, ["precip", "seats"]);
    let contract = &proposal.files[1].1;
    assert!(contract.contains("# updated: perhaps milliseconds since 1970"), "{contract}");
    assert!(!contract.contains("field: updated"), "tomorrow's are greater: {contract}");
}

#[test]
fn a_value_far_from_all_others_is_no_bound() {
    let number = |name: &str, least: &str, greatest: &[(&str, u64)], median: f64| {
        let mut found = column(name, ColumnType::Float64, 10_000, false);
        found.seen.numbers = Some((least.to_owned(), greatest[0].0.to_owned()));
        found.seen.ends.greatest = greatest.iter().map(|(value, count)| ((*value).to_owned(), *count)).collect();
        found.seen.ends.median = Some(median);
        found
    };
    let proposal = all(&[table(
        "weather",
        vec![
            number("wind_speed", "-1", &[("1048.4", 1), ("42.6", 2), ("41.4", 3)], 10.4),
            number("gross", "-2", &[("2767", 1), ("1842", 1), ("1133", 1)], 40.0),
            number("gust", "-3", &[("900", 500), ("40", 2)], 10.0),
            number("flag", "-4", &[("1", 1), ("0", 9000)], 0.0),
        ],
    )]);
    let contract = &proposal.files[1].1;
    for line in [
        "range: { field: wind_speed, min: -1, max: 42.6 }",
        "far from all others: 1048.4",
        "range: { field: gross, min: -2, max: 2767 }",
        "range: { field: gust, min: -3, max: 900 }",
        "range: { field: flag, min: -4, max: 1 }",
    ] {
        assert!(contract.contains(line), "{line} is not in\n{contract}");
    }
}

#[test]
fn who_made_a_work_is_no_secret() {
    let people = |name: &str| {
        let mut found = column(name, ColumnType::Text, 100, false);
        found.seen.personal = vec![(Personal::PersonName, 60)];
        found
    };
    let text = || column("Title", ColumnType::Text, 100, true);
    for (called, columns, personal) in [
        ("movies", vec![text(), people("Director")], false),
        ("movies", vec![text(), people("Requested By")], true),
        ("contracts", vec![people("author"), column("Salary", ColumnType::Int64, 100, false)], true),
        ("books", vec![people("lead author")], false),
    ] {
        let proposal = all(&[table(called, columns)]);
        let contract = &proposal.files[1].1;
        assert_eq!(!proposal.outputs[0].personal.is_empty(), personal, "{contract}");
        assert_eq!(contract.contains("known for these works"), !personal, "{contract}");
    }
}
