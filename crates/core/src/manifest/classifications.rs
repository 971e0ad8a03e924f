//! `governance/classifications.yaml`

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::classification::LogicalFamily;
use crate::mask::Mask;
use crate::name::Name;
use crate::reader::{Fields, Findings, Spanned};
use crate::yaml::{Node, NodeKind};

/// A map of names, or a list of maps with a `name`.
#[derive(Clone, Debug, Default)]
pub struct ClassificationsManifest {
    pub classifications: Vec<(Spanned<Name>, ClassificationManifest)>,
}

/// What the columns that bear it are, and how they are masked.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ClassificationManifest {
    /// What the columns hold that bear it.
    pub description: Option<String>,
    /// A classification that it refines. Without a mask of its own it takes the parent's.
    pub parent: Option<Spanned<Name>>,
    /// How a column is masked for readers who may not see it in the clear. Default, without a parent: `hmac-sha-256` for
    /// texts and whole numbers, `replace-with-null` for the rest.
    pub mask: Option<Spanned<Mask>>,
    /// Other masks for some types, such as `date: truncate-to-year`.
    #[schemars(with = "BTreeMap<LogicalFamily, Mask>", default)]
    pub by_type: Vec<(LogicalFamily, Spanned<Mask>)>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "an item of the list form, for the JSON Schema")]
struct NamedClassification {
    name: Name,
    description: Option<String>,
    parent: Option<Name>,
    mask: Option<Mask>,
    #[schemars(default)]
    by_type: BTreeMap<LogicalFamily, Mask>,
}

impl JsonSchema for ClassificationsManifest {
    fn schema_name() -> Cow<'static, str> {
        "Classifications".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let map = generator.subschema_for::<BTreeMap<Name, ClassificationManifest>>();
        let list = generator.subschema_for::<Vec<NamedClassification>>();
        json_schema!({ "anyOf": [map, list] })
    }
}

const MASKS: [(&str, Mask); 10] = [
    ("show-last-4", Mask::ShowLast4),
    ("show-first-4", Mask::ShowFirst4),
    ("truncate-to-month", Mask::TruncateToMonth),
    ("truncate-to-year", Mask::TruncateToYear),
    ("mask-alphanum", Mask::MaskAlphanum),
    ("sha-256-global", Mask::Sha256Global),
    ("hmac-sha-256", Mask::HmacSha256),
    ("sha-256-query-local", Mask::Sha256QueryLocal),
    ("mask-to-fixed-value", Mask::MaskToFixedValue),
    ("replace-with-null", Mask::ReplaceWithNull),
];

const FAMILIES: [(&str, LogicalFamily); 7] = [
    ("text", LogicalFamily::Text),
    ("integer", LogicalFamily::Integer),
    ("number", LogicalFamily::Number),
    ("boolean", LogicalFamily::Boolean),
    ("date", LogicalFamily::Date),
    ("timestamp", LogicalFamily::Timestamp),
    ("nested", LogicalFamily::Nested),
];

pub fn read<'n>(findings: &'n Findings<'n>, node: &'n Node) -> ClassificationsManifest {
    let classifications = match &node.kind {
        NodeKind::Null => Vec::new(),
        NodeKind::List(items) => items.iter().filter_map(|item| listed(findings, item)).collect(),
        NodeKind::Map(entries) => {
            let named = entries.iter().filter_map(|(key, value)| {
                let name = Spanned { value: key.text.as_str(), span: key.span };
                let name = crate::reader::read_name(findings, name)?;
                let fields = if value.is_null() {
                    None
                } else {
                    Some(Fields::under(findings, value, format!("the classification `{}`", name.value), name.span)?)
                };
                Some((name, fields.map_or_else(ClassificationManifest::empty, one)))
            });
            named.collect()
        }
        _ => {
            let message = format!("the classifications must be a map or a list, not {}", node.kind_name());
            findings.error("MW0111", node.span, message);
            Vec::new()
        }
    };
    ClassificationsManifest { classifications }
}

fn listed<'n>(findings: &'n Findings<'n>, node: &'n Node) -> Option<(Spanned<Name>, ClassificationManifest)> {
    let fields = Fields::of(findings, node, "the classification")?;
    let name = fields.required_name("name");
    let manifest = one(fields);
    Some((name?, manifest))
}

impl ClassificationManifest {
    fn empty() -> Self {
        Self { description: None, parent: None, mask: None, by_type: Vec::new() }
    }
}

fn one(fields: Fields<'_>) -> ClassificationManifest {
    let manifest = ClassificationManifest {
        description: fields.string("description"),
        parent: fields.name("parent"),
        mask: fields.choice("mask", &MASKS),
        by_type: fields.fields("by_type").map(by_type).unwrap_or_default(),
    };
    fields.finish();
    manifest
}

fn by_type(fields: Fields<'_>) -> Vec<(LogicalFamily, Spanned<Mask>)> {
    let masks = FAMILIES.iter().filter_map(|(key, family)| Some((*family, fields.choice(key, &MASKS)?)));
    let masks = masks.collect();
    fields.finish();
    masks
}
