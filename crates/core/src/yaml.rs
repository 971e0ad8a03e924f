//! YAML as a tree that knows where each part stood, so that every later finding can point at its line and column.
//!
//! YAML 1.2 core schema: `yes`, `on` and `2024-01-01` are texts. What a manifest does not need is refused with its place
//! rather than guessed at: custom tags, merge keys, several documents, keys that are not texts. The input is hostile (D27):
//! [`Budget`] bounds bytes, nodes (aliases expanded), depth and the size of one value.

mod parse;
mod scalar;
#[cfg(test)]
mod tests;

pub use parse::{Budget, parse, parse_bytes, parse_within};

use crate::error::Place;

/// 1-based line and column, in characters; `length` 0 marks a point. Length covers the first line only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    pub line: u32,
    pub column: u32,
    pub length: u32,
}

impl Span {
    pub fn place(self, path: &str) -> Place {
        Place { path: path.to_owned(), line: self.line, column: self.column }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub span: Span,
    pub kind: NodeKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind {
    Null,
    Bool(bool),
    /// As written (YAML 1.2 core schema), so that `0.10` stays `0.10`.
    Number(String),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file, keys unique.
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub text: String,
    pub span: Span,
}

impl Node {
    pub fn null() -> Self {
        Self { span: Span { line: 1, column: 1, length: 0 }, kind: NodeKind::Null }
    }

    pub fn place(&self, path: &str) -> Place {
        self.span.place(path)
    }

    /// The value of a key; `None` also when this is not a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, value)| value)
    }

    pub fn entry(&self, key: &str) -> Option<(&Key, &Node)> {
        self.entries().iter().find(|(k, _)| k.text == key).map(|(k, v)| (k, v))
    }

    /// The entries of a map; empty for anything else.
    pub fn entries(&self) -> &[(Key, Node)] {
        match &self.kind {
            NodeKind::Map(entries) => entries,
            _ => &[],
        }
    }

    pub fn as_map(&self) -> Option<&[(Key, Node)]> {
        match &self.kind {
            NodeKind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.kind {
            NodeKind::List(items) => Some(items),
            _ => None,
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self.kind {
            NodeKind::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// A number as written.
    pub fn as_number(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Number(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number, also in hexadecimal or octal notation.
    pub fn as_i64(&self) -> Option<i64> {
        scalar::integer(self.as_number()?).and_then(|value| i64::try_from(value).ok())
    }

    pub fn is_null(&self) -> bool {
        self.kind == NodeKind::Null
    }

    /// `a text`, `a list`, …: for messages.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            NodeKind::Null => "nothing",
            NodeKind::Bool(_) => "true or false",
            NodeKind::Number(_) => "a number",
            NodeKind::Text(_) => "a text",
            NodeKind::List(_) => "a list",
            NodeKind::Map(_) => "a map",
        }
    }

    /// The node at a JSON pointer (RFC 6901), such as `/fields/0/name`.
    pub fn pointer(&self, pointer: &str) -> Option<&Node> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |node, token| {
            let token = token.replace("~1", "/").replace("~0", "~");
            match &node.kind {
                NodeKind::Map(_) => node.get(&token),
                NodeKind::List(items) => items.get(token.parse::<usize>().ok()?),
                _ => None,
            }
        })
    }

    /// As JSON. Numbers that JSON cannot hold exactly as written (`.inf`, more digits than a double has) become texts.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.kind {
            NodeKind::Null => Value::Null,
            NodeKind::Bool(value) => Value::Bool(*value),
            NodeKind::Number(text) => scalar::to_json(text),
            NodeKind::Text(text) => Value::String(text.clone()),
            NodeKind::List(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            NodeKind::Map(entries) => {
                Value::Object(entries.iter().map(|(k, v)| (k.text.clone(), v.to_json())).collect())
            }
        }
    }
}
