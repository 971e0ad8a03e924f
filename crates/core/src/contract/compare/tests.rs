use super::*;
use crate::yaml;

const BASE: &str = "schema: orders
version: 1.2.3
owner: sales
sla: { freshness: 1 hour, retention: 2 years }
fields:
  - { name: order_id, type: string, primary_key: true }
  - { name: state, type: string, required: true, enum: [open, shipped] }
  - { name: amount, type: \"decimal(10,2)\", min: 0, max: 1000 }
  - { name: pieces, type: integer, format: i32 }
  - { name: email, type: string, classification: pii }
quality:
  - row_count: { min: 10 }
  - unique: [order_id, state]
  - range: { field: pieces, min: 1 }
    severity: warning
";

fn contract(text: &str) -> Contract {
    let node = yaml::parse("c.yaml", text).unwrap();
    let (contract, found) = crate::contract::parse("c.yaml", text, &node);
    assert!(found.is_empty(), "{found:#?}");
    contract.unwrap()
}

/// `level path: what` of each change that replacing text in the base makes.
fn changes(replacements: &[(&str, &str)]) -> Vec<String> {
    let mut text = BASE.to_owned();
    for (from, to) in replacements {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let found = compare(&contract(BASE), &contract(&text));
    found.iter().map(|c| format!("{:?} {}: {}", c.level, c.path, c.what)).collect()
}

#[test]
fn nothing_changed() {
    assert!(changes(&[]).is_empty());
    assert!(changes(&[("version: 1.2.3", "version: 1.2.4")]).is_empty());
}

#[test]
fn one_change_at_a_time() {
    for (from, to, expected) in [
        ("  - { name: pieces, type: integer, format: i32 }\n", "", ""),
        ("required: true, enum", "enum", "Breaking orders.state: no longer guaranteed: no nulls"),
        (
            "type: integer, format: i32",
            "type: integer, format: i32, required: true",
            "Compatible orders.pieces: now guaranteed: no nulls",
        ),
        (
            "[open, shipped]",
            "[open, shipped, lost]",
            "Breaking orders.state: guaranteed one of open, shipped, now only one of open, shipped, lost",
        ),
        ("[open, shipped]", "[open]", "Compatible orders.state: now guaranteed: one of open"),
        ("[open, shipped]", "[shipped, open]", ""),
        (
            "max: 1000",
            "max: 2000",
            "Breaking orders.amount: guaranteed at least 0 and at most 1000, now only at least 0 and at most 2000",
        ),
        ("max: 1000", "max: 999.99", "Compatible orders.amount: now guaranteed: at least 0 and at most 999.99"),
        ("max: 1000", "max: 1000.0", ""),
        (
            "decimal(10,2)",
            "decimal(12,2)",
            "Compatible orders.amount: type changed from decimal(10,2) to decimal(12,2)",
        ),
        ("decimal(10,2)", "decimal(12,3)", "Breaking orders.amount: type changed from decimal(10,2) to decimal(12,3)"),
        ("format: i32", "format: i64", "Compatible orders.pieces: type changed from int to bigint"),
        ("format: i32", "format: i16", "Breaking orders.pieces: type changed from int to smallint"),
        ("type: integer, format: i32", "type: string", ""),
        (
            "classification: pii",
            "classification: [pii, contact]",
            "Breaking orders.email: classified as contact: it may be masked",
        ),
        (", classification: pii", "", "Compatible orders.email: no longer classified as pii"),
        ("primary_key: true", "required: true, unique: true", "Breaking orders: primary key removed"),
        ("min: 10 }", "min: 5 }", "Breaking orders: guaranteed at least 10 rows, now only at least 5 rows"),
        ("min: 10 }", "min: 50 }", "Compatible orders: now guaranteed: at least 50 rows"),
        ("  - row_count: { min: 10 }\n", "", "Breaking orders: no longer guaranteed: at least 10 rows"),
        ("    severity: warning", "    severity: info", "Patch orders: clauses that do not gate changed"),
        ("owner: sales", "owner: shop", "Patch contract: owner changed"),
        ("freshness: 1 hour", "freshness: 2 hours", "Breaking sla: freshness loosened"),
        ("freshness: 1 hour", "freshness: 10 minutes", "Compatible sla: freshness tightened"),
        ("retention: 2 years", "retention: 1 year", "Breaking sla: retention loosened"),
        (", retention: 2 years", "", "Breaking sla: retention is no longer promised"),
        ("retention: 2 years", "retention: 2 years, latency: 1h", "Compatible sla: latency is promised"),
        ("schema: orders", "schema: sales_orders", ""),
    ] {
        let found = if from.contains("pieces, type: integer, format: i32 }\n") || to == "type: string" {
            changes(&[(from, to), ("  - range: { field: pieces, min: 1 }\n    severity: warning\n", "")])
        } else {
            changes(&[(from, to)])
        };
        match (from, to) {
            (_, "") if from.contains("pieces, type") => assert_eq!(
                found,
                ["Breaking orders.pieces: the column is gone", "Patch orders: clauses that do not gate changed"]
            ),
            (_, "type: string") => assert_eq!(
                found,
                [
                    "Breaking orders.pieces: type changed from int to text",
                    "Patch orders: clauses that do not gate changed"
                ]
            ),
            (_, "schema: sales_orders") => {
                assert_eq!(found, ["Patch contract: name changed", "Patch sales_orders: renamed from orders"])
            }
            (_, _) if expected.is_empty() => assert!(found.is_empty(), "{from} → {to}: {found:?}"),
            _ => assert_eq!(found, [expected], "{from} → {to}"),
        }
    }
}

#[test]
fn a_rename_breaks_and_keeps_its_guarantees() {
    let found = changes(&[("name: amount", "name: total, renamed_from: amount")]);
    assert_eq!(found, ["Breaking orders.total: renamed from amount"]);
}

#[test]
fn new_columns_bring_their_guarantees_without_a_word() {
    let found =
        changes(&[("quality:\n", "  - { name: note, type: string, required: true, max_length: 10 }\nquality:\n")]);
    assert_eq!(found, ["Compatible orders.note: new column"]);
}

#[test]
fn columns_in_another_order() {
    let state = "  - { name: state, type: string, required: true, enum: [open, shipped] }\n";
    let found = changes(&[(state, ""), ("quality:\n", &format!("{state}quality:\n"))]);
    assert_eq!(found, ["Compatible orders: the columns stand in another order"]);
}

#[test]
fn versions_that_rise_enough_and_not() {
    let change = |level| Change { path: "t.c".into(), column: None, what: "the column is gone".into(), level };
    for (old, new, level, expected) in [
        ("1.2.3", "2.0.0", Some(Level::Breaking), None),
        (
            "1.2.3",
            "1.3.0",
            Some(Level::Breaking),
            Some(
                "1.2.3 → 1.3.0 is not enough for a breaking change (t.c: the column is gone); it must be at least 2.0.0",
            ),
        ),
        ("0.2.3", "0.3.0", Some(Level::Breaking), Some("at least 1.0.0")),
        ("1.2.3", "1.3.0", Some(Level::Compatible), None),
        ("1.2.3", "1.2.4", Some(Level::Compatible), Some("at least 1.3.0")),
        ("1.2.3", "1.2.4", Some(Level::Patch), None),
        ("1.2.3", "1.2.3", Some(Level::Patch), Some("at least 1.2.4")),
        ("1.2.3", "1.2.3", None, None),
        ("1.2.3", "1.2.2", None, Some("the version went back from 1.2.3 to 1.2.2")),
        ("2.0.0-beta.1", "2.0.0", Some(Level::Compatible), None),
        ("2.0.0-beta.1", "2.0.0", Some(Level::Breaking), Some("at least 3.0.0")),
    ] {
        let changes: Vec<Change> = level.map(change).into_iter().collect();
        let found = check_bump(&old.parse().unwrap(), &new.parse().unwrap(), &changes);
        match expected {
            None => assert_eq!(found, None, "{old} → {new}"),
            Some(text) => assert!(found.as_deref().is_some_and(|f| f.contains(text)), "{old} → {new}: {found:?}"),
        }
    }
}
