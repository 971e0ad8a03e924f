//! Which tables the files of a folder are, by their names alone: like files together, folders of Parquet files and Delta
//! tables as one each, whatever lies deeper besides left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use meshwork_core::{Error, Result};

/// Files that are read as one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// A path or glob below the folder; empty for the folder itself.
    pub path: String,
    /// What the table is called.
    pub name: String,
    /// The path is the folder of a Delta table.
    pub delta: bool,
}

/// What files must end in to be looked at where nobody names them one by one.
pub const ENDINGS: [&str; 13] =
    ["csv", "tsv", "json", "jsonl", "ndjson", "geojson", "parquet", "avro", "sqlite", "sqlite3", "db", "db3", "s3db"];
const COMPRESSED: [&str; 4] = ["gz", "zst", "bz2", "xz"];
const LOG: &str = "_delta_log";
/// Deeper folders, and more files, are hardly meant.
const MOST_FOLDERS: usize = 16;
const MOST_FILES: usize = 100_000;

/// The files below a folder, by their paths in it. What begins with a dot is left out, links to folders are not followed.
pub fn names(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    below(folder, "", 0, &mut found)
        .map_err(|error| Error::not_found("MW1100", format!("{} cannot be read: {error}", folder.display())))?;
    if found.len() > MOST_FILES {
        return Err(Error::limit("MW1100", format!("{} holds more than {MOST_FILES} files", folder.display()))
            .hint("name the folder of one table, or a file"));
    }
    found.sort();
    Ok(found)
}

fn below(folder: &Path, prefix: &str, depth: usize, found: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            if depth < MOST_FOLDERS && found.len() <= MOST_FILES {
                below(&entry.path(), &format!("{prefix}{name}/"), depth + 1, found)?;
            }
        } else if entry.path().is_file() {
            found.push(format!("{prefix}{name}"));
        }
    }
    Ok(())
}

/// The tables among these files, and the folders that are left alone.
pub fn tables(names: &[String]) -> (Vec<Pattern>, Vec<String>) {
    let whole = |path: &str, delta| Pattern { path: path.to_owned(), name: String::new(), delta };
    if is_delta(names) {
        return (vec![whole("", true)], Vec::new());
    }
    if is_dataset(names) {
        return (vec![whole("**/*.parquet", false)], Vec::new());
    }
    let (nested, own): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| name.contains('/'));
    let own: Vec<String> = own.into_iter().filter(|name| is_data(name)).cloned().collect();
    let mut found = patterns(&own);
    let folders: BTreeSet<&str> = nested.iter().filter_map(|name| Some(name.split_once('/')?.0)).collect();
    let mut left = Vec::new();
    for folder in folders {
        let prefix = format!("{folder}/");
        let inside: Vec<String> = nested.iter().filter_map(|n| n.strip_prefix(&prefix)).map(str::to_owned).collect();
        let data: Vec<&String> = inside.iter().filter(|name| is_data(name)).collect();
        if is_delta(&inside) {
            found.push(Pattern { path: folder.to_owned(), name: folder.to_owned(), delta: true });
        } else if !data.is_empty() && data.iter().all(|name| is_parquet(name)) {
            found.push(Pattern { path: format!("{folder}/**/*.parquet"), name: folder.to_owned(), delta: false });
        } else if !data.is_empty() {
            left.push(folder.to_owned());
        }
    }
    (found, left)
}

fn is_delta(names: &[String]) -> bool {
    names.iter().any(|name| name.strip_prefix(LOG).is_some_and(|rest| rest.starts_with('/')))
}

/// Parquet files that are one table: below folders such as `year=2024`, or in the parts that a cluster writes.
fn is_dataset(names: &[String]) -> bool {
    let data: Vec<&String> = names.iter().filter(|name| is_data(name)).collect();
    let part = |name: &String| {
        let (folders, file) = name.rsplit_once('/').unwrap_or(("", name));
        folders.split('/').next().is_some_and(|folder| folder.contains('=')) || file.starts_with("part-")
    };
    !data.is_empty() && data.iter().all(|name| is_parquet(name) && part(name))
}

fn is_parquet(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".parquet")
}

/// Whether a name says that the file holds data of a kind that is read.
pub fn is_data(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    if file.starts_with(['.', '_']) {
        return false;
    }
    let mut parts = file.rsplit('.').map(str::to_ascii_lowercase);
    let last = parts.next().unwrap_or_default();
    let ending = if COMPRESSED.contains(&last.as_str()) { parts.next().unwrap_or_default() } else { last };
    parts.next().is_some() && ENDINGS.contains(&ending.as_str())
}

/// The sources among files of one folder: `leads-2024-01.csv` and `leads-2024-02.csv` are one, `leads-*.csv`.
pub fn patterns(names: &[String]) -> Vec<Pattern> {
    let mut groups: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for name in names {
        groups.entry(starred(name)).or_default().push(name);
    }
    let one = |path: &str, name: &str| Pattern { path: path.to_owned(), name: stem(name), delta: false };
    let mut found = Vec::new();
    for (starred, members) in groups {
        match members.as_slice() {
            [only] => found.push(one(only, only)),
            several if starred.matches('*').count() == 1 && stem(&starred).chars().any(char::is_alphabetic) => {
                // The glob must not take in files of another group.
                let (before, after) = starred.split_once('*').unwrap_or((&starred, ""));
                let taken = names.iter().filter(|n| n.starts_with(before) && n.ends_with(after)).count();
                if taken == several.len() {
                    found.push(one(&starred, &starred));
                } else {
                    found.extend(several.iter().map(|n| one(n, n)));
                }
            }
            several => found.extend(several.iter().map(|n| one(n, n))),
        }
    }
    found
}

/// The name with its dates and numbers as one `*`: from the first digit of the stem to the last.
fn starred(name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or(name);
    let folder = &name[..name.len() - file.len()];
    let end = file.find('.').unwrap_or(file.len());
    let (stem, endings) = file.split_at(end);
    let digits = |c: char| c.is_ascii_digit();
    match (stem.find(digits), stem.rfind(digits)) {
        (Some(first), Some(last)) if stem[first..=last].chars().all(|c| c.is_ascii_digit() || "-_".contains(c)) => {
            format!("{folder}{}*{}{endings}", &stem[..first], &stem[last + 1..])
        }
        _ => name.to_owned(),
    }
}

fn stem(name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or(name);
    let stem = file.split('.').next().unwrap_or(file);
    stem.trim_matches(['*', '-', '_', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(names: &[&str]) -> (Vec<String>, Vec<String>) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let (found, left) = tables(&names);
        let show = |p: Pattern| format!("{} {}{}", p.path, p.name, if p.delta { "(delta)" } else { "" });
        (found.into_iter().map(show).collect(), left)
    }

    #[test]
    fn like_files_are_one_source() {
        let names = ["leads-2024-01.csv", "leads-2024-02.csv", "leads.csv", "x1.csv", "2023.csv", "2024.csv"];
        let (found, _) = shown(&names);
        assert_eq!(found, ["2023.csv 2023", "2024.csv 2024", "leads-*.csv leads", "leads.csv leads", "x1.csv x1"]);
    }

    #[test]
    fn folders_that_are_tables() {
        let expected = |found: &[&str]| found.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>();
        for (names, found, left) in [
            (&["_delta_log/00000000000000000000.json", "part-0.parquet"][..], &[" (delta)"][..], &[][..]),
            (&["year=2024/a.parquet", "year=2025/b.parquet", "_SUCCESS"], &["**/*.parquet "], &[]),
            (&["part-00000-c1.snappy.parquet", "part-00001-c2.snappy.parquet"], &["**/*.parquet "], &[]),
            (&["a.parquet", "b.parquet"], &["a.parquet a", "b.parquet b"], &[]),
            (
                &[
                    "a.csv",
                    "orders/_delta_log/0.json",
                    "orders/x.parquet",
                    "clicks/d=1/x.parquet",
                    "old/b.csv",
                    "doc/x.md",
                ],
                &["a.csv a", "clicks/**/*.parquet clicks", "orders orders(delta)"],
                &["old"],
            ),
        ] {
            assert_eq!(shown(names), (expected(found), expected(left)), "{names:?}");
        }
    }

    #[test]
    fn files_of_data() {
        for (name, expected) in [
            ("a.csv", true),
            ("a.CSV", true),
            ("a.json.gz", true),
            ("x/a.parquet", true),
            ("a.avro", true),
            ("chinook.sqlite", true),
            ("README.md", false),
            (".a.csv", false),
            ("a.gz", false),
            ("csv", false),
        ] {
            assert_eq!(is_data(name), expected, "{name}");
        }
    }
}
