//! `product.yaml`

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::incremental::{IncrementalText, incremental};
use super::limits::{self, LimitsManifest};
use super::quarantine::{QuarantineLimitText, quarantine_limit};
use super::row_filter::{RowFilterManifest, row_filter};
use super::source::{self, SourceManifest};
use super::text::inner_path;
use crate::name::Name;
use crate::product::{Archetype, Incremental, MissingRows, Mode, OnViolation, SourceKind, Status};
use crate::quarantine::QuarantineLimit;
use crate::reader::{Fields, Findings, Spanned, proposed_name, shown};
use crate::yaml::{Node, NodeKind, Span};

/// A data product: what it reads, what it offers, in which state of its life it is.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ProductManifest {
    /// The name of the product, unique in its domain.
    pub product: Spanned<Name>,
    /// The name that it had before; its id and data stay.
    pub renamed_from: Option<Spanned<Name>>,
    /// Semantic version; rises at least as much as its largest change of an output.
    #[schemars(required)]
    pub version: Option<Spanned<semver::Version>>,
    /// State of its life. Default: `draft`, which only its own domain can read.
    pub status: Option<Spanned<Status>>,
    /// Default: `source-aligned` when all inputs are sources, else `aggregate`.
    pub archetype: Option<Spanned<Archetype>>,
    /// What it offers and to whom.
    pub description: Option<String>,
    /// How long its old publications stay readable, as `retention` in mesh.yaml.
    #[schemars(with = "Option<String>")]
    pub retention: Option<Spanned<u64>>,
    /// What each of its runs may use at most, within the mesh's own limits.
    #[schemars(default)]
    pub limits: LimitsManifest,
    /// What it reads, by the name of the table in its SQL.
    #[schemars(with = "BTreeMap<Name, InputManifest>", default)]
    pub inputs: Vec<(Spanned<Name>, InputManifest)>,
    /// Whether all of them could be read.
    #[schemars(skip)]
    pub inputs_complete: bool,
    /// What it offers, by the name of the table in SQL.
    #[schemars(with = "BTreeMap<Name, OutputManifest>", default)]
    pub outputs: Vec<(Spanned<Name>, OutputManifest)>,
}

/// A source, or another product's output.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum InputManifest {
    Source(SourceInput),
    Product(ProductInput),
}

/// Data from outside the mesh.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct SourceInput {
    /// Where the data comes from.
    #[schemars(with = "SourceManifest")]
    pub source: Spanned<SourceKind>,
    /// How outputs of mode `append` and `merge` tell what is new in it: `files` or `cursor(column)`.
    #[schemars(with = "Option<IncrementalText>")]
    pub incremental: Option<Spanned<Incremental>>,
    /// Where its connection is named.
    #[schemars(skip)]
    pub connection: Span,
}

/// A registered dependency on another product's output.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ProductInput {
    /// `domain.product`
    #[schemars(with = "QualifiedName")]
    pub product: Spanned<(Name, Name)>,
    /// Which output. Default: its only one.
    pub output: Option<Spanned<Name>>,
    /// The major of the output's contract.
    pub version: Spanned<u32>,
    /// What the data is used for; access is granted for a purpose.
    pub purpose: Option<String>,
    /// How outputs of mode `append` and `merge` tell what is new in it: `publication` or `cursor(column)`.
    #[schemars(with = "Option<IncrementalText>")]
    pub incremental: Option<Spanned<Incremental>>,
}

struct QualifiedName;

impl JsonSchema for QualifiedName {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "QualifiedName".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^[a-z][a-z0-9_]{0,62}\.[a-z][a-z0-9_]{0,62}$" })
    }
}

/// An output port: one table.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct OutputManifest {
    /// The name that it had before; its id and data stay.
    pub renamed_from: Option<Spanned<Name>>,
    /// The contract: a file beside product.yaml, `file.yaml#object` where it describes several tables.
    pub contract: Option<Spanned<ContractReference>>,
    /// The transformation: a file with one query. Default: the contract's columns of the only input.
    pub sql: Option<Spanned<String>>,
    /// Several majors side by side, each with its contract and SQL; instead of `contract` and `sql`.
    #[schemars(with = "BTreeMap<u32, VersionManifest>", default)]
    pub versions: Vec<(Spanned<u32>, VersionManifest)>,
    /// How a run makes the table. Default: `full`, which replaces it. `view` stores nothing, `external` registers what is there.
    pub mode: Option<Spanned<Mode>>,
    /// The columns that identify a row, for `mode: merge`.
    #[schemars(with = "Vec<String>", default)]
    pub key: Vec<Spanned<String>>,
    /// For `mode: merge`: a condition in SQL over the columns of the query; rows for which it holds delete their key's row.
    pub delete_when: Option<Spanned<String>>,
    /// For `mode: merge`: whether rows that the input no longer has are kept or deleted. Default: `keep`.
    pub missing_rows: Option<Spanned<MissingRows>>,
    /// For `mode: merge`: of several new rows with one key, the one with the greatest of these columns is taken.
    #[schemars(with = "Vec<String>", default)]
    pub order_by: Vec<Spanned<String>>,
    /// What a run does with rows that break the contract. Default: `block`, which publishes nothing.
    pub on_violation: Option<Spanned<OnViolation>>,
    /// For `on_violation: quarantine`: how much of a run's rows may be set aside, as a share (`1%`, `0.01`) or a number of
    /// rows (`500`). A run above it publishes nothing. Default: `1%`.
    #[schemars(with = "Option<QuarantineLimitText>")]
    pub quarantine_limit: Option<Spanned<QuarantineLimit>>,
    /// Conditions on the rows that readers see.
    #[schemars(default)]
    pub row_filters: Vec<RowFilterManifest>,
}

/// One served major of an output.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct VersionManifest {
    /// The contract, as for a single version.
    pub contract: Option<Spanned<ContractReference>>,
    /// The transformation, as for a single version.
    pub sql: Option<Spanned<String>>,
    /// The day after which it is no longer served.
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    pub sunset: Option<Spanned<chrono::NaiveDate>>,
}

/// `file.yaml` or `file.yaml#object`, the path relative to the product's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractReference {
    pub path: String,
    pub object: Option<String>,
}

impl JsonSchema for ContractReference {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "ContractReference".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

pub(super) const STATES: [(&str, Status); 5] = [
    ("proposed", Status::Proposed),
    ("draft", Status::Draft),
    ("active", Status::Active),
    ("deprecated", Status::Deprecated),
    ("retired", Status::Retired),
];

/// A stand-in for a name that could not be read, so that reading goes on; an error has been noted.
pub(super) fn or_fallback(name: Option<Spanned<Name>>, fallback: &str, span: Span) -> Spanned<Name> {
    name.unwrap_or_else(|| {
        let value = proposed_name(fallback).or_else(|| Name::new("unnamed").ok()).expect("`unnamed` is a name");
        Spanned { value, span }
    })
}

/// Reads it; `None` only when the file is not a map. `folder` names the product when it does not name itself.
pub fn read<'n>(findings: &'n Findings<'n>, node: &'n Node, folder: &str) -> Option<ProductManifest> {
    let fields = Fields::of(findings, node, "the product")?;
    let inputs = each(&fields, "inputs", |name, node| input(findings, name, node));
    let declared = fields.node("inputs");
    let inputs_complete = declared.is_none_or(|node| node.as_map().is_some_and(|map| map.len() == inputs.len()));
    let manifest = ProductManifest {
        product: or_fallback(fields.required_name("product"), folder, fields.at()),
        renamed_from: fields.name("renamed_from"),
        version: fields.required_version("version"),
        status: status(&fields),
        archetype: fields.choice(
            "archetype",
            &[
                ("source-aligned", Archetype::SourceAligned),
                ("aggregate", Archetype::Aggregate),
                ("consumer-aligned", Archetype::ConsumerAligned),
            ],
        ),
        description: fields.string("description"),
        retention: super::text::retention(&fields),
        limits: limits::of_product(&fields),
        inputs_complete,
        inputs,
        outputs: each(&fields, "outputs", |name, node| output(findings, name, node)),
    };
    not_yet(&fields, &["schedule"]);
    fields.finish();
    Some(manifest)
}

/// One that cannot be read counts as active, so that those who read the product hear nothing of it.
fn status(fields: &Fields<'_>) -> Option<Spanned<Status>> {
    let (_, node) = fields.entry("status").filter(|(_, node)| !node.is_null())?;
    Some(fields.choice("status", &STATES).unwrap_or(Spanned { value: Status::Active, span: node.span }))
}

fn each<'n, T>(
    fields: &Fields<'n>,
    key: &'static str,
    read: impl Fn(&Spanned<Name>, &'n Node) -> Option<T>,
) -> Vec<(Spanned<Name>, T)> {
    let named = fields.named(key).into_iter();
    named.filter_map(|(name, node)| read(&name, node).map(|value| (name, value))).collect()
}

/// Keys of the design that this version does not carry out: better an error than no effect.
fn not_yet(fields: &Fields<'_>, keys: &[&'static str]) {
    for key in keys {
        if let Some((key, _)) = fields.entry(key) {
            let message = format!("`{}` is not available in this version", key.text);
            fields.findings().error_hinting("MW0118", key.span, message, "Remove it; it would have no effect.");
        }
    }
}

fn input<'n>(findings: &'n Findings<'n>, name: &Spanned<Name>, node: &'n Node) -> Option<InputManifest> {
    let fields = Fields::under(findings, node, format!("the input `{}`", name.value), name.span)?;
    let input = match (fields.entry("source"), fields.entry("product")) {
        (Some(_), None) => {
            not_yet(&fields, &["contract"]);
            source::read(&fields).map(InputManifest::Source)
        }
        (None, Some(_)) => product_input(&fields).map(InputManifest::Product),
        (found, _) => {
            let problem = if found.is_some() { "has both" } else { "has neither" };
            let message = format!("the input `{}` {problem} `source` and `product`", name.value);
            let hint =
                "Write `source: { type: csv, path: … }`, or `product: domain.product` with `output` and `version`.";
            findings.error_hinting("MW0112", name.span, message, hint);
            return None;
        }
    };
    fields.finish();
    input
}

fn product_input(fields: &Fields<'_>) -> Option<ProductInput> {
    let product = fields.required_text("product").and_then(|text| qualified_name(fields.findings(), text));
    let output = fields.name("output");
    let version = required_major(fields);
    let purpose = fields.string("purpose");
    let incremental = incremental(fields);
    Some(ProductInput { product: product?, output, version: version?, purpose, incremental })
}

fn qualified_name(findings: &Findings<'_>, text: Spanned<&str>) -> Option<Spanned<(Name, Name)>> {
    let parts = text.value.split_once('.');
    let names = parts.and_then(|(domain, product)| Some((Name::new(domain).ok()?, Name::new(product).ok()?)));
    if names.is_none() {
        let message = format!("`{}` does not name a product", shown(text.value));
        findings.error_hinting("MW0115", text.span, message, "Write `domain.product`.");
    }
    names.map(|value| Spanned { value, span: text.span })
}

/// The major, also where a whole version was written.
fn required_major(fields: &Fields<'_>) -> Option<Spanned<u32>> {
    let node = fields.required_node("version")?;
    let text = node.as_number().or(node.as_text()).unwrap_or_default();
    let major = text.parse().ok();
    if major.is_none() {
        let digits: String = text.chars().take_while(char::is_ascii_digit).take(9).collect();
        let hint = match digits.as_str() {
            "" => "Write the major alone, such as `version: 1`.".to_owned(),
            digits => format!("Write the major alone: `version: {digits}`."),
        };
        fields.findings().error_hinting("MW0117", node.span, "`version` of an input is the major of a contract", hint);
    }
    major.map(|value| Spanned { value, span: node.span })
}

fn output<'n>(findings: &'n Findings<'n>, name: &Spanned<Name>, node: &'n Node) -> Option<OutputManifest> {
    let fields = Fields::under(findings, node, format!("the output `{}`", name.value), name.span)?;
    let versions = versions(&fields);
    let declared = fields.entry("versions").is_some();
    if declared {
        for key in ["contract", "sql"] {
            if let Some((key, _)) = fields.entry(key) {
                let message = format!("the output `{}` has both `{}` and `versions`", name.value, key.text);
                findings.error_hinting("MW0112", key.span, message, "Move it into one of the versions.");
            }
        }
    } else {
        fields.required_node("contract");
    }
    let output = OutputManifest {
        renamed_from: fields.name("renamed_from"),
        contract: contract_reference(&fields),
        sql: sql(&fields),
        versions,
        mode: fields.choice("mode", &Mode::ALL),
        key: fields.texts("key").into_iter().map(|text| text.map(str::to_owned)).collect(),
        delete_when: fields.text("delete_when").map(|text| text.map(str::to_owned)),
        missing_rows: fields.choice("missing_rows", &[("keep", MissingRows::Keep), ("delete", MissingRows::Delete)]),
        order_by: one_or_more(&fields, "order_by"),
        on_violation: fields
            .choice("on_violation", &[("block", OnViolation::Block), ("quarantine", OnViolation::Quarantine)]),
        quarantine_limit: quarantine_limit(&fields),
        row_filters: fields.list("row_filters").iter().filter_map(|item| row_filter(findings, item)).collect(),
    };
    not_yet(&fields, &["run", "min_group", "subject"]);
    if let Some((key, _)) = fields.entry("incremental") {
        let message = format!("`incremental` stands at an input, not at the output `{}`", name.value);
        let hint = "Write it at the input that grows: `inputs: { raw: { source: …, incremental: files } }`.";
        findings.error_hinting("MW0171", key.span, message, hint);
    }
    fields.finish();
    Some(output)
}

/// One text, or a list of texts.
fn one_or_more(fields: &Fields<'_>, key: &'static str) -> Vec<Spanned<String>> {
    match fields.node(key).map(|node| (&node.kind, node.span)) {
        Some((NodeKind::Text(text), span)) => vec![Spanned { value: text.clone(), span }],
        _ => fields.texts(key).into_iter().map(|text| text.map(str::to_owned)).collect(),
    }
}

fn versions<'n>(fields: &Fields<'n>) -> Vec<(Spanned<u32>, VersionManifest)> {
    let findings = fields.findings();
    let Some(node) = fields.node("versions") else { return Vec::new() };
    let Some(entries) = node.as_map() else {
        let message = format!("`versions` must be a map from major to contract, not {}", node.kind_name());
        findings.error("MW0111", node.span, message);
        return Vec::new();
    };
    let mut versions = Vec::new();
    for (key, node) in entries {
        let Some(major) = key.text.parse().ok().filter(|_| !key.text.starts_with(['+', '0']) || key.text == "0") else {
            let message = format!("`{}` is not a major version", shown(&key.text));
            findings.error_hinting("MW0117", key.span, message, "Write the major alone, such as `1:`.");
            continue;
        };
        if let Some(version) = version(fields, node, &key.text, key.span) {
            versions.push((Spanned { value: major, span: key.span }, version));
        }
    }
    versions
}

fn version<'n>(outer: &Fields<'n>, node: &'n Node, major: &str, at: Span) -> Option<VersionManifest> {
    let what = format!("version {major} of {}", outer.what());
    let fields = Fields::under(outer.findings(), node, what, at)?;
    fields.required_node("contract");
    let version = VersionManifest { contract: contract_reference(&fields), sql: sql(&fields), sunset: sunset(&fields) };
    fields.finish();
    Some(version)
}

fn contract_reference(fields: &Fields<'_>) -> Option<Spanned<ContractReference>> {
    let text = fields.text("contract")?;
    let (path, object) = match text.value.split_once('#') {
        Some((path, object)) => (path, Some(object.to_owned())),
        None => (text.value, None),
    };
    let path = inner_path(fields.findings(), Spanned { value: path, span: text.span })?;
    Some(path.map(|path| ContractReference { path, object }))
}

fn sql(fields: &Fields<'_>) -> Option<Spanned<String>> {
    inner_path(fields.findings(), fields.text("sql")?)
}

fn sunset(fields: &Fields<'_>) -> Option<Spanned<chrono::NaiveDate>> {
    let text = fields.text("sunset")?;
    let date = chrono::NaiveDate::parse_from_str(text.value, "%Y-%m-%d").ok().filter(|_| text.value.len() == 10);
    if date.is_none() {
        let message = format!("`{}` is not a date", shown(text.value));
        fields.findings().error_hinting("MW0123", text.span, message, "Write it as `2026-12-31`.");
    }
    date.map(|value| Spanned { value, span: text.span })
}
