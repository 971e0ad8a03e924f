//! Reads declarations out of YAML nodes. It never stops at the first problem: what is wrong is noted with its place, the
//! getter answers `None`, and reading goes on. Keys that nobody asked for are reported with what was probably meant.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Display;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::error::{Diagnostic, Place, Severity};
use crate::name::{Name, TeamName};
use crate::suggestion;
use crate::yaml::{Key, Node, NodeKind, Span};

/// What is wrong in one file, as it is found. Shared by all readers of the file.
#[derive(Debug)]
pub struct Findings<'a> {
    path: &'a str,
    found: RefCell<Vec<Diagnostic>>,
}

impl<'a> Findings<'a> {
    pub fn new(path: &'a str) -> Self {
        Self { path, found: RefCell::default() }
    }

    pub fn path(&self) -> &'a str {
        self.path
    }

    pub fn place(&self, span: Span) -> Place {
        span.place(self.path)
    }

    pub fn push(&self, diagnostic: Diagnostic) {
        self.found.borrow_mut().push(diagnostic);
    }

    pub fn error(&self, code: &str, span: Span, message: impl Into<String>) {
        self.push(Diagnostic::error(code, self.place(span), span.length, message));
    }

    pub fn error_hinting(&self, code: &str, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.push(Diagnostic::error(code, self.place(span), span.length, message).hint(hint));
    }

    pub fn warning(&self, code: &str, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.push(Diagnostic::warning(code, self.place(span), span.length, message).hint(hint));
    }

    /// With "did you mean" out of `known`.
    pub fn unknown<'k>(
        &self,
        code: &str,
        span: Span,
        message: impl Into<String>,
        written: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) {
        let diagnostic = Diagnostic::error(code, self.place(span), span.length, message);
        self.push(match suggestion::hint(written, known) {
            Some(hint) => diagnostic.hint(hint),
            None => diagnostic,
        });
    }

    pub fn has_errors(&self) -> bool {
        self.found.borrow().iter().any(|d| d.severity == Severity::Error)
    }

    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.found.into_inner()
    }
}

/// A value with where it stood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spanned<T> {
    pub value: T,
    pub span: Span,
}

impl<T> Spanned<T> {
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: change(self.value), span: self.span }
    }
}

/// In a schema a value stands for itself.
impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// The keys of one map. Call [`Fields::finish`] when all known keys have been asked for.
#[derive(Debug)]
pub struct Fields<'n> {
    findings: &'n Findings<'n>,
    entries: &'n [(Key, Node)],
    /// `the product`, `input `crm``: for messages.
    what: String,
    /// Where a missing key is reported: the key that holds this map, or its start.
    at: Span,
    asked: RefCell<Vec<&'static str>>,
}

impl<'n> Fields<'n> {
    /// The node as a map; notes a problem and gives `None` when it is something else.
    pub fn of(findings: &'n Findings<'n>, node: &'n Node, what: impl Into<String>) -> Option<Self> {
        Self::under(findings, node, what, node.span)
    }

    /// The same, with missing keys reported at `at`.
    pub fn under(findings: &'n Findings<'n>, node: &'n Node, what: impl Into<String>, at: Span) -> Option<Self> {
        let what = what.into();
        match &node.kind {
            NodeKind::Map(entries) => Some(Self { findings, entries, what, at, asked: RefCell::default() }),
            NodeKind::Null => {
                findings.error("MW0112", at, format!("{what} is empty; it must be a map of keys and values"));
                None
            }
            _ => {
                let message = format!("{what} must be a map of keys and values, not {}", node.kind_name());
                findings.error("MW0111", node.span, message);
                None
            }
        }
    }

    pub fn findings(&self) -> &'n Findings<'n> {
        self.findings
    }

    pub fn what(&self) -> &str {
        &self.what
    }

    pub fn at(&self) -> Span {
        self.at
    }

    /// Key and value, also when the value is null. Marks the key as known.
    pub fn entry(&self, key: &'static str) -> Option<(&'n Key, &'n Node)> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        self.entries.iter().find(|(k, _)| k.text == key).map(|(k, v)| (k, v))
    }

    /// The value; null counts as absent.
    pub fn node(&self, key: &'static str) -> Option<&'n Node> {
        self.entry(key).map(|(_, value)| value).filter(|value| !value.is_null())
    }

    pub fn required_node(&self, key: &'static str) -> Option<&'n Node> {
        match self.entry(key) {
            Some((_, value)) if !value.is_null() => Some(value),
            Some((key, _)) => {
                self.findings.error("MW0112", key.span, format!("`{}` of {} is empty", key.text, self.what));
                None
            }
            None => {
                let message = format!("{} has no `{key}`", self.what);
                self.findings.error_hinting("MW0112", self.at, message, format!("Add `{key}: …`."));
                None
            }
        }
    }

    /// Where the key stands, or where it is missed.
    pub fn span_of(&self, key: &'static str) -> Span {
        self.entry(key).map_or(self.at, |(key, _)| key.span)
    }

    /// Marks keys as known that are read elsewhere or deliberately ignored.
    pub fn allow(&self, keys: &[&'static str]) {
        for key in keys {
            self.entry(key);
        }
    }

    pub fn text(&self, key: &'static str) -> Option<Spanned<&'n str>> {
        self.node(key).and_then(|node| self.expect_text(key, node))
    }

    pub fn required_text(&self, key: &'static str) -> Option<Spanned<&'n str>> {
        self.required_node(key).and_then(|node| self.expect_text(key, node))
    }

    /// An owned text without its place.
    pub fn string(&self, key: &'static str) -> Option<String> {
        self.text(key).map(|text| text.value.to_owned())
    }

    fn expect_text(&self, key: &str, node: &'n Node) -> Option<Spanned<&'n str>> {
        match &node.kind {
            NodeKind::Text(text) => Some(Spanned { value: text, span: node.span }),
            NodeKind::Number(_) | NodeKind::Bool(_) => {
                let message = format!("`{key}` must be a text, not {}", node.kind_name());
                self.findings.error_hinting("MW0111", node.span, message, "Put it in quotes.");
                None
            }
            _ => self.wrong(key, "a text", node),
        }
    }

    fn wrong<T>(&self, key: &str, wanted: &str, node: &Node) -> Option<T> {
        let message = format!("`{key}` must be {wanted}, not {}", node.kind_name());
        self.findings.error("MW0111", node.span, message);
        None
    }

    pub fn bool(&self, key: &'static str) -> Option<bool> {
        let node = self.node(key)?;
        match &node.kind {
            NodeKind::Bool(value) => Some(*value),
            NodeKind::Text(text) if matches!(text.to_lowercase().as_str(), "yes" | "no" | "on" | "off") => {
                let message = format!("`{key}` must be true or false, not a text");
                self.findings.error_hinting("MW0111", node.span, message, "Write `true` or `false`.");
                None
            }
            _ => self.wrong(key, "true or false", node),
        }
    }

    /// A number as written.
    pub fn number(&self, key: &'static str) -> Option<Spanned<&'n str>> {
        let node = self.node(key)?;
        match &node.kind {
            NodeKind::Number(text) => Some(Spanned { value: text, span: node.span }),
            _ => self.wrong(key, "a number", node),
        }
    }

    pub fn u64(&self, key: &'static str) -> Option<Spanned<u64>> {
        let node = self.node(key)?;
        if node.as_number().is_none() {
            return self.wrong(key, "a whole number", node);
        }
        let value = node.as_i64().and_then(|value| u64::try_from(value).ok());
        if value.is_none() {
            self.findings.error("MW0117", node.span, format!("`{key}` must be a whole number, 0 or more"));
        }
        value.map(|value| Spanned { value, span: node.span })
    }

    pub fn name(&self, key: &'static str) -> Option<Spanned<Name>> {
        self.text(key).and_then(|text| self.expect_name(text))
    }

    pub fn required_name(&self, key: &'static str) -> Option<Spanned<Name>> {
        self.required_text(key).and_then(|text| self.expect_name(text))
    }

    /// A team's name, which must be there.
    pub fn required_team(&self, key: &'static str) -> Option<Spanned<TeamName>> {
        self.required_text(key).and_then(|text| read_team(self.findings, text))
    }

    pub fn teams(&self, key: &'static str) -> Vec<Spanned<TeamName>> {
        self.texts(key).into_iter().filter_map(|text| read_team(self.findings, text)).collect()
    }

    fn expect_name(&self, text: Spanned<&str>) -> Option<Spanned<Name>> {
        read_name(self.findings, text)
    }

    /// `major.minor.patch`.
    pub fn required_version(&self, key: &'static str) -> Option<Spanned<semver::Version>> {
        let node = self.required_node(key)?;
        let text = match &node.kind {
            NodeKind::Text(text) | NodeKind::Number(text) => text,
            _ => return self.wrong(key, "a version such as 1.0.0", node),
        };
        match semver::Version::parse(text) {
            Ok(value) => Some(Spanned { value, span: node.span }),
            Err(error) => {
                let message = format!("`{}` is not a semantic version: {error}", shown(text));
                let hint = version_hint(text);
                self.findings.error_hinting("MW0116", node.span, message, hint);
                None
            }
        }
    }

    /// One of several words.
    pub fn choice<T: Clone>(&self, key: &'static str, choices: &[(&str, T)]) -> Option<Spanned<T>> {
        let text = self.text(key)?;
        match choices.iter().find(|(word, _)| *word == text.value) {
            Some((_, value)) => Some(Spanned { value: value.clone(), span: text.span }),
            None => {
                let message = format!("`{}` is not a value of `{key}`", shown(text.value));
                let known = choices.iter().map(|(word, _)| *word);
                self.findings.unknown("MW0114", text.span, message, text.value, known);
                None
            }
        }
    }

    /// The items of a list; empty when absent.
    pub fn list(&self, key: &'static str) -> &'n [Node] {
        match self.node(key) {
            None => &[],
            Some(node) => match &node.kind {
                NodeKind::List(items) => items,
                _ => {
                    self.wrong::<()>(key, "a list", node);
                    &[]
                }
            },
        }
    }

    /// A list of texts.
    pub fn texts(&self, key: &'static str) -> Vec<Spanned<&'n str>> {
        self.list(key).iter().filter_map(|item| self.expect_text(key, item)).collect()
    }

    pub fn names(&self, key: &'static str) -> Vec<Spanned<Name>> {
        self.texts(key).into_iter().filter_map(|text| self.expect_name(text)).collect()
    }

    /// A map below this one.
    pub fn fields(&self, key: &'static str) -> Option<Fields<'n>> {
        let (key, node) = self.entry(key).filter(|(_, node)| !node.is_null())?;
        Fields::under(self.findings, node, format!("`{}` of {}", key.text, self.what), key.span)
    }

    /// A map whose keys are names that the author chose, such as `inputs`.
    pub fn named(&self, key: &'static str) -> Vec<(Spanned<Name>, &'n Node)> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let NodeKind::Map(entries) = &node.kind else {
            self.wrong::<()>(key, "a map of names", node);
            return Vec::new();
        };
        let names = entries.iter().filter_map(|(key, value)| {
            let name = read_name(self.findings, Spanned { value: key.text.as_str(), span: key.span })?;
            Some((name, value))
        });
        names.collect()
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self) {
        let asked = self.asked.into_inner();
        for (key, _) in self.entries.iter().filter(|(key, _)| !asked.contains(&key.text.as_str())) {
            let message = format!("{} has no key `{}`", self.what, shown(&key.text));
            self.findings.unknown("MW0113", key.span, message, &key.text, asked.iter().copied());
        }
    }
}

/// A text as a name, else a finding.
pub fn read_name(findings: &Findings<'_>, text: Spanned<&str>) -> Option<Spanned<Name>> {
    match Name::new(text.value) {
        Ok(value) => Some(Spanned { value, span: text.span }),
        Err(problem) => {
            let message = format!("`{}` is not a name: {}", shown(text.value), problem.why);
            match proposed_name(text.value) {
                Some(name) => {
                    findings.error_hinting("MW0115", text.span, message, format!("Such as `{name}`."));
                }
                None => findings.error("MW0115", text.span, message),
            }
            None
        }
    }
}

fn read_team(findings: &Findings<'_>, text: Spanned<&str>) -> Option<Spanned<TeamName>> {
    match TeamName::new(text.value) {
        Ok(value) => Some(Spanned { value, span: text.span }),
        Err(problem) => {
            let message = format!("`{}` is not a team's name: {}", shown(text.value), problem.why);
            match TeamName::proposed(text.value) {
                Some(name) => findings.error_hinting("MW0115", text.span, message, format!("Such as `{name}`.")),
                None => findings.error("MW0115", text.span, message),
            }
            None
        }
    }
}

/// The name nearest to a free text: `Lead-Scores 2` → `lead_scores_2`.
pub fn proposed_name(text: &str) -> Option<Name> {
    let mut name = String::new();
    for c in text.chars().take(63) {
        match c {
            'A'..='Z' => name.push(c.to_ascii_lowercase()),
            'a'..='z' | '0'..='9' => name.push(c),
            _ if !name.is_empty() && !name.ends_with('_') => name.push('_'),
            _ => {}
        }
    }
    let name = name.trim_matches('_').trim_start_matches(|c: char| !c.is_ascii_lowercase());
    Name::new(name).ok()
}

/// A text of the author in a message: escaped, and cut where it is long.
pub fn shown(text: &str) -> impl Display {
    let mut chars = text.chars();
    let head: String = chars.by_ref().take(80).collect();
    let escaped = head.escape_debug().to_string();
    if chars.next().is_some() { format!("{escaped}…") } else { escaped }
}

fn version_hint(text: &str) -> String {
    let parts: Vec<&str> = text.strip_prefix('v').unwrap_or(text).split('.').collect();
    let plain = parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let number = |at: usize| parts.get(at).map_or("0", |part| part.trim_start_matches('0')).to_owned();
    let or_zero = |part: String| if part.is_empty() { "0".to_owned() } else { part };
    if plain && parts.len() <= 3 {
        let [major, minor, patch] = [0, 1, 2].map(|at| or_zero(number(at)));
        format!("Write `{major}.{minor}.{patch}`: major, minor and patch.")
    } else {
        "Write major, minor and patch, such as `1.0.0`.".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    /// Reads `text` with `read` and shows what was noted.
    fn findings(text: &str, read: impl Fn(Fields<'_>)) -> Vec<String> {
        let node = yaml::parse("f.yaml", text).unwrap();
        let findings = Findings::new("f.yaml");
        if let Some(fields) = Fields::of(&findings, &node, "the thing") {
            read(fields);
        }
        let shown = findings.into_diagnostics().into_iter().map(|d| {
            let hint = d.hints.first().map_or(String::new(), |hint| format!(" / {hint}"));
            format!("{} {}:{}+{} {}{hint}", d.code, d.place.line, d.place.column, d.length, d.message)
        });
        shown.collect()
    }

    #[test]
    fn notes_everything_and_goes_on() {
        let text =
            "name: Lead-Scores\nowner:\nversion: 2.1\nmode: fulll\nnumber: -1\nflag: yes\nlist: x\ndescripton: d\n";
        let found = findings(text, |f| {
            assert_eq!(f.required_name("name"), None);
            assert_eq!(f.required_text("owner"), None);
            assert_eq!(f.required_version("version"), None);
            assert_eq!(f.choice("mode", &[("full", 1), ("merge", 2)]), None);
            assert_eq!(f.u64("number"), None);
            assert_eq!(f.bool("flag"), None);
            assert!(f.list("list").is_empty());
            assert_eq!(f.text("description"), None);
            assert_eq!(f.required_text("title"), None);
            f.finish();
        });
        assert_eq!(
            found,
            [
                "MW0115 1:7+11 `Lead-Scores` is not a name: it must start with a letter a to z / Such as `lead_scores`.",
                "MW0112 2:1+5 `owner` of the thing is empty",
                "MW0116 3:10+3 `2.1` is not a semantic version: unexpected end of input while parsing minor version number / Write `2.1.0`: major, minor and patch.",
                "MW0114 4:7+5 `fulll` is not a value of `mode` / Did you mean `full`?",
                "MW0117 5:9+2 `number` must be a whole number, 0 or more",
                "MW0111 6:7+3 `flag` must be true or false, not a text / Write `true` or `false`.",
                "MW0111 7:7+1 `list` must be a list, not a text",
                "MW0112 1:1+4 the thing has no `title` / Add `title: …`.",
                "MW0113 8:1+10 the thing has no key `descripton` / Did you mean `description`?",
            ]
        );
    }

    #[test]
    fn reads_what_is_right() {
        let found = findings("name: leads\nversion: 2.1.0\nkeys: [a, b]\nin: {x: 1}\n", |f| {
            assert_eq!(f.required_name("name").unwrap().value, "leads");
            assert_eq!(f.required_version("version").unwrap().value, semver::Version::new(2, 1, 0));
            assert_eq!(f.texts("keys").into_iter().map(|t| t.value).collect::<Vec<_>>(), ["a", "b"]);
            let inner = f.fields("in").unwrap();
            assert_eq!(inner.u64("x").unwrap().value, 1);
            inner.finish();
            f.finish();
        });
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_hostile_key_is_shown_escaped_and_cut() {
        let found = findings(&format!("\"\\e[31m{}\": 1", "x".repeat(100)), |f| f.finish());
        assert!(found[0].contains(r"`\u{1b}[31mxxx") && found[0].contains('…'), "{found:?}");
    }

    #[test]
    fn not_a_map() {
        assert_eq!(
            findings("[1]", |f| f.finish()),
            ["MW0111 1:1+1 the thing must be a map of keys and values, not a list"]
        );
        assert_eq!(
            findings("", |f| f.finish()),
            ["MW0112 1:1+0 the thing is empty; it must be a map of keys and values"]
        );
    }
}
