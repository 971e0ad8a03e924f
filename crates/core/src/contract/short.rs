//! Reads the short form into a draft.

mod quality;
mod shape;

use crate::contract::draft::{Bound, Draft, FieldDraft, Options, ReferenceDraft, SlaDraft, TableDraft};
use crate::contract::look::{flag, items, spanned_flag, spanned_text, strings, text, texts, whole, written};
use crate::contract::shape::{Edition, Shape};
use crate::contract::{Dialect, SlaProperty};
use crate::reader::{Findings, Spanned, shown};
use crate::types::LogicalType;
use crate::yaml::{Node, NodeKind};

pub(super) use quality::{literal, read_one as clause, unit};
pub(super) use shape::{CONTRACT, QUALITY as CLAUSE};

pub const TYPES: &[(&str, LogicalType)] = &[
    ("string", LogicalType::String),
    ("integer", LogicalType::Integer),
    ("number", LogicalType::Number),
    ("boolean", LogicalType::Boolean),
    ("date", LogicalType::Date),
    ("timestamp", LogicalType::Timestamp),
    ("time", LogicalType::Time),
    ("object", LogicalType::Object),
    ("array", LogicalType::Array),
];

pub fn read<'n>(findings: &Findings<'_>, node: &'n Node) -> Draft<'n> {
    Shape::Object(&CONTRACT).check(findings, node, "contract", node.span, Edition::V3_2);
    let name = text(node, "schema").unwrap_or_default();
    let mut sla: Vec<SlaDraft> = node.get("sla").map(promises).unwrap_or_default();
    let (quality, aliases) = quality::read(findings, items(node, "quality"));
    sla.extend(aliases);
    let table = TableDraft {
        at: node.entry("schema").map_or(node.span, |(key, _)| key.span),
        id: None,
        name: name.clone(),
        physical_name: text(node, "physical_name"),
        description: None,
        fields: items(node, "fields").iter().map(|field| read_field(findings, field)).collect(),
        quality,
        references: Vec::new(),
    };
    Draft {
        dialect: Dialect::Short,
        id: text(node, "id"),
        name,
        version: node.get("version").and_then(written),
        owner: text(node, "owner"),
        description: text(node, "description"),
        tables: vec![table],
        sla,
    }
}

fn promises(node: &Node) -> Vec<SlaDraft> {
    let promise = |(key, value): &(crate::yaml::Key, Node)| {
        let (value, element) = match value.kind {
            NodeKind::Map(_) => (value.get("value").and_then(written), spanned_text(value, "element")),
            _ => (written(value), None),
        };
        Some(SlaDraft { at: key.span, property: SlaProperty::of(&key.text), element, value: value?, unit: None })
    };
    node.entries().iter().filter_map(promise).collect()
}

fn read_field<'n>(findings: &Findings<'_>, node: &'n Node) -> FieldDraft<'n> {
    let (quality, aliases) = quality::read(findings, items(node, "quality"));
    for alias in aliases {
        findings.error_hinting("MW0230", alias.at, "freshness is a promise of the whole table", "Move it to `sla`.");
    }
    let type_name = spanned_text(node, "type");
    let (logical_type, decimal) = type_name.as_ref().map_or((None, None), |name| read_type(findings, name));
    let mut options = read_options(node);
    let is_text = logical_type.as_ref().is_none_or(|found| found.value == LogicalType::String);
    if let Some((precision, scale)) = decimal {
        options.precision = Some(precision);
        options.scale = Some(scale);
    }
    if is_text {
        // `min: 3` of a text is its shortest length.
        for (bound, length) in
            [(&mut options.min, &mut options.min_length), (&mut options.max, &mut options.max_length)]
        {
            let whole =
                bound.filter(|b| !b.exclusive).and_then(|b| Some((u64::try_from(b.node.as_i64()?).ok()?, b.node.span)));
            if let (Some((value, span)), None) = (whole, *length) {
                *length = Some(Spanned { value, span });
                *bound = None;
            }
        }
    }
    let key = node.get("primary_key");
    let mut classifications = texts(node, "classification");
    classifications.extend(texts(node, "classifications"));
    let references = texts(node, "references").into_iter();
    FieldDraft {
        at: node.span,
        id: None,
        name: spanned_text(node, "name").unwrap_or_default(),
        logical_type,
        physical_type: spanned_text(node, "physical_type"),
        physical_name: text(node, "physical_name"),
        renamed_from: spanned_text(node, "renamed_from"),
        description: text(node, "description"),
        tags: strings(node, "tags"),
        required: flag(node, "required"),
        unique: flag(node, "unique"),
        primary_key: key.is_some_and(|key| key.as_bool() == Some(true) || key.as_i64().is_some()),
        key_position: key.and_then(|key| Some(Spanned { value: key.as_i64()?, span: key.span })),
        classifications,
        examples: items(node, "examples").iter().collect(),
        values: node.get("enum").and_then(Node::as_list).map(|values| values.iter().collect()),
        options,
        references: references
            .map(|to| ReferenceDraft { at: to.span, columns: Vec::new(), to: vec![to.value] })
            .collect(),
        quality,
        items: node.get("items").map(|item| Box::new(read_item(findings, item))),
        properties: items(node, "fields").iter().map(|field| read_field(findings, field)).collect(),
        is_any_date: false,
        type_refused: type_name.is_some(),
        dimensions: None,
    }
}

fn read_item<'n>(findings: &Findings<'_>, node: &'n Node) -> FieldDraft<'n> {
    match &node.kind {
        NodeKind::Text(name) => {
            let name = Spanned { value: name.clone(), span: node.span };
            FieldDraft { at: node.span, logical_type: read_type(findings, &name).0, ..FieldDraft::default() }
        }
        _ => read_field(findings, node),
    }
}

/// What a written decimal says: its precision and its scale.
type DecimalParts = (Spanned<u64>, Spanned<u64>);

/// `decimal(10,2)` is a number with precision and scale.
fn read_type(findings: &Findings<'_>, name: &Spanned<String>) -> (Option<Spanned<LogicalType>>, Option<DecimalParts>) {
    let found = |value| Some(Spanned { value, span: name.span });
    if let Some((_, logical)) = TYPES.iter().find(|(word, _)| *word == name.value) {
        return (found(*logical), None);
    }
    let whole = |value| Spanned { value, span: name.span };
    if let Some((precision, scale)) = super::native::physical(&name.value).and_then(|physical| physical.decimal) {
        return (found(LogicalType::Number), Some((whole(precision), whole(scale))));
    }
    let message = format!("`{}` is not a type", shown(&name.value));
    let known: Vec<&str> = TYPES.iter().map(|(word, _)| *word).chain(["decimal(10,2)"]).collect();
    if name.value.contains('(') && !name.value.contains(')') {
        let hint = "Between `{` and `}` a comma ends the value: put it in quotes, as \"decimal(10,2)\".";
        findings.error_hinting("MW0114", name.span, message, hint);
        return (None, None);
    }
    match super::native::physical(&name.value) {
        Some(physical) => {
            let hint = format!("Write `{}`.", physical.logical);
            findings.error_hinting("MW0114", name.span, message, hint);
            (found(physical.logical), None)
        }
        None => {
            findings.unknown("MW0114", name.span, message, &name.value, known);
            (None, None)
        }
    }
}

fn read_options(node: &Node) -> Options<'_> {
    let bound = |inclusive: &str, exclusive: &str| {
        let exclusive = node.get(exclusive).map(|node| Bound { node, exclusive: true });
        exclusive.or_else(|| node.get(inclusive).map(|node| Bound { node, exclusive: false }))
    };
    Options {
        format: spanned_text(node, "format"),
        pattern: spanned_text(node, "pattern"),
        min: bound("min", "exclusive_min"),
        max: bound("max", "exclusive_max"),
        multiple_of: node.get("multiple_of"),
        min_length: whole(node, "min_length"),
        max_length: whole(node, "max_length"),
        min_items: whole(node, "min_items"),
        max_items: whole(node, "max_items"),
        unique_items: None,
        properties: None,
        precision: whole(node, "precision"),
        scale: whole(node, "scale"),
        timezone: spanned_flag(node, "timezone"),
        default_timezone: spanned_text(node, "default_timezone"),
    }
}
