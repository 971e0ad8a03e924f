//! The paths to the values of all records, for proposals: nested objects are opened, lists and what is now this, now that
//! stay whole.

use std::collections::HashMap;

use meshwork_core::Result;
use meshwork_core::product::JsonOptions;
use meshwork_core::product::record_path;

use super::super::file::SourceFile;
use super::members;
use super::records::Records;
use super::value::{split_array, split_object};

/// What stands at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// Texts, numbers, booleans.
    Plain,
    Numbers,
    Texts,
    /// Objects and lists of other kinds, as JSON.
    Json,
}

/// Deeper values stay whole.
const DEPTH: usize = 6;
/// An object with more keys is a map from something to something.
const KEYS: usize = 64;
const PATHS: usize = 2_000;

#[derive(Default)]
struct Seen {
    plain: bool,
    object: bool,
    numbers: bool,
    texts: bool,
    other_list: bool,
    children: usize,
}

#[derive(Default)]
struct Paths {
    order: Vec<String>,
    seen: HashMap<String, Seen>,
}

/// In the order in which they come; at most `records` records of each file are looked at.
pub fn paths(files: &[SourceFile], options: &JsonOptions, most: u64) -> Result<Vec<(String, Leaf)>> {
    let at = options.records.as_deref().and_then(record_path);
    let mut found = Paths::default();
    for file in files {
        let mut records = Records::open(file, at.as_deref())?;
        let mut count = 0;
        while count < most
            && let Some((line, text)) = records.next()?
        {
            count += 1;
            for (key, raw) in members(file, line, text)? {
                found.add(key, raw, 0);
            }
        }
    }
    Ok(found.leaves())
}

impl Paths {
    fn add(&mut self, path: String, raw: &str, depth: usize) {
        if !self.seen.contains_key(&path) {
            if self.order.len() >= PATHS {
                return;
            }
            self.order.push(path.clone());
            if let Some((parent, _)) = path.rsplit_once('.')
                && let Some(parent) = self.seen.get_mut(parent)
            {
                parent.children += 1;
            }
        }
        let seen = self.seen.entry(path.clone()).or_default();
        match raw.as_bytes().first() {
            Some(b'{') => {
                seen.object = true;
                if depth < DEPTH && seen.children <= KEYS {
                    for (key, raw) in split_object(raw).unwrap_or_default() {
                        self.add(format!("{path}.{key}"), raw, depth + 1);
                    }
                }
            }
            Some(b'[') => {
                let items = split_array(raw).unwrap_or_default();
                let all = |kind: &dyn Fn(&str) -> bool| items.iter().all(|item| kind(item));
                match () {
                    () if items.is_empty() => {}
                    () if all(&|item| item == "null" || item.starts_with(|c: char| c.is_ascii_digit() || c == '-')) => {
                        seen.numbers = true;
                    }
                    () if all(&|item| item == "null" || item.starts_with('"')) => seen.texts = true,
                    () => seen.other_list = true,
                }
                // An empty list is a list, too.
                seen.other_list |= items.is_empty() && !(seen.numbers || seen.texts);
            }
            _ => seen.plain |= raw != "null",
        }
    }

    fn leaves(self) -> Vec<(String, Leaf)> {
        let mut leaves = Vec::new();
        let mut opened: Vec<&str> = Vec::new();
        for path in &self.order {
            let parent = path.rsplit_once('.').map(|(parent, _)| parent);
            let below = parent.is_some_and(|parent| self.seen.contains_key(parent));
            if below && !parent.is_some_and(|parent| opened.contains(&parent)) {
                continue;
            }
            let seen = &self.seen[path];
            let lists = seen.numbers || seen.texts || seen.other_list;
            let opens = seen.object && !seen.plain && !lists && (1..=KEYS).contains(&seen.children);
            if opens && path.matches('.').count() < DEPTH {
                opened.push(path);
                continue;
            }
            let leaf = match (seen.object || seen.other_list || (lists && seen.plain), seen.numbers, seen.texts) {
                (false, true, false) => Leaf::Numbers,
                (false, false, true) => Leaf::Texts,
                (false, false, false) => Leaf::Plain,
                _ => Leaf::Json,
            };
            leaves.push((path.clone(), leaf));
        }
        leaves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_opened_and_mixtures_stay_whole() {
        let mut paths = Paths::default();
        for record in [
            r#"{"id": 1, "at": {"lat": 1.5, "tags": ["a"]}, "xy": [1, 2.5], "mixed": {"a": 1}, "empty": {}, "none": null}"#,
            r#"{"id": 2, "at": {"lat": null, "lon": 2, "tags": null}, "xy": [-3], "mixed": "text", "objects": [{"a": 1}]}"#,
        ] {
            for (key, raw) in split_object(record).expect("an object") {
                paths.add(key, raw, 0);
            }
        }
        let found: Vec<String> = paths.leaves().iter().map(|(path, leaf)| format!("{path} {leaf:?}")).collect();
        assert_eq!(
            found,
            [
                "id Plain",
                "at.lat Plain",
                "at.tags Texts",
                "xy Numbers",
                "mixed Json",
                "empty Json",
                "none Plain",
                "at.lon Plain",
                "objects Json",
            ]
        );
    }
}
