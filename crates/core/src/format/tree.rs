//! A YAML file as its author wrote it: source text of scalars, and every comment at the entry that it is about.

use granit_parser::{Event, Parser, ScalarStyle, StructureStyle};

/// Whether a blank line stood before it, and the comment with its `#`.
pub type Comment = (bool, String);

#[derive(Debug)]
pub struct Root {
    pub header: Vec<Comment>,
    pub node: Node,
    pub footer: Vec<Comment>,
}

#[derive(Debug)]
pub struct Node {
    pub body: Body,
    /// In the source.
    pub several_lines: bool,
}

#[derive(Debug)]
pub enum Body {
    Scalar {
        /// As written, without indentation.
        lines: Vec<String>,
        /// `|` or `>`.
        block: bool,
    },
    List {
        items: Vec<Entry>,
        flow: bool,
    },
    Map {
        entries: Vec<Entry>,
        flow: bool,
    },
}

/// An entry of a map, or an item of a list.
#[derive(Debug)]
pub struct Entry {
    /// As written; empty for an item.
    pub key: String,
    /// As read.
    pub name: String,
    pub value: Node,
    pub before: Vec<Comment>,
    /// A blank line stood right before it.
    pub blank: bool,
    /// Behind it on its line, with the blanks that stood before it.
    pub beside: Option<String>,
    /// Below it, indented like it.
    pub after: Vec<Comment>,
    line: usize,
    column: usize,
}

/// `None` where the file uses something that is not worth taking apart.
pub fn read(text: &str) -> Option<Root> {
    let mut reader = Reader { text, events: Vec::new(), at: 0, lines: text.split('\n').collect() };
    let mut comments = Vec::new();
    let options = granit_parser::options! { emit_comments: true };
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.ok()?;
        let range = span.byte_range().unwrap_or(0..0);
        let at = At { line: span.start.line(), column: span.start.col(), range };
        match event {
            Event::Comment(..) => {
                let source = text.get(at.range.clone())?.trim_end().to_owned();
                comments.push((at, source));
            }
            Event::Alias(_) => return None,
            Event::Scalar(value, style, anchor, tag) => {
                if anchor != 0 || tag.is_some() {
                    return None;
                }
                reader.events.push((What::Scalar(value.into_owned(), style), at));
            }
            Event::SequenceStart(style, anchor, tag) => {
                if anchor != 0 || tag.is_some() {
                    return None;
                }
                reader.events.push((What::List(style == StructureStyle::Flow), at));
            }
            Event::MappingStart(style, anchor, tag) => {
                if anchor != 0 || tag.is_some() {
                    return None;
                }
                reader.events.push((What::Map(style == StructureStyle::Flow), at));
            }
            Event::SequenceEnd | Event::MappingEnd => reader.events.push((What::End, at)),
            _ => {}
        }
    }
    let mut root = Root { header: Vec::new(), node: reader.node()?, footer: Vec::new() };
    for (at, comment) in comments {
        reader.attach(&mut root, &at, comment)?;
    }
    split_header(&mut root);
    Some(root)
}

/// Comments at the top that a blank line parts from the first key are about the file.
fn split_header(root: &mut Root) {
    let first = match &mut root.node.body {
        Body::Map { entries, .. } => entries.first_mut(),
        Body::List { items, .. } => items.first_mut(),
        Body::Scalar { .. } => None,
    };
    let Some(first) = first else { return };
    let end = match first.blank {
        true => first.before.len(),
        false => first.before.iter().rposition(|(blank, _)| *blank).unwrap_or(0),
    };
    root.header = first.before.drain(..end).collect();
}

struct At {
    /// From 1.
    line: usize,
    /// From 0.
    column: usize,
    range: std::ops::Range<usize>,
}

enum What {
    Scalar(String, ScalarStyle),
    List(bool),
    Map(bool),
    End,
}

struct Reader<'t> {
    text: &'t str,
    lines: Vec<&'t str>,
    events: Vec<(What, At)>,
    at: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<usize> {
        let at = self.at;
        self.at += 1;
        (at < self.events.len()).then_some(at)
    }

    /// Depth is bounded: the text was parsed within its budget before.
    fn node(&mut self) -> Option<Node> {
        let at = self.next()?;
        let start = self.events[at].1.line;
        let body = match &self.events[at].0 {
            What::Scalar(..) => self.scalar(at)?,
            What::List(flow) => {
                let flow = *flow;
                let mut items = Vec::new();
                while !self.at_end()? {
                    let (line, column) = self.dash(self.at, flow)?;
                    items.push(self.entry(String::new(), String::new(), line, column)?);
                }
                Body::List { items, flow }
            }
            What::Map(flow) => {
                let flow = *flow;
                let mut entries = Vec::new();
                while !self.at_end()? {
                    let key = self.next()?;
                    let (What::Scalar(name, style), at) = &self.events[key] else { return None };
                    if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
                        return None;
                    }
                    let source = self.text.get(at.range.clone())?.trim_end();
                    let (name, line, column) = (name.clone(), at.line, at.column);
                    if source.contains('\n') || source.is_empty() {
                        return None;
                    }
                    entries.push(self.entry(source.to_owned(), name, line, column)?);
                }
                Body::Map { entries, flow }
            }
            What::End => return None,
        };
        let end = self.events[self.at.checked_sub(1)?].1.line;
        Some(Node { body, several_lines: end > start })
    }

    fn at_end(&mut self) -> Option<bool> {
        let end = matches!(self.events.get(self.at)?.0, What::End);
        if end {
            self.at += 1;
        }
        Some(end)
    }

    /// Where the item that comes next begins: at its dash.
    fn dash(&self, next: usize, flow: bool) -> Option<(usize, usize)> {
        let at = &self.events.get(next)?.1;
        if flow {
            return Some((at.line, at.column));
        }
        let line = self.lines.get(at.line - 1)?;
        let before: String = line.chars().take(at.column + 1).collect();
        Some((at.line, before.rfind('-').unwrap_or(at.column)))
    }

    fn entry(&mut self, key: String, name: String, line: usize, column: usize) -> Option<Entry> {
        let value = self.node()?;
        let blank = line >= 2 && self.lines.get(line - 2)?.trim().is_empty();
        Some(Entry { key, name, value, before: Vec::new(), blank, beside: None, after: Vec::new(), line, column })
    }

    fn scalar(&self, at: usize) -> Option<Body> {
        let (What::Scalar(_, style), at) = &self.events[at] else { return None };
        let source = self.text.get(at.range.clone())?;
        if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            return self.block(at);
        }
        let source = source.trim_end();
        // In quotes and plain texts the indentation of further lines means nothing.
        let lines = source.split('\n').enumerate().map(|(number, line)| match number {
            0 => line.trim_end().to_owned(),
            _ => line.trim().to_owned(),
        });
        Some(Body::Scalar { lines: lines.collect(), block: false })
    }

    /// A text in `|` or `>`: its head, and its lines without their common indentation.
    fn block(&self, at: &At) -> Option<Body> {
        // The range begins with the first character of the text: its head is the end of the line before that.
        let above = self.text.get(..at.range.start)?.trim_end().rsplit('\n').next()?;
        let head = above.split(" #").next()?.split_whitespace().next_back()?.to_owned();
        // Explicit indentation and kept line breaks depend on what surrounds them.
        if !["|", "|-", ">", ">-"].contains(&head.as_str()) {
            return None;
        }
        let body = format!("{}{}", " ".repeat(at.column), self.text.get(at.range.clone())?);
        let body: Vec<&str> = body.split('\n').collect();
        let blank = |line: &&str| line.trim().is_empty();
        let end = body.iter().rposition(|line| !blank(line)).map_or(0, |last| last + 1);
        let body = &body[..end];
        let width = |line: &&str| line.len() - line.trim_start_matches(' ').len();
        // The first line sets the indentation.
        let indent = body.iter().find(|line| !blank(line)).map_or(0, width);
        if body.iter().any(|line| !blank(line) && width(line) < indent) {
            return None;
        }
        let lines = body.iter().map(|line| line.get(indent..).unwrap_or_default().trim_end().to_owned());
        Some(Body::Scalar { lines: std::iter::once(head).chain(lines).collect(), block: true })
    }

    /// Gives a comment to the entry that it stands beside, before or below.
    fn attach(&self, root: &mut Root, at: &At, comment: String) -> Option<()> {
        let line = self.lines.get(at.line - 1)?;
        let start: String = line.chars().take(at.column).collect();
        let blank = at.line >= 2 && self.lines.get(at.line - 2)?.trim().is_empty();
        let mut places = Vec::new();
        collect(&root.node, &mut Vec::new(), &mut places);
        if !start.trim().is_empty() {
            let gap = start.len() - start.trim_end().len();
            let path = places.iter().rev().find(|place| place.line <= at.line)?;
            let entry = path.of(&mut root.node)?;
            if entry.beside.is_some() || in_flow(&entry.value) && entry.value.several_lines {
                return None;
            }
            entry.beside = Some(format!("{}{comment}", " ".repeat(gap.max(1))));
            return Some(());
        }
        let next = places.iter().find(|place| place.line > at.line);
        match next {
            Some(next) if at.column <= next.column => {
                next.of(&mut root.node)?.before.push((blank, comment));
            }
            _ => match places.iter().rev().find(|place| place.line < at.line && place.column <= at.column) {
                Some(last) if at.column > 0 || next.is_some() => {
                    last.of(&mut root.node)?.after.push((blank, comment));
                }
                _ => root.footer.push((blank, comment)),
            },
        }
        Some(())
    }
}

fn in_flow(node: &Node) -> bool {
    matches!(node.body, Body::List { flow: true, .. } | Body::Map { flow: true, .. })
}

/// An entry of a block collection, by the way to it.
struct Place {
    line: usize,
    column: usize,
    path: Vec<usize>,
}

impl Place {
    fn of<'n>(&self, root: &'n mut Node) -> Option<&'n mut Entry> {
        let (last, before) = self.path.split_last()?;
        let mut node = root;
        for step in before {
            node = &mut children(node)?.get_mut(*step)?.value;
        }
        children(node)?.get_mut(*last)
    }
}

fn children(node: &mut Node) -> Option<&mut Vec<Entry>> {
    match &mut node.body {
        Body::List { items, .. } => Some(items),
        Body::Map { entries, .. } => Some(entries),
        Body::Scalar { .. } => None,
    }
}

/// In the order of the file, outer entries first.
fn collect(node: &Node, path: &mut Vec<usize>, places: &mut Vec<Place>) {
    let (Body::List { items: entries, flow } | Body::Map { entries, flow }) = &node.body else { return };
    if *flow {
        return;
    }
    for (at, entry) in entries.iter().enumerate() {
        path.push(at);
        places.push(Place { line: entry.line, column: entry.column, path: path.clone() });
        collect(&entry.value, path, places);
        path.pop();
    }
}
