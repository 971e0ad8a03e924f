//! `quarantine_limit: 1% | 0.01 | 500` of an output.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::quarantine::QuarantineLimit;
use crate::reader::{Fields, Spanned, shown};
use crate::yaml::NodeKind;

pub(super) struct QuarantineLimitText;

impl JsonSchema for QuarantineLimitText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "QuarantineLimit".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [
            { "type": "string", "pattern": r"^[0-9]+(\.[0-9]{0,4})? *%$" },
            { "type": "integer", "minimum": 0 },
            { "type": "number", "minimum": 0, "exclusiveMaximum": 1 },
        ] })
    }
}

pub(super) fn quarantine_limit(fields: &Fields<'_>) -> Option<Spanned<QuarantineLimit>> {
    let node = fields.node("quarantine_limit")?;
    let text = match &node.kind {
        NodeKind::Text(text) | NodeKind::Number(text) => text.as_str(),
        _ => "",
    };
    let found = QuarantineLimit::parse(text);
    if found.is_none() {
        let message = match text {
            "" => format!("`quarantine_limit` must be a share or a number of rows, not {}", node.kind_name()),
            text => format!("`{}` is neither a share of the rows nor a number of rows", shown(text)),
        };
        let hint = "Write `1%` or `0.01` for a share of a run's rows, or `500` for a number of rows.";
        fields.findings().error_hinting("MW0178", node.span, message, hint);
    }
    found.map(|value| Spanned { value, span: node.span })
}
