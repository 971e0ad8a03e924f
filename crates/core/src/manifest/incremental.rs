//! `incremental: files | publication | cursor(column)` of an input.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::product::Incremental;
use crate::reader::{Fields, Spanned, shown};

pub(super) struct IncrementalText;

impl JsonSchema for IncrementalText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Incremental".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^(files|publication|cursor\(.+\))$" })
    }
}

pub(super) fn incremental(fields: &Fields<'_>) -> Option<Spanned<Incremental>> {
    let text = fields.text("incremental")?;
    let cursor = |text: &str| {
        let column = text.strip_prefix("cursor(")?.strip_suffix(')')?.trim();
        (!column.is_empty()).then(|| Incremental::Cursor(column.to_owned()))
    };
    let found = match text.value.trim() {
        "files" => Some(Incremental::Files),
        "publication" => Some(Incremental::Publication),
        other => cursor(other),
    };
    if found.is_none() {
        let message = format!("`{}` is not a way to tell what is new", shown(text.value));
        let known = ["files", "publication", "cursor(column)"];
        fields.findings().unknown("MW0114", text.span, message, text.value, known);
    }
    found.map(|value| Spanned { value, span: text.span })
}
