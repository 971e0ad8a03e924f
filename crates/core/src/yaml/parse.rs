//! From events to the tree, without recursion: depth is bounded by the budget, not by the stack.

use std::collections::{HashMap, HashSet};

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Tag};

use super::{Key, Node, NodeKind, Span, scalar};
use crate::error::Diagnostic;

/// How much one file may hold. The defaults are far above any honest manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub bytes: usize,
    /// Scalars, lists, maps and keys, with aliases expanded.
    pub nodes: usize,
    /// Nested lists and maps, with aliases expanded.
    pub depth: usize,
    /// Bytes of one scalar.
    pub scalar: usize,
    /// Bytes of all scalars together, with aliases expanded.
    pub text: usize,
    /// Findings after which reading stops.
    pub findings: usize,
}

impl Budget {
    pub const DEFAULT: Self =
        Self { bytes: 1 << 20, nodes: 100_000, depth: 64, scalar: 256 << 10, text: 4 << 20, findings: 50 };
}

/// A text as a tree, or everything that is wrong with it as YAML.
pub fn parse(path: &str, text: &str) -> Result<Node, Vec<Diagnostic>> {
    parse_within(path, text, Budget::DEFAULT)
}

/// The same for bytes of a file, which may not be text at all.
pub fn parse_bytes(path: &str, bytes: &[u8]) -> Result<Node, Vec<Diagnostic>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(path, text),
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let span = end_of(&before);
            Err(vec![
                finding(path, span, "MW0101", "the file is not UTF-8 text from here on")
                    .hint("Save the file in UTF-8 encoding."),
            ])
        }
    }
}

pub fn parse_within(path: &str, text: &str, budget: Budget) -> Result<Node, Vec<Diagnostic>> {
    if text.len() > budget.bytes {
        let message = format!("the file has {} bytes; at most {} are read", text.len(), budget.bytes);
        return Err(vec![
            finding(path, Span { line: 1, column: 1, length: 0 }, "MW0102", message)
                .hint("Split it, or move data out of the manifest."),
        ]);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some((at, character)) = text.char_indices().find(|(_, c)| is_forbidden(*c)) {
        let span = Span { length: 1, ..end_of(&text[..at]) };
        let message = format!("the control character U+{:04X} may not stand in a manifest", u32::from(character));
        return Err(vec![
            finding(path, span, "MW0103", message)
                .hint("Remove it; inside a double-quoted text most of them can be written as an escape such as \\t."),
        ]);
    }
    Builder::new(path, text, budget).build()
}

/// What YAML calls not printable, NUL above all.
fn is_forbidden(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' | '\u{85}' => false,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => true,
        _ => false,
    }
}

fn end_of(text: &str) -> Span {
    let line = text.matches('\n').count() + 1;
    let column = text.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    Span { line: count(line), column: count(column), length: 0 }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn finding(path: &str, span: Span, code: &str, message: impl Into<String>) -> Diagnostic {
    Diagnostic::error(code, span.place(path), span.length, message)
}

/// A list or map whose end has not come yet.
struct Open {
    span: Span,
    anchor: usize,
    /// As written, with its own place.
    tag: Option<(String, Span)>,
    content: Content,
    cost: Cost,
}

enum Content {
    List(Vec<Node>),
    Map {
        entries: Vec<(Key, Node)>,
        seen: HashSet<String>,
        /// The key whose value comes next. `None` inside: the key was refused and its value is dropped.
        pending: Option<Option<Key>>,
    },
}

/// What a finished node weighs, aliases expanded. `height` is 0 for a scalar.
#[derive(Clone, Copy, Default)]
struct Cost {
    nodes: usize,
    text: usize,
    height: usize,
}

impl Cost {
    fn add(&mut self, child: Cost) {
        self.nodes += child.nodes;
        self.text += child.text;
        self.height = self.height.max(child.height);
    }
}

struct Builder<'a> {
    path: &'a str,
    text: &'a str,
    budget: Budget,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, Cost)>,
    /// Everything built so far, copies kept for anchors included.
    spent: Cost,
    root: Option<Node>,
    findings: Vec<Diagnostic>,
}

/// Reading cannot go on; the finding is recorded.
struct Stop;

impl<'a> Builder<'a> {
    fn new(path: &'a str, text: &'a str, budget: Budget) -> Self {
        Self {
            path,
            text,
            budget,
            open: Vec::new(),
            anchors: HashMap::new(),
            spent: Cost::default(),
            root: None,
            findings: Vec::new(),
        }
    }

    fn build(mut self) -> Result<Node, Vec<Diagnostic>> {
        // One level more than we allow, so that our own count reports the place.
        let options = granit_parser::options! {
            emit_comments: false,
            flow_nesting_limit: self.budget.depth + 1,
            block_nesting_limit: self.budget.depth + 1,
        };
        let mut documents = 0;
        for next in Parser::new_from_str_with_options(self.text, options) {
            let step = match next {
                Ok((Event::DocumentStart(..), span)) => {
                    documents += 1;
                    if documents > 1 { self.second_document(self.span(span)) } else { Ok(()) }
                }
                Ok((event, span)) => self.event(event, span),
                Err(error) => self.scan_error(&error),
            };
            if step.is_err() || self.findings.len() >= self.budget.findings {
                break;
            }
        }
        if self.findings.is_empty() { Ok(self.root.unwrap_or_else(Node::null)) } else { Err(self.findings) }
    }

    fn event(&mut self, event: Event<'_>, span: granit_parser::Span) -> Result<(), Stop> {
        let at = self.span(span);
        let tag_at = span.tag_span().map_or(at, |span| self.span(span));
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                let tag = tag.as_deref().map(|tag| (tag, tag_at));
                let (node, cost) = self.scalar(&value, style, tag, at)?;
                self.finished(node, cost, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                let tag = tag.as_deref().map(|tag| (tag, tag_at));
                self.start(at, anchor, tag, Content::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                let content = Content::Map { entries: Vec::new(), seen: HashSet::new(), pending: None };
                let tag = tag.as_deref().map(|tag| (tag, tag_at));
                self.start(at, anchor, tag, content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, at),
            _ => Ok(()),
        }
    }

    fn start(&mut self, span: Span, anchor: usize, tag: Option<(&Tag, Span)>, content: Content) -> Result<(), Stop> {
        self.spend(Cost { nodes: 1, ..Cost::default() }, span)?;
        if self.open.len() >= self.budget.depth {
            return self.too_deep(span);
        }
        let tag = tag.map(|(tag, span)| (tag.original(), span));
        self.open.push(Open { span, anchor, tag, content, cost: Cost { nodes: 1, ..Cost::default() } });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Stop> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let (kind, core_tag) = match open.content {
            Content::List(items) => (NodeKind::List(items), "!!seq"),
            Content::Map { entries, .. } => (NodeKind::Map(entries), "!!map"),
        };
        let mut span = open.span;
        if span.length == 0
            && let NodeKind::Map(entries) = &kind
            && let Some((key, _)) = entries.first()
            && (key.span.line, key.span.column) == (span.line, span.column)
        {
            span.length = key.span.length;
        }
        if let Some((tag, at)) = open.tag.filter(|(tag, _)| tag != core_tag) {
            self.refuse_tag(&tag, at);
        }
        let cost = Cost { height: open.cost.height + 1, ..open.cost };
        self.finished(Node { span, kind }, cost, open.anchor)
    }

    /// A whole node has come: keep it for its anchor, and give it to the collection that is open.
    fn finished(&mut self, node: Node, cost: Cost, anchor: usize) -> Result<(), Stop> {
        if anchor != 0 {
            self.spend(cost, node.span)?;
            self.anchors.insert(anchor, (node.clone(), cost));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.cost.add(cost);
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, pending, .. } => match pending.take() {
                Some(Some(key)) => entries.push((key, node)),
                Some(None) => {}
                None => return self.key(node),
            },
        }
        Ok(())
    }

    fn key(&mut self, node: Node) -> Result<(), Stop> {
        let span = node.span;
        let text = match node.kind {
            NodeKind::Text(text) | NodeKind::Number(text) => Some(text),
            NodeKind::Bool(value) => Some(value.to_string()),
            NodeKind::Null | NodeKind::List(_) | NodeKind::Map(_) => None,
        };
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        let Content::Map { entries, seen, pending } = &mut open.content else { return Ok(()) };
        let problem = match &text {
            None => Some(finding(self.path, span, "MW0109", "a key must be a text").hint("Write `key: value`.")),
            Some(text) if text == "<<" => Some(
                finding(self.path, span, "MW0109", "merge keys (`<<`) are not read")
                    .hint("Write the keys out; an alias (`*name`) may still stand as a whole value."),
            ),
            Some(text) if !seen.insert(text.clone()) => {
                let first = entries.iter().find(|(k, _)| k.text == *text).map(|(k, _)| k.span.line);
                let first = first.map_or(String::new(), |line| format!("; it first stands in line {line}"));
                let message = format!("the key `{}` stands twice in one map{first}", text.escape_debug());
                Some(finding(self.path, span, "MW0106", message).hint("Keep one of the two."))
            }
            Some(_) => None,
        };
        *pending = Some(if problem.is_none() { text.map(|text| Key { text, span }) } else { None });
        self.findings.extend(problem);
        Ok(())
    }

    fn scalar(
        &mut self,
        value: &str,
        style: ScalarStyle,
        tag: Option<(&Tag, Span)>,
        span: Span,
    ) -> Result<(Node, Cost), Stop> {
        if value.len() > self.budget.scalar {
            let message = format!("this text has {} bytes; at most {} are read", value.len(), self.budget.scalar);
            let problem = finding(self.path, span, "MW0104", message).hint("Move it to a file of its own.");
            self.findings.push(problem);
            return Err(Stop);
        }
        let cost = Cost { nodes: 1, text: value.len(), height: 0 };
        self.spend(cost, span)?;
        if let Some(c) = value.chars().find(|c| *c == '\0') {
            let message = format!("the control character U+{:04X} may not stand in a manifest", u32::from(c));
            self.findings.push(finding(self.path, span, "MW0103", message).hint("Remove the escape."));
        }
        let plain = style == ScalarStyle::Plain;
        let original = tag.map(|(tag, at)| (tag.original(), at));
        let kind = match original.as_ref().map(|(tag, at)| (tag.as_str(), *at)) {
            // A key is a text as it is written: an option may well be called `null` or `on`.
            None if plain && self.at_key() && !matches!(value, "" | "~") => NodeKind::Text(value.to_owned()),
            None if plain => scalar::resolve(value),
            None | Some(("!!str" | "!", _)) => NodeKind::Text(value.to_owned()),
            Some((tag, at)) => {
                let kind = scalar::resolve(value);
                let fits = matches!(
                    (tag, &kind),
                    ("!!int" | "!!float", NodeKind::Number(_))
                        | ("!!bool", NodeKind::Bool(_))
                        | ("!!null", NodeKind::Null)
                );
                if !fits {
                    self.refuse_tag(tag, at);
                }
                kind
            }
        };
        Ok((Node { span, kind }, cost))
    }

    /// Whether the next node is a key.
    fn at_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { content: Content::Map { pending: None, .. }, .. }))
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        let Some((_, cost)) = self.anchors.get(&anchor) else {
            let problem = finding(self.path, span, "MW0105", "an alias stands inside the value that it names");
            self.findings.push(problem.hint("Write the value out."));
            return Err(Stop);
        };
        let cost = *cost;
        self.spend(cost, span)?;
        if self.open.len() + cost.height > self.budget.depth {
            return self.too_deep(span);
        }
        let Some((node, _)) = self.anchors.get(&anchor) else { return Err(Stop) };
        let node = Node { span, kind: node.kind.clone() };
        self.finished(node, cost, 0)
    }

    fn spend(&mut self, cost: Cost, span: Span) -> Result<(), Stop> {
        self.spent.nodes = self.spent.nodes.saturating_add(cost.nodes);
        self.spent.text = self.spent.text.saturating_add(cost.text);
        let message = if self.spent.nodes > self.budget.nodes {
            format!("the file has more than {} values with its aliases written out", self.budget.nodes)
        } else if self.spent.text > self.budget.text {
            format!("the file has more than {} bytes of text with its aliases written out", self.budget.text)
        } else {
            return Ok(());
        };
        let problem = finding(self.path, span, "MW0105", message);
        self.findings.push(problem.hint("Use fewer aliases (`*name`), or split the file."));
        Err(Stop)
    }

    fn too_deep(&mut self, span: Span) -> Result<(), Stop> {
        let message = format!("lists and maps are nested deeper than {} levels", self.budget.depth);
        self.findings.push(finding(self.path, span, "MW0105", message).hint("No manifest needs this depth."));
        Err(Stop)
    }

    fn refuse_tag(&mut self, tag: &str, span: Span) {
        let message = format!("the tag `{}` is not read here", tag.escape_debug());
        self.findings.push(finding(self.path, span, "MW0108", message).hint("Remove the tag."));
    }

    fn second_document(&mut self, span: Span) -> Result<(), Stop> {
        let problem = finding(self.path, span, "MW0107", "a second document starts here; a manifest is one document");
        self.findings.push(problem.hint("Remove the `---`, or give the second document a file of its own."));
        Err(Stop)
    }

    fn scan_error(&mut self, error: &granit_parser::ScanError) -> Result<(), Stop> {
        let marker = *error.marker();
        let span = Span { line: count(marker.line().max(1)), column: count(marker.col() + 1), length: 1 };
        match error.kind() {
            ErrorKind::RecursionLimitExceeded => return self.too_deep(span),
            ErrorKind::UnknownAnchor => {
                let problem = finding(self.path, span, "MW0100", "this alias names no anchor that stands before it");
                self.findings.push(problem.hint("An anchor is written `&name`, its alias `*name`."));
            }
            kind => {
                let message = format!("this is not YAML: {kind}");
                let mut problem = finding(self.path, span, "MW0100", message);
                if let Some(hint) = hint(kind) {
                    problem = problem.hint(hint);
                }
                self.findings.push(problem);
            }
        }
        Err(Stop)
    }

    /// Length on the first line only, without trailing blanks.
    fn span(&self, span: granit_parser::Span) -> Span {
        let length = span.byte_range().and_then(|range| self.text.get(range)).map_or(0, |text| {
            let first = text.split(['\n', '\r']).next().unwrap_or_default();
            first.trim_end().chars().count()
        });
        Span { line: count(span.start.line().max(1)), column: count(span.start.col() + 1), length: count(length) }
    }
}

fn hint(kind: &ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation => {
            Some("Indent with blanks, not tabs.")
        }
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => {
            Some("A text that holds `: ` must stand in quotes; check the indentation, too.")
        }
        ErrorKind::UnclosedQuotedScalar => Some("Close the quote."),
        ErrorKind::UnexpectedCharacter { .. } => Some("A text that starts with this character must stand in quotes."),
        ErrorKind::InvalidIndentation | ErrorKind::ExpectedBlockMappingKey | ErrorKind::SimpleKeyExpected => {
            Some("Check the indentation of this line and the one above it.")
        }
        _ => None,
    }
}
