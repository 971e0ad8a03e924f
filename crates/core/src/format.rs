//! Manifests and contracts in their canonical form: order of keys, indentation, spacing. Comments, quotes and what the
//! author grouped stay.
//!
//! A formatted text always means what it meant: both are parsed and compared, and where they differ, or where the file uses
//! what is better left alone (anchors, explicit indentation), only blanks at line ends and the end of the file are put in order.

mod order;
mod tree;

use crate::error::Diagnostic;
use crate::yaml::{self, Node as Meaning, NodeKind};

use order::Order;
use tree::{Body, Entry, Node};

pub use order::FileKind;

/// Lines up to here may hold a list or map in braces that was written over several lines.
const WIDTH: usize = 100;
const INDENT: usize = 2;

/// The canonical form of a file, or why it is not YAML.
pub fn format(path: &str, text: &str) -> Result<String, Vec<Diagnostic>> {
    let before = yaml::parse(path, text)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let same = |candidate: &String| yaml::parse(path, candidate).is_ok_and(|after| means_the_same(&before, &after));
    let formatted = tree::read(&text).map(|root| emit(&root, Order::of(FileKind::of(path, &before))));
    // What would be formatted anew the next time is not a canonical form.
    let stable = |candidate: &String| {
        tree::read(candidate).is_some_and(|root| emit(&root, Order::of(FileKind::of(path, &before))) == *candidate)
    };
    Ok(formatted.filter(same).filter(stable).or_else(|| Some(tidy(&text)).filter(same)).unwrap_or_else(|| text.clone()))
}

/// Equal but for the order of keys.
fn means_the_same(a: &Meaning, b: &Meaning) -> bool {
    match (&a.kind, &b.kind) {
        (NodeKind::Map(a), NodeKind::Map(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| {
                    b.iter().find(|(k, _)| k.text == key.text).is_some_and(|(_, other)| means_the_same(value, other))
                })
        }
        (NodeKind::List(a), NodeKind::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| means_the_same(a, b))
        }
        (a, b) => a == b,
    }
}

fn tidy(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    format!("{}\n", lines.join("\n").trim_end())
}

fn emit(root: &tree::Root, order: Order) -> String {
    let mut out = Lines::default();
    for (blank, comment) in &root.header {
        out.comment(*blank, 0, comment);
    }
    match &root.node.body {
        Body::Map { entries, flow: false } => out.map(entries, 0, &order, !root.header.is_empty()),
        Body::List { items, flow: false } => out.list(items, 0, &order),
        _ => out.push(0, &inline(&root.node)),
    }
    for (blank, comment) in &root.footer {
        out.comment(*blank, 0, comment);
    }
    let text = out.0.join("\n");
    format!("{}\n", text.trim_end())
}

#[derive(Default)]
struct Lines(Vec<String>);

impl Lines {
    fn push(&mut self, indent: usize, text: &str) {
        self.0.push(if text.is_empty() { String::new() } else { format!("{}{text}", " ".repeat(indent)) });
    }

    fn blank(&mut self) {
        if self.0.last().is_some_and(|last| !last.is_empty()) {
            self.0.push(String::new());
        }
    }

    fn comment(&mut self, blank: bool, indent: usize, text: &str) {
        if blank {
            self.blank();
        }
        self.push(indent, text);
    }

    fn map(&mut self, entries: &[Entry], indent: usize, order: &Order, apart: bool) {
        for (at, entry) in order.sorted(entries).into_iter().enumerate() {
            let first = at == 0 && !apart;
            for (number, (blank, comment)) in entry.before.iter().enumerate() {
                self.comment(*blank && !(first && number == 0), indent, comment);
            }
            if entry.blank && !(first && entry.before.is_empty()) {
                self.blank();
            }
            let head = format!("{}:", entry.key);
            self.value(&head, entry, indent, indent + INDENT, &order.below(&entry.name));
            for (blank, comment) in &entry.after {
                self.comment(*blank, indent, comment);
            }
        }
    }

    fn list(&mut self, items: &[Entry], indent: usize, order: &Order) {
        for (at, item) in items.iter().enumerate() {
            for (number, (blank, comment)) in item.before.iter().enumerate() {
                self.comment(*blank && !(at == 0 && number == 0), indent, comment);
            }
            if item.blank && !(at == 0 && item.before.is_empty()) {
                self.blank();
            }
            let below = order.below("*");
            let nested = matches!(&item.value.body, Body::Map { flow: false, .. } | Body::List { flow: false, .. });
            if nested && item.beside.is_none() {
                let mut inner = Self::default();
                match &item.value.body {
                    Body::Map { entries, .. } => inner.map(entries, indent + INDENT, &below, false),
                    Body::List { items, .. } => inner.list(items, indent + INDENT, &below),
                    Body::Scalar { .. } => {}
                }
                // The first line moves up beside the dash.
                if let Some(first) = inner.0.first_mut() {
                    *first = format!("{}- {}", " ".repeat(indent), first.trim_start());
                }
                self.0.extend(inner.0);
            } else {
                self.value("-", item, indent, indent + INDENT, &below);
            }
            for (blank, comment) in &item.after {
                self.comment(*blank, indent, comment);
            }
        }
    }

    /// What stands behind a key or a dash.
    fn value(&mut self, head: &str, entry: &Entry, indent: usize, below: usize, order: &Order) {
        let beside = entry.beside.as_deref().unwrap_or_default();
        match &entry.value.body {
            Body::Map { entries, flow } if !*flow || !self.fits(head, entry, indent) => {
                self.push(indent, &format!("{head}{beside}"));
                self.map(entries, below, order, false);
            }
            Body::List { items, flow } if !*flow || !self.fits(head, entry, indent) => {
                self.push(indent, &format!("{head}{beside}"));
                self.list(items, below, order);
            }
            Body::Scalar { lines, block } => {
                let (first, rest) = lines.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
                let gap = if first.is_empty() { "" } else { " " };
                // Behind a text of several lines a comment stands at its end; a block's stands in its head.
                let (here, there) = if *block || rest.is_empty() { (beside, "") } else { ("", beside) };
                self.push(indent, &format!("{head}{gap}{first}{here}"));
                for (at, line) in rest.iter().enumerate() {
                    let end = if at + 1 == rest.len() { there } else { "" };
                    self.push(below, &format!("{line}{end}"));
                }
            }
            _ => self.push(indent, &format!("{head} {}{beside}", inline(&entry.value))),
        }
    }

    /// In braces on one line: as the author wrote it, or because there is room.
    #[allow(clippy::unused_self, reason = "reads as a question about the line")]
    fn fits(&self, head: &str, entry: &Entry, indent: usize) -> bool {
        !entry.value.several_lines || indent + head.len() + 1 + inline(&entry.value).chars().count() <= WIDTH
    }
}

/// On one line.
fn inline(node: &Node) -> String {
    match &node.body {
        Body::Scalar { lines, .. } => lines.join(" "),
        Body::List { items, .. } => {
            let items: Vec<String> = items.iter().map(|item| inline(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Body::Map { entries, .. } if entries.is_empty() => "{}".to_owned(),
        Body::Map { entries, .. } => {
            let pair = |entry: &Entry| {
                let value = inline(&entry.value);
                if value.is_empty() { format!("{}:", entry.key) } else { format!("{}: {value}", entry.key) }
            };
            format!("{{ {} }}", entries.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests;
