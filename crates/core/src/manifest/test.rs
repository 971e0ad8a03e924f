//! `*.test.yaml` beside a product: rows in, rows out.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::effect::Timestamp;
use crate::error::Place;
use crate::name::Name;
use crate::reader::{Fields, Findings, Spanned};
use crate::yaml::Node;

/// Tests of the product that they lie beside.
#[derive(Clone, Debug, Default)]
pub struct TestManifest {
    /// The path relative to the mesh folder.
    pub path: String,
    pub tests: Vec<TestCase>,
}

#[derive(Clone, Debug)]
pub struct TestCase {
    pub name: String,
    /// What `now()` and `current_date` are.
    pub now: Option<Timestamp>,
    pub inputs: BTreeMap<String, Rows>,
    /// Rows that tables which grow have before, by output.
    pub existing: BTreeMap<String, Rows>,
    pub expect: BTreeMap<String, Expected>,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub enum Rows {
    /// In columns by name, as the author wrote the values.
    Inline(Vec<Row>),
    /// Of a file, relative to the folder of the product.
    File(Spanned<String>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub cells: Vec<(String, Node)>,
    pub place: Place,
}

/// What is expected of one output.
#[derive(Clone, Debug)]
pub struct Expected {
    pub rows: Option<Rows>,
    /// In this order, and not in any.
    pub ordered: bool,
    /// There may be further rows.
    pub subset: bool,
    /// The clauses that must not pass, by id; all others must.
    pub violations: Vec<Spanned<String>>,
    pub place: Place,
}

pub fn read<'n>(findings: &'n Findings<'n>, node: &'n Node) -> Option<TestManifest> {
    let fields = Fields::of(findings, node, "the test file")?;
    let mut tests: Vec<TestCase> = Vec::new();
    for item in fields.list("tests") {
        let Some(case) = case(findings, item) else { continue };
        if tests.iter().any(|other| other.name == case.name) {
            let message = format!("a second test is called `{}`", crate::reader::shown(&case.name));
            findings.error("MW1061", item.span, message);
        }
        tests.push(case);
    }
    fields.finish();
    Some(TestManifest { path: findings.path().to_owned(), tests })
}

fn case<'n>(findings: &'n Findings<'n>, node: &'n Node) -> Option<TestCase> {
    let fields = Fields::of(findings, node, "the test")?;
    let name = fields.required_text("name").map(|name| name.value.to_owned()).unwrap_or_default();
    fields.allow(&["description"]);
    let now = fields.text("now").and_then(|text| {
        let parsed = chrono::DateTime::parse_from_rfc3339(text.value).map(|at| at.with_timezone(&chrono::Utc));
        if parsed.is_err() {
            findings.error_hinting("MW1061", text.span, "`now` is not a moment", "Such as `2026-01-31T00:00:00Z`.");
        }
        parsed.ok()
    });
    let inputs = given(findings, &fields, "inputs", "the input");
    let existing = given(findings, &fields, "existing", "what there is of");
    let expect = fields
        .named("expect")
        .into_iter()
        .filter_map(|(name, node)| Some((name.value.to_string(), expected(findings, &name, node)?)));
    let expect: BTreeMap<String, Expected> = expect.collect();
    if expect.is_empty() {
        let hint = "Name outputs, each with `rows`, `file` or `violations`.";
        findings.error_hinting("MW1061", node.span, "the test expects nothing", hint);
    }
    fields.finish();
    Some(TestCase { name, now, inputs, existing, expect, place: findings.place(node.span) })
}

/// Rows by name, written out or in a file.
fn given<'n>(findings: &'n Findings<'n>, fields: &Fields<'n>, key: &'static str, what: &str) -> BTreeMap<String, Rows> {
    let all = fields.named(key).into_iter().filter_map(|(name, node)| {
        let rows = match node.as_list() {
            Some(items) => Rows::Inline(rows(findings, items)),
            None => {
                let fields = Fields::under(findings, node, format!("{what} `{}`", name.value), name.span)?;
                let file = fields.required_text("file")?.map(str::to_owned);
                fields.finish();
                Rows::File(file)
            }
        };
        Some((name.value.to_string(), rows))
    });
    all.collect()
}

fn expected<'n>(findings: &'n Findings<'n>, name: &Spanned<Name>, node: &'n Node) -> Option<Expected> {
    let place = findings.place(name.span);
    if let Some(items) = node.as_list() {
        let rows = Some(Rows::Inline(rows(findings, items)));
        return Some(Expected { rows, ordered: false, subset: false, violations: Vec::new(), place });
    }
    let fields = Fields::under(findings, node, format!("what is expected of `{}`", name.value), name.span)?;
    let inline = fields.node("rows").map(|_| Rows::Inline(rows(findings, fields.list("rows"))));
    let file = fields.text("file").map(|file| Rows::File(file.map(str::to_owned)));
    if inline.is_some() && file.is_some() {
        findings.error("MW1061", fields.span_of("file"), "`rows` and `file` cannot both say what is expected");
    }
    let expected = Expected {
        rows: inline.or(file),
        ordered: fields.choice("order", &[("any", false), ("exact", true)]).is_some_and(|order| order.value),
        subset: fields.choice("match", &[("all", false), ("subset", true)]).is_some_and(|subset| subset.value),
        violations: fields.texts("violations").into_iter().map(|text| text.map(str::to_owned)).collect(),
        place,
    };
    fields.finish();
    Some(expected)
}

fn rows<'n>(findings: &'n Findings<'n>, items: &'n [Node]) -> Vec<Row> {
    let row = |item: &Node| match item.as_map() {
        Some(entries) => {
            let cells = entries.iter().map(|(key, value)| (key.text.clone(), value.clone())).collect();
            Some(Row { cells, place: findings.place(item.span) })
        }
        None => {
            let hint = "Such as `{ order_id: 1, status: paid }`.";
            findings.error_hinting("MW1061", item.span, "a row is a map of columns and values", hint);
            None
        }
    };
    items.iter().filter_map(row).collect()
}

/// The shape of the file, for the JSON Schema.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, title = "Tests")]
#[allow(dead_code, reason = "read by hand, so that findings have places")]
pub(super) struct Shape {
    /// The tests.
    tests: Vec<CaseShape>,
}

type RowShape = BTreeMap<String, serde_json::Value>;

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "read by hand, so that findings have places")]
struct CaseShape {
    /// What is tested, in words.
    name: String,
    /// More words.
    description: Option<String>,
    /// What `now()` is (RFC 3339).
    now: Option<String>,
    /// Rows of the product's inputs; one that is not named is empty.
    #[schemars(default)]
    inputs: BTreeMap<Name, InputShape>,
    /// Rows that an output of mode `append` or `merge` has before; none unless given.
    #[schemars(default)]
    existing: BTreeMap<Name, InputShape>,
    /// What comes out, by output.
    expect: BTreeMap<Name, ExpectShape>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "read by hand, so that findings have places")]
enum InputShape {
    Rows(Vec<RowShape>),
    File(FileShape),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "read by hand, so that findings have places")]
struct FileShape {
    /// CSV, JSON or Parquet, relative to the folder of the product.
    file: String,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "read by hand, so that findings have places")]
enum ExpectShape {
    Rows(Vec<RowShape>),
    Details(DetailShape),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "read by hand, so that findings have places")]
struct DetailShape {
    /// The rows. A row is compared in the columns that it names.
    rows: Option<Vec<RowShape>>,
    /// The rows, in a CSV file with a header, relative to the folder of the product.
    file: Option<String>,
    /// `any` (default) or `exact`.
    order: Option<String>,
    /// `all` (default): exactly these rows; `subset`: at least these.
    #[schemars(rename = "match")]
    matching: Option<String>,
    /// Ids of the clauses that must fail; all others must pass.
    #[schemars(default)]
    violations: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn found(text: &str) -> (Option<TestManifest>, Vec<String>) {
        let node = yaml::parse("a.test.yaml", text).unwrap();
        let findings = Findings::new("a.test.yaml");
        let manifest = read(&findings, &node);
        let found = findings.into_diagnostics();
        (manifest, found.into_iter().map(|d| format!("{} {}:{}", d.code, d.place.line, d.place.column)).collect())
    }

    #[test]
    fn rows_in_rows_out() {
        let text = "\
tests:
  - name: doubles
    now: 2026-01-31T00:00:00Z
    inputs:
      raw: [{ a: 1 }, { a: 2 }]
      more: { file: tests/more.csv }
    expect:
      out:
        rows: [{ b: 2 }]
        order: exact
        match: subset
        violations: [b.required]
      other: []
";
        let (manifest, found) = found(text);
        assert!(found.is_empty(), "{found:?}");
        let case = &manifest.unwrap().tests[0];
        assert!(matches!(&case.inputs["raw"], Rows::Inline(rows) if rows.len() == 2));
        let expected = &case.expect["out"];
        assert!(expected.ordered && expected.subset && expected.violations[0].value == "b.required");
        assert!(!case.expect["other"].ordered);
    }

    #[test]
    fn what_is_wrong_has_a_place() {
        let text = "tests:\n  - name: a\n    inputs: { raw: [1] }\n    expect: { out: { order: some } }\n  - name: a\n    nowe: x\n    expect: {}\n";
        let (_, found) = found(text);
        assert_eq!(found.iter().filter(|f| f.starts_with("MW1061")).count(), 3, "{found:?}");
        assert!(
            found.contains(&"MW1061 3:21".to_owned()) && found.iter().any(|f| f.starts_with("MW0113 6")),
            "{found:?}"
        );
    }
}
