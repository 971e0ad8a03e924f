//! What was typed before: one entry a line of a file that only its owner may read.

use std::io::Write;
use std::path::PathBuf;

use crate::config::private_file;

/// Older ones are forgotten.
const KEPT: usize = 5000;

pub struct History {
    path: Option<PathBuf>,
    entries: Vec<String>,
}

impl History {
    /// Without a place for a file there is none beyond this session; nor is one that cannot be read worth an error.
    pub fn open(path: Option<PathBuf>) -> Self {
        let text = path.as_ref().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        let mut entries: Vec<String> = text.lines().map(unescaped).collect();
        if entries.len() > 2 * KEPT {
            entries.drain(..entries.len() - KEPT);
            if let Some(path) = &path {
                let short: String = entries.iter().map(|entry| escaped(entry)).collect();
                let _ = private_file(path).and_then(|_| std::fs::write(path, short));
            }
        }
        Self { path, entries }
    }

    /// Kept at once: a killed shell loses nothing. What begins with a blank is not kept.
    pub fn add(&mut self, text: &str) {
        let text = text.trim_end();
        if text.is_empty() || text.starts_with(' ') || self.entries.last().is_some_and(|last| last == text) {
            return;
        }
        self.entries.push(text.to_owned());
        if let Some(path) = &self.path {
            let _ = private_file(path).and_then(|mut file| file.write_all(escaped(text).as_bytes()));
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The nearest one before `at` that begins with what was typed.
    pub fn before(&self, at: usize, typed: &str) -> Option<(usize, &str)> {
        let at = self.entries[..at].iter().rposition(|entry| entry.starts_with(typed) && entry != typed)?;
        Some((at, &self.entries[at]))
    }

    pub fn after(&self, at: usize, typed: &str) -> Option<(usize, &str)> {
        let rest = self.entries.get(at + 1..)?;
        let found = at + 1 + rest.iter().position(|entry| entry.starts_with(typed) && entry != typed)?;
        Some((found, &self.entries[found]))
    }
}

fn escaped(text: &str) -> String {
    format!("{}\n", text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', ""))
}

fn unescaped(line: &str) -> String {
    let mut text = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => text.push('\n'),
                Some(other) => text.push(other),
                None => {}
            },
            (c, false) => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_the_session() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own/history");
        let mut first = History::open(Some(path.clone()));
        for text in ["select 1;", "select\n'\\n';", "select\n'\\n';", " secret;", ""] {
            first.add(text);
        }
        let second = History::open(Some(path));
        assert_eq!(second.entries, ["select 1;", "select\n'\\n';"]);
    }

    #[test]
    fn search_is_by_what_was_typed() {
        let mut history = History::open(None);
        ["a 1", "b 1", "a 2"].iter().for_each(|text| history.add(text));
        assert_eq!(history.before(3, "a"), Some((2, "a 2")));
        assert_eq!(history.before(2, "a"), Some((0, "a 1")));
        assert_eq!(history.before(0, ""), None);
        assert_eq!(history.after(0, "a"), Some((2, "a 2")));
        assert_eq!(history.after(2, "a"), None);
    }
}
