//! What a contract file may hold, as one table: it checks files, and it prints the JSON Schema that editors complete
//! from. So neither can drift from the other.

use serde_json::{Map, Value, json};

use crate::reader::{Findings, shown};
use crate::yaml::{Node, NodeKind, Span};

/// The edition of the standard that a file follows. The short form counts as the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edition {
    V3_0,
    V3_1,
    V3_2,
}

impl Edition {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V3_0 => "3.0",
            Self::V3_1 => "3.1",
            Self::V3_2 => "3.2",
        }
    }
}

#[derive(Debug)]
pub enum Shape {
    Text,
    /// A text that people tend to write without quotes: `version: 1.0`.
    TextOrNumber,
    Word(&'static [&'static str]),
    Boolean,
    /// Any whole number.
    Whole,
    Number,
    /// Text, number, boolean or null.
    Scalar,
    Any,
    List(&'static Shape),
    Object(&'static Object),
    /// The first that takes a value of this kind.
    Either(&'static [Shape]),
}

#[derive(Debug)]
pub struct Object {
    /// For messages and `$defs`: `field`.
    pub name: &'static str,
    pub keys: &'static [Key],
    pub rest: Rest,
}

/// What other keys an object takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    Refused,
    Taken,
    /// ODCS 3.0 left it open.
    TakenBefore31,
}

#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub shape: Shape,
    pub required: bool,
    pub since: Edition,
    pub about: &'static str,
}

pub const fn key(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key { name, shape, required: false, since: Edition::V3_0, about }
}

impl Key {
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    pub const fn since(self, since: Edition) -> Self {
        Self { since, ..self }
    }
}

impl Shape {
    /// Notes everything in `node` that does not fit, with its place.
    pub fn check(&self, findings: &Findings<'_>, node: &Node, key: &str, at: Span, edition: Edition) {
        match self {
            Self::Any => {}
            Self::Either(shapes) => match shapes.iter().find(|shape| shape.takes(node)) {
                Some(shape) => shape.check(findings, node, key, at, edition),
                None => self.refuse(findings, node, key),
            },
            _ if !self.takes(node) => self.refuse(findings, node, key),
            Self::Word(words) => {
                let text = node.as_text().unwrap_or_default();
                if !words.contains(&text) {
                    let message = format!("`{}` is not a value of `{key}`", shown(text));
                    findings.unknown("MW0114", node.span, message, text, words.iter().copied());
                }
            }
            Self::List(item) => {
                for node in node.as_list().unwrap_or_default() {
                    item.check(findings, node, key, node.span, edition);
                }
            }
            Self::Object(object) => object.check(findings, node, at, edition),
            _ => {}
        }
    }

    fn takes(&self, node: &Node) -> bool {
        match (self, &node.kind) {
            (Self::Any, _) => true,
            (Self::Scalar, kind) => !matches!(kind, NodeKind::List(_) | NodeKind::Map(_)),
            (Self::Text | Self::Word(_), NodeKind::Text(_)) => true,
            (Self::TextOrNumber, NodeKind::Text(_) | NodeKind::Number(_)) => true,
            (Self::Boolean, NodeKind::Bool(_)) => true,
            (Self::Whole, NodeKind::Number(_)) => node.as_i64().is_some(),
            (Self::Number, NodeKind::Number(_)) => true,
            (Self::List(_), NodeKind::List(_)) => true,
            (Self::Object(_), NodeKind::Map(_)) => true,
            (Self::Either(shapes), _) => shapes.iter().any(|shape| shape.takes(node)),
            _ => false,
        }
    }

    fn refuse(&self, findings: &Findings<'_>, node: &Node, key: &str) {
        let message = format!("`{key}` must be {}, not {}", self.words(), node.kind_name());
        match (self, &node.kind) {
            (Self::Text | Self::Word(_), NodeKind::Number(_) | NodeKind::Bool(_)) => {
                findings.error_hinting("MW0111", node.span, message, "Put it in quotes.");
            }
            (Self::Boolean, NodeKind::Text(text))
                if matches!(text.to_lowercase().as_str(), "yes" | "no" | "on" | "off") =>
            {
                findings.error_hinting("MW0111", node.span, message, "Write `true` or `false`.");
            }
            (Self::Whole | Self::Number, NodeKind::Text(text)) if crate::decimal::Decimal::parse(text).is_some() => {
                findings.error_hinting("MW0111", node.span, message, "Write it without quotes.");
            }
            _ => findings.error("MW0111", node.span, message),
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Text | Self::Word(_) => "a text".to_owned(),
            Self::TextOrNumber => "a text or a number".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Whole => "a whole number".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::Scalar => "a text, a number, or true or false".to_owned(),
            Self::Any => "anything".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Object(_) => "a map".to_owned(),
            Self::Either(shapes) => shapes.iter().map(Self::words).collect::<Vec<_>>().join(" or "),
        }
    }

    /// As JSON Schema; the objects on the way are collected in `definitions`.
    pub fn schema(&self, definitions: &mut Definitions) -> Value {
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::TextOrNumber => json!({ "type": ["string", "number"] }),
            Self::Word(words) => json!({ "type": "string", "enum": words }),
            Self::Boolean => json!({ "type": "boolean" }),
            Self::Whole => json!({ "type": "integer" }),
            Self::Number => json!({ "type": "number" }),
            Self::Scalar => json!({ "type": ["string", "number", "boolean", "null"] }),
            Self::Any => json!({}),
            Self::List(item) => json!({ "type": "array", "items": item.schema(definitions) }),
            Self::Object(object) => object.schema(definitions),
            Self::Either(shapes) => {
                let any: Vec<Value> = shapes.iter().map(|shape| shape.schema(definitions)).collect();
                json!({ "anyOf": any })
            }
        }
    }
}

/// The objects of a schema by name; each name starts with its form, as both forms have a contract, a field, ….
#[derive(Debug)]
pub struct Definitions {
    pub form: &'static str,
    pub found: Map<String, Value>,
}

impl Object {
    fn check(&self, findings: &Findings<'_>, node: &Node, at: Span, edition: Edition) {
        for key in self.keys.iter().filter(|key| key.required) {
            match node.entry(key.name) {
                Some((_, value)) if !value.is_null() => {}
                Some((found, _)) => {
                    findings.error("MW0112", found.span, format!("`{}` of {} is empty", key.name, self.name));
                }
                None => {
                    let message = format!("{} has no `{}`", self.name, key.name);
                    findings.error_hinting("MW0112", at, message, format!("Add `{}: …`.", key.name));
                }
            }
        }
        for (found, value) in node.entries() {
            match self.keys.iter().find(|key| key.name == found.text) {
                Some(key) if key.since > edition => {
                    let message = format!(
                        "`{}` came with ODCS {}; this contract says {}",
                        key.name,
                        key.since.as_str(),
                        edition.as_str()
                    );
                    let hint = format!("Raise `apiVersion` to `v{}.0`.", key.since.as_str());
                    findings.error_hinting("MW0206", found.span, message, hint);
                }
                Some(_) if value.is_null() => {}
                Some(key) => key.shape.check(findings, value, key.name, found.span, edition),
                None if self.takes_rest(edition) => {}
                None => {
                    let message = format!("{} has no key `{}`", self.name, shown(&found.text));
                    let known = self.keys.iter().filter(|key| key.since <= edition).map(|key| key.name);
                    findings.unknown("MW0113", found.span, message, &found.text, known);
                }
            }
        }
    }

    fn takes_rest(&self, edition: Edition) -> bool {
        match self.rest {
            Rest::Refused => false,
            Rest::Taken => true,
            Rest::TakenBefore31 => edition < Edition::V3_1,
        }
    }

    fn schema(&self, definitions: &mut Definitions) -> Value {
        let name = format!("{}-{}", definitions.form, self.name.trim_start_matches("the ").replace(' ', "-"));
        let reference = json!({ "$ref": format!("#/$defs/{name}") });
        if definitions.found.contains_key(&name) {
            return reference;
        }
        // Holds the place, so that an object that holds itself ends here.
        definitions.found.insert(name.clone(), Value::Null);
        let mut properties = Map::new();
        for key in self.keys {
            let mut schema = key.shape.schema(definitions);
            if let (Value::Object(schema), false) = (&mut schema, key.about.is_empty()) {
                schema.insert("description".to_owned(), json!(key.about));
            }
            properties.insert(key.name.to_owned(), schema);
        }
        let required: Vec<&str> = self.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
        let mut schema = json!({ "type": "object", "properties": properties });
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if self.rest == Rest::Refused {
            schema["additionalProperties"] = json!(false);
        }
        definitions.found.insert(name, schema);
        reference
    }
}
