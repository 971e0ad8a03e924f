//! `limits` of mesh.yaml and product.yaml.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::limits::{Key, Limits};
use crate::reader::{Fields, Spanned, shown};

/// What every query and every run may use at most.
#[derive(Clone, Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct MeshLimitsManifest {
    /// Each statement, on every port.
    #[schemars(default)]
    pub query: LimitsManifest,
    /// Each run of a product.
    #[schemars(default)]
    pub run: LimitsManifest,
}

/// At most this much; what is left out is not limited here.
#[derive(Clone, Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct LimitsManifest {
    /// Working memory: `4 GiB`, `500 MB`.
    #[schemars(with = "Option<Quantity>")]
    pub memory: Option<Spanned<u64>>,
    /// Temporary files: `20 GiB`.
    #[schemars(with = "Option<Quantity>")]
    pub spill: Option<Spanned<u64>>,
    /// From its start to its end: `30 s`, `2 h`.
    #[schemars(with = "Option<Quantity>")]
    pub time: Option<Spanned<u64>>,
    /// Of an answer; of what a run writes to one output.
    #[schemars(with = "Option<Quantity>")]
    pub rows: Option<Spanned<u64>>,
}

struct Quantity;

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "minimum": 0 })
    }
}

impl LimitsManifest {
    pub fn get(&self, key: Key) -> Option<&Spanned<u64>> {
        match key {
            Key::Memory => self.memory.as_ref(),
            Key::Spill => self.spill.as_ref(),
            Key::Time => self.time.as_ref(),
            Key::Rows => self.rows.as_ref(),
        }
    }

    pub fn limits(&self) -> Limits {
        let value = |spanned: &Option<Spanned<u64>>| spanned.as_ref().map(|spanned| spanned.value);
        Limits {
            memory_bytes: value(&self.memory),
            spill_bytes: value(&self.spill),
            time_ms: value(&self.time),
            rows: value(&self.rows),
        }
    }
}

/// `limits` of mesh.yaml.
pub(super) fn of_mesh(fields: &Fields<'_>) -> MeshLimitsManifest {
    let Some(limits) = fields.fields("limits") else { return MeshLimitsManifest::default() };
    let part = |key| limits.fields(key).map(read).unwrap_or_default();
    let read = MeshLimitsManifest { query: part("query"), run: part("run") };
    limits.finish();
    read
}

/// `limits` of product.yaml: of its runs.
pub(super) fn of_product(fields: &Fields<'_>) -> LimitsManifest {
    fields.fields("limits").map(read).unwrap_or_default()
}

fn read(fields: Fields<'_>) -> LimitsManifest {
    let limits = LimitsManifest {
        memory: limit(&fields, Key::Memory),
        spill: limit(&fields, Key::Spill),
        time: limit(&fields, Key::Time),
        rows: limit(&fields, Key::Rows),
    };
    fields.finish();
    limits
}

fn limit(fields: &Fields<'_>, key: Key) -> Option<Spanned<u64>> {
    let node = fields.node(key.name()).filter(|node| !node.is_null())?;
    let text = node.as_number().or(node.as_text()).unwrap_or_default();
    match key.read(text) {
        Ok(value) => Some(Spanned { value, span: node.span }),
        Err(what) => {
            let message = format!("`{}` is not a limit of {key}", shown(text));
            fields.findings().error_hinting("MW0188", node.span, message, format!("Write {what}."));
            None
        }
    }
}
