//! Reads the Open Data Contract Standard 3.0, 3.1 and 3.2 into a draft.

mod quality;
mod shape;

use crate::contract::draft::{Bound, Draft, FieldDraft, Options, ReferenceDraft, SlaDraft, TableDraft};
use crate::contract::look::{flag, items, spanned_flag, spanned_text, strings, text, texts, whole, written};
use crate::contract::shape::{Edition, Shape};
use crate::contract::{Dialect, SlaProperty};
use crate::error::{Diagnostic, Severity};
use crate::reader::{Findings, Spanned, shown};
use crate::types::LogicalType;
use crate::yaml::Node;

pub(super) use shape::{CONTRACT, OPERATORS};

pub fn read<'n>(findings: &Findings<'_>, node: &'n Node) -> Draft<'n> {
    let (written_version, edition) = edition(findings, node);
    Shape::Object(&CONTRACT).check(findings, node, "contract", node.span, edition);
    let name =
        text(node, "name").or_else(|| text(node, "dataProduct")).or_else(|| text(node, "id")).unwrap_or_default();
    let default_element = spanned_text(node, "slaDefaultElement");
    Draft {
        dialect: Dialect::Odcs(written_version),
        id: text(node, "id"),
        name,
        version: node.get("version").and_then(written),
        owner: owner(node),
        description: node.get("description").and_then(description),
        tables: items(node, "schema").iter().map(|table| read_table(findings, table, edition)).collect(),
        sla: items(node, "slaProperties").iter().filter_map(|sla| read_sla(sla, default_element.as_ref())).collect(),
    }
}

fn edition(findings: &Findings<'_>, node: &Node) -> (String, Edition) {
    const NEWEST: Edition = Edition::V3_2;
    let Some(version) = node.get("apiVersion").and_then(written) else { return ("v3.2.0".to_owned(), NEWEST) };
    let number = version.value.strip_prefix('v').unwrap_or(&version.value);
    let edition = match number.split('.').collect::<Vec<_>>().as_slice() {
        ["3", "0", _] => Edition::V3_0,
        ["3", "1", _] => Edition::V3_1,
        ["3", "2", _] => Edition::V3_2,
        _ => {
            let message = format!("`{}` is not an edition of ODCS that is read here", shown(&version.value));
            findings.error_hinting("MW0201", version.span, message, "Editions v3.0.0 to v3.2.0 are read.");
            NEWEST
        }
    };
    (version.value, edition)
}

fn owner(node: &Node) -> Option<String> {
    let team = node.get("team")?;
    let members = team.as_list().unwrap_or_else(|| items(team, "members"));
    let is_owner = |member: &&Node| {
        let role = text(member, "role").unwrap_or_default().to_lowercase();
        matches!(role.as_str(), "owner" | "data owner" | "dataowner" | "product owner" | "data product owner")
    };
    let member = || members.iter().find(is_owner).and_then(|member| text(member, "username"));
    text(team, "name").or_else(member)
}

/// The purpose, then what else is said, each under its name.
fn description(node: &Node) -> Option<String> {
    let mut parts: Vec<String> = text(node, "purpose").into_iter().collect();
    for (key, title) in [("limitations", "Limitations"), ("usage", "Usage")] {
        parts.extend(text(node, key).map(|said| format!("{title}: {said}")));
    }
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

fn read_sla(node: &Node, default_element: Option<&Spanned<String>>) -> Option<SlaDraft> {
    let property = spanned_text(node, "property")?;
    let measured = !matches!(SlaProperty::of(&property.value), SlaProperty::Other(_) | SlaProperty::Availability);
    Some(SlaDraft {
        at: property.span,
        property: SlaProperty::of(&property.value),
        element: spanned_text(node, "element").or_else(|| default_element.filter(|_| measured).cloned()),
        value: node.get("value").and_then(written)?,
        unit: spanned_text(node, "unit"),
    })
}

fn read_table<'n>(findings: &Findings<'_>, node: &'n Node, edition: Edition) -> TableDraft<'n> {
    let name = text(node, "name").unwrap_or_default();
    let relationships = items(node, "relationships").iter();
    let columns = items(node, "properties").iter().filter(|property| {
        let measure = text(property, "semanticType").as_deref() == Some("measure");
        if measure {
            let message = "a measure is computed by readers and is not a column of the table";
            let place = findings.place(property.span);
            findings.push(Diagnostic::new(Severity::Info, "MW0239", place, property.span.length, message));
        }
        !measure
    });
    TableDraft {
        at: node.entry("name").map_or(node.span, |(_, value)| value.span),
        id: text(node, "id"),
        physical_name: text(node, "physicalName"),
        description: text(node, "description"),
        fields: columns.map(|field| read_field(findings, field, edition)).collect(),
        quality: quality::read(findings, items(node, "quality"), None, edition),
        references: relationships.map(|relationship| read_relationship(relationship, &name)).collect(),
        name,
    }
}

fn read_relationship(node: &Node, table: &str) -> ReferenceDraft {
    let own = |from: Spanned<String>| {
        let column = from.value.strip_prefix(table).and_then(|rest| rest.strip_prefix('.')).map(str::to_owned);
        column.or_else(|| from.value.rsplit(['/', '.']).next().map(str::to_owned)).unwrap_or(from.value)
    };
    ReferenceDraft {
        at: node.span,
        columns: texts(node, "from").into_iter().map(own).collect(),
        to: strings(node, "to"),
    }
}

fn read_field<'n>(findings: &Findings<'_>, node: &'n Node, edition: Edition) -> FieldDraft<'n> {
    let name = spanned_text(node, "name").unwrap_or_default();
    let custom = Custom::of(node);
    let logical_type = spanned_text(node, "logicalType").and_then(|word| read_type(findings, word, edition));
    let vector = text(node, "logicalType").as_deref() == Some("vector");
    let options = node.get("logicalTypeOptions");
    let mut classifications: Vec<Spanned<String>> = Vec::new();
    if let Some(found) = spanned_text(node, "classification") {
        let words = found.value.split(',').map(str::trim).filter(|word| !word.is_empty());
        classifications.extend(words.map(|word| Spanned { value: word.to_owned(), span: found.span }));
    }
    let values = node.get("enum").and_then(Node::as_list);
    let relationships = items(node, "relationships").iter();
    let (element, dimensions) = vector_of(node, vector);
    FieldDraft {
        at: node.span,
        id: text(node, "id"),
        quality: quality::read(findings, items(node, "quality"), Some(&name.value), edition),
        name,
        logical_type,
        physical_type: spanned_text(node, "physicalType"),
        physical_name: text(node, "physicalName"),
        renamed_from: custom.text("renamedFrom"),
        description: text(node, "description"),
        tags: strings(node, "tags"),
        required: flag(node, "required"),
        unique: flag(node, "unique"),
        primary_key: flag(node, "primaryKey"),
        key_position: node
            .get("primaryKeyPosition")
            .and_then(|at| Some(Spanned { value: at.as_i64()?, span: at.span }))
            .filter(|at| at.value != -1),
        classifications,
        examples: items(node, "examples").iter().collect(),
        values: values.map(|values| values.iter().filter_map(|value| value.get("value")).collect()),
        options: options.map(|options| read_options(options, &custom)).unwrap_or_else(|| custom.options()),
        references: relationships
            .map(|r| ReferenceDraft { at: r.span, columns: Vec::new(), to: strings(r, "to") })
            .collect(),
        items: element.or_else(|| node.get("items").map(|item| Box::new(read_field(findings, item, edition)))),
        properties: items(node, "properties").iter().map(|field| read_field(findings, field, edition)).collect(),
        is_any_date: edition == Edition::V3_0,
        type_refused: node.get("logicalType").is_some(),
        dimensions,
    }
}

/// A vector is an array of its length.
fn vector_of<'n>(node: &'n Node, vector: bool) -> (Option<Box<FieldDraft<'n>>>, Option<u64>) {
    if !vector {
        return (None, None);
    }
    let options = node.get("logicalTypeOptions");
    let element = options.and_then(|options| text(options, "elementType")).unwrap_or_default();
    let (logical, format) = match element.as_str() {
        "float64" => (LogicalType::Number, "f64"),
        "int8" => (LogicalType::Integer, "i8"),
        "uint8" => (LogicalType::Integer, "u8"),
        "binary" => (LogicalType::Boolean, ""),
        _ => (LogicalType::Number, "f32"),
    };
    let item = FieldDraft {
        at: node.span,
        logical_type: Some(Spanned { value: logical, span: node.span }),
        options: Options {
            format: (!format.is_empty()).then(|| Spanned { value: format.to_owned(), span: node.span }),
            ..Options::default()
        },
        ..FieldDraft::default()
    };
    (Some(Box::new(item)), options.and_then(|options| whole(options, "dimensions")).map(|found| found.value))
}

fn read_type(findings: &Findings<'_>, word: Spanned<String>, edition: Edition) -> Option<Spanned<LogicalType>> {
    let (logical, since) = match word.value.as_str() {
        "string" => (LogicalType::String, Edition::V3_0),
        "integer" => (LogicalType::Integer, Edition::V3_0),
        "number" => (LogicalType::Number, Edition::V3_0),
        "boolean" => (LogicalType::Boolean, Edition::V3_0),
        "date" => (LogicalType::Date, Edition::V3_0),
        "object" => (LogicalType::Object, Edition::V3_0),
        "array" => (LogicalType::Array, Edition::V3_0),
        "timestamp" => (LogicalType::Timestamp, Edition::V3_1),
        "time" => (LogicalType::Time, Edition::V3_1),
        "vector" => (LogicalType::Array, Edition::V3_2),
        "map" => {
            let hint = "Use an object with named properties, or an array of objects with a key and a value.";
            findings.error_hinting("MW0229", word.span, "maps are not stored yet", hint);
            return None;
        }
        // Reported with the shape.
        _ => return None,
    };
    if since > edition {
        let message = format!(
            "the type `{}` came with ODCS {}; this contract says {}",
            word.value,
            since.as_str(),
            edition.as_str()
        );
        findings.error_hinting("MW0206", word.span, message, format!("Raise `apiVersion` to `v{}.0`.", since.as_str()));
    }
    Some(Spanned { value: logical, span: word.span })
}

fn read_options<'n>(node: &'n Node, custom: &Custom<'n>) -> Options<'n> {
    Options {
        format: spanned_text(node, "format"),
        pattern: spanned_text(node, "pattern"),
        min: bound(node, "minimum", "exclusiveMinimum"),
        max: bound(node, "maximum", "exclusiveMaximum"),
        multiple_of: node.get("multipleOf"),
        min_length: whole(node, "minLength"),
        max_length: whole(node, "maxLength"),
        min_items: whole(node, "minItems"),
        max_items: whole(node, "maxItems"),
        unique_items: spanned_flag(node, "uniqueItems").filter(|unique| unique.value).map(|unique| unique.span),
        properties: ["required", "minProperties", "maxProperties"]
            .into_iter()
            .find_map(|key| node.entry(key).map(|(key, _)| key.span)),
        timezone: spanned_flag(node, "timezone"),
        default_timezone: spanned_text(node, "defaultTimezone"),
        ..custom.options()
    }
}

/// `exclusiveMinimum` is a bound of its own since 3.1, and before it a flag beside `minimum`. Both are read everywhere.
fn bound<'n>(node: &'n Node, inclusive: &str, exclusive: &str) -> Option<Bound<'n>> {
    let plain = node.get(inclusive);
    match node.get(exclusive) {
        Some(found) if found.as_bool().is_none() && !found.is_null() => Some(Bound { node: found, exclusive: true }),
        Some(found) => plain.map(|node| Bound { node, exclusive: found.as_bool() == Some(true) }),
        None => plain.map(|node| Bound { node, exclusive: false }),
    }
}

/// Our own additions, where the standard puts such: `renamedFrom`, `precision`, `scale`, `scope`.
struct Custom<'n>(&'n [Node]);

impl<'n> Custom<'n> {
    fn of(node: &'n Node) -> Self {
        Self(items(node, "customProperties"))
    }

    fn value(&self, property: &str) -> Option<&'n Node> {
        self.0.iter().find(|entry| text(entry, "property").as_deref() == Some(property))?.get("value")
    }

    fn text(&self, property: &str) -> Option<Spanned<String>> {
        let value = self.value(property)?;
        Some(Spanned { value: value.as_text()?.to_owned(), span: value.span })
    }

    fn whole(&self, property: &str) -> Option<Spanned<u64>> {
        let value = self.value(property)?;
        Some(Spanned { value: u64::try_from(value.as_i64()?).ok()?, span: value.span })
    }

    fn options(&self) -> Options<'n> {
        Options { precision: self.whole("precision"), scale: self.whole("scale"), ..Options::default() }
    }
}
