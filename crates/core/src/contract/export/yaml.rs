//! As much YAML as an export needs: keys in the order they are put, texts in quotes where they would be read as something
//! else.

use crate::types::Literal;

#[derive(Clone, Debug)]
pub enum Yaml {
    /// Written as it stands: a number, `true`, `null`.
    Plain(String),
    Text(String),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
}

impl Yaml {
    pub fn map() -> Self {
        Self::Map(Vec::new())
    }

    pub fn of<const N: usize>(entries: [(&str, Yaml); N]) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// Shortest form that reads back as the same number.
    pub fn number(value: f64) -> Self {
        Self::Plain(value.to_string())
    }

    pub fn literal(literal: &Literal) -> Self {
        match literal {
            Literal::Text(text) => Self::text(text),
            other => Self::Plain(other.to_string()),
        }
    }

    /// Sets a key of a map; nothing for other kinds.
    pub fn put(&mut self, key: &str, value: Yaml) {
        if let Self::Map(entries) = self {
            entries.retain(|(known, _)| known != key);
            entries.push((key.to_owned(), value));
        }
    }

    pub fn put_list(&mut self, key: &str, items: Vec<Yaml>) {
        if !items.is_empty() {
            self.put(key, Self::List(items));
        }
    }

    pub fn put_map(&mut self, key: &str, map: Yaml) {
        if !matches!(&map, Self::Map(entries) if entries.is_empty()) {
            self.put(key, map);
        }
    }

    pub fn has(&self, key: &str) -> bool {
        matches!(self, Self::Map(entries) if entries.iter().any(|(known, _)| known == key))
    }

    pub fn print(&self) -> String {
        let mut out = String::new();
        self.block(0, &mut out);
        out
    }

    fn block(&self, indent: usize, out: &mut String) {
        match self {
            Self::Map(entries) => {
                for (at, (key, value)) in entries.iter().enumerate() {
                    if at > 0 {
                        out.push_str(&" ".repeat(indent));
                    }
                    out.push_str(key);
                    out.push(':');
                    value.after_key(indent, out);
                }
            }
            Self::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push_str(&" ".repeat(indent));
                    }
                    out.push_str("- ");
                    match item {
                        Self::Map(entries) if !entries.is_empty() => item.block(indent + 2, out),
                        _ => {
                            item.flow(out);
                            out.push('\n');
                        }
                    }
                }
            }
            _ => {
                self.flow(out);
                out.push('\n');
            }
        }
    }

    fn after_key(&self, indent: usize, out: &mut String) {
        let nested = match self {
            Self::Map(entries) => !entries.is_empty(),
            Self::List(items) => items.iter().any(|item| matches!(item, Self::Map(_) | Self::List(_))),
            _ => false,
        };
        if nested {
            out.push('\n');
            out.push_str(&" ".repeat(indent + 2));
            self.block(indent + 2, out);
        } else {
            out.push(' ');
            self.flow(out);
            out.push('\n');
        }
    }

    fn flow(&self, out: &mut String) {
        match self {
            Self::Plain(text) => out.push_str(text),
            Self::Text(text) => out.push_str(&scalar(text)),
            Self::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { ", " });
                    item.flow(out);
                }
                out.push(']');
            }
            Self::Map(entries) => {
                out.push('{');
                for (at, (key, value)) in entries.iter().enumerate() {
                    out.push_str(if at == 0 { " " } else { ", " });
                    out.push_str(key);
                    out.push_str(": ");
                    value.flow(out);
                }
                out.push_str(if entries.is_empty() { "}" } else { " }" });
            }
        }
    }
}

/// A text as a scalar on one line.
pub fn scalar(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

/// Whether the text means itself without quotes, in every YAML reader.
fn is_plain(text: &str) -> bool {
    const WORDS: &[&str] = &["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let inner = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ' '));
    starts && inner && !text.ends_with(' ') && !WORDS.contains(&text.to_lowercase().as_str())
}

/// JSON strings are YAML, too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_as_it_was_put() {
        let texts =
            ["a", "no", "1", "", " x", "a: b", "- a", "é\n\"x\"", "#", "2026-01-01", "null", "a b", "{a}", "tab\t"];
        let mut map = Yaml::map();
        map.put("list", Yaml::List(texts.iter().map(|text| Yaml::text(text)).collect()));
        map.put(
            "maps",
            Yaml::List(vec![Yaml::of([("a", Yaml::number(0.1)), ("b", Yaml::List(vec![Yaml::map()]))]), Yaml::map()]),
        );
        let printed = map.print();
        let node = crate::yaml::parse("f.yaml", &printed).unwrap_or_else(|found| panic!("{found:#?}\n{printed}"));
        assert_eq!(
            node.to_json(),
            serde_json::json!({"list": texts, "maps": [{"a": 0.1, "b": [{}]}, {}]}),
            "{printed}"
        );
    }
}
