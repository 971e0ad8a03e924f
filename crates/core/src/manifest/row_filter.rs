//! `row_filter` of an output.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::filter::Comparison;
use crate::name::{Name, TeamName};
use crate::reader::{Fields, Findings, Spanned};
use crate::types::Literal;
use crate::yaml::{Node, NodeKind};

/// Rows that readers see only under a condition, save the named teams.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RowFilterManifest {
    /// A name for messages and audit.
    pub name: Spanned<Name>,
    /// Conditions that must all hold.
    #[schemars(rename = "where")]
    pub predicates: Vec<PredicateManifest>,
    /// Teams that see all rows. The owner team is not exempt unless it is named.
    #[schemars(with = "Vec<TeamName>", default)]
    pub except: Vec<Spanned<TeamName>>,
}

/// A comparison of a column with literals.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PredicateManifest {
    /// A column of the output.
    pub column: Spanned<String>,
    /// How they compare.
    pub op: Spanned<Comparison>,
    /// One literal; the same as `values` with one item.
    #[schemars(with = "Option<Scalar>")]
    pub value: Option<Spanned<Literal>>,
    /// The literals: one, or several for `in` and `not_in`, none for `is_null` and `is_not_null`.
    #[schemars(with = "Vec<Scalar>", default)]
    pub values: Vec<Spanned<Literal>>,
}

impl PredicateManifest {
    pub fn literals(&self) -> impl Iterator<Item = &Spanned<Literal>> {
        self.value.iter().chain(&self.values)
    }
}

struct Scalar;

impl JsonSchema for Scalar {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["boolean", "number", "string"] })
    }
}

const COMPARISONS: [(&str, Comparison); 10] = [
    ("eq", Comparison::Eq),
    ("not_eq", Comparison::NotEq),
    ("lt", Comparison::Lt),
    ("lt_eq", Comparison::LtEq),
    ("gt", Comparison::Gt),
    ("gt_eq", Comparison::GtEq),
    ("in", Comparison::In),
    ("not_in", Comparison::NotIn),
    ("is_null", Comparison::IsNull),
    ("is_not_null", Comparison::IsNotNull),
];

pub(super) fn row_filter<'n>(findings: &'n Findings<'n>, node: &'n Node) -> Option<RowFilterManifest> {
    let fields = Fields::of(findings, node, "the row filter")?;
    let name = fields.required_name("name");
    fields.required_node("where");
    let declared = fields.list("where");
    if declared.is_empty() && fields.node("where").is_some_and(|node| node.as_list().is_some()) {
        let hint = "Add a condition, or remove the filter.";
        findings.error_hinting("MW0112", fields.span_of("where"), "the row filter has no condition", hint);
    }
    let predicates = declared.iter().filter_map(|item| predicate(findings, item)).collect();
    let except = fields.teams("except");
    fields.finish();
    Some(RowFilterManifest { name: name?, predicates, except })
}

fn predicate<'n>(findings: &'n Findings<'n>, node: &'n Node) -> Option<PredicateManifest> {
    let fields = Fields::of(findings, node, "the condition")?;
    let column = fields.required_text("column").map(|text| text.map(str::to_owned));
    fields.required_node("op");
    let op = fields.choice("op", &COMPARISONS);
    let value = fields.node("value").and_then(|node| literal(findings, node));
    let values: Vec<_> = fields.list("values").iter().filter_map(|node| literal(findings, node)).collect();
    let at = fields.at();
    fields.finish();
    let predicate = PredicateManifest { column: column?, op: op?, value, values };
    let count = predicate.literals().count();
    let wanted = match predicate.op.value {
        Comparison::In | Comparison::NotIn if count == 0 => "at least one value",
        Comparison::In | Comparison::NotIn => return Some(predicate),
        Comparison::IsNull | Comparison::IsNotNull if count != 0 => "no value",
        Comparison::IsNull | Comparison::IsNotNull => return Some(predicate),
        _ if count != 1 => "exactly one value",
        _ => return Some(predicate),
    };
    findings.error("MW0134", at, format!("this comparison takes {wanted}; it has {count}"));
    Some(predicate)
}

fn literal(findings: &Findings<'_>, node: &Node) -> Option<Spanned<Literal>> {
    let value = match &node.kind {
        NodeKind::Bool(value) => Some(Literal::Boolean(*value)),
        NodeKind::Number(text) => Literal::number(text),
        NodeKind::Text(text) => Some(Literal::Text(text.clone())),
        _ => None,
    };
    if value.is_none() {
        let hint = "Rows without a value are found by `op: is_null`.";
        findings.error_hinting("MW0134", node.span, "a row filter compares with texts, numbers, true and false", hint);
    }
    value.map(|value| Spanned { value, span: node.span })
}
