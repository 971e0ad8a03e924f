//! The files of a source: a path or glob inside the domain's folder (D27), and nothing else.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use meshwork_core::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A file to read: `name` is how people know it, relative to the domain's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    pub name: String,
    pub path: PathBuf,
    /// The domain's folder, canonical.
    folder: PathBuf,
    /// What the folders say of it, as in `year=2024/month=5`: names with values, where they have one.
    pub partitions: Vec<(String, Option<String>)>,
}

impl SourceFile {
    /// A file that the caller names, wherever it lies: for people's own commands, never for what a domain declares.
    pub fn own(path: &Path) -> Result<Self> {
        let name =
            path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
        let real = path.canonicalize().map_err(|error| unreadable(&name, &error))?;
        let folder = real.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(Self { name, path: real, folder, partitions: Vec::new() })
    }

    /// A file that a table of the domain names. Opening it checks that it lies below the domain's folder, `root`.
    pub fn below(root: &Path, path: PathBuf, name: String) -> Self {
        Self { name, path, folder: root.to_owned(), partitions: Vec::new() }
    }

    /// The same file, which people know by another name.
    #[must_use]
    pub fn called(self, name: &str) -> Self {
        Self { name: name.to_owned(), partitions: partitions(name), ..self }
    }

    /// Opens it for reading. What was swapped for a link, a pipe or a device since it was found is refused.
    pub fn open(&self) -> Result<File> {
        // Opening a FIFO for reading would wait for a writer; with O_NONBLOCK it does not, and the check below refuses it.
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(&self.path)
            .map_err(|error| unreadable(&self.name, &error))?;
        let meta = file.metadata().map_err(|error| unreadable(&self.name, &error))?;
        if !meta.is_file() {
            return Err(not_a_file(&self.name));
        }
        confine(&self.name, &self.folder, &self.path)?;
        Ok(file)
    }

    /// By what it is known again. Nothing of it is read.
    pub fn identity(&self) -> Result<Identity> {
        let meta = self.open()?.metadata().map_err(|error| self.unreadable(&error))?;
        let modified = meta.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let modified = modified.and_then(|since| i64::try_from(since.as_nanos()).ok());
        Ok(Identity { name: self.name.clone(), size: meta.len(), modified, digest: None, etag: None })
    }

    /// SHA-256 over its bytes.
    pub fn digest(&self) -> Result<String> {
        let mut file = self.open()?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 18];
        loop {
            match file.read(&mut buffer).map_err(|error| self.unreadable(&error))? {
                0 => break,
                n => hash.update(&buffer[..n]),
            }
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    pub fn unreadable(&self, error: &io::Error) -> Error {
        unreadable(&self.name, error)
    }
}

/// By what a file is known again. The same name, size and time (or ETag) mean the same bytes; otherwise the digest
/// decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub name: String,
    pub size: u64,
    /// Nanoseconds since 1970. Absent when it says nothing: the store has none, or the file was so young when it was
    /// looked at that another write could bear the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What the server of a file elsewhere says that stands for its bytes: another content has another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

impl Identity {
    /// Certainly the same, without reading it.
    pub fn is_same(&self, other: &Self) -> bool {
        let dated = self.modified.is_some() && self.modified == other.modified;
        let tagged = self.etag.is_some() && self.etag == other.etag;
        self.name == other.name && self.size == other.size && (dated || tagged)
    }
}

/// All files that `pattern` names, sorted. No match is an error: a source that has gone must not look like no data.
pub fn find(input: &str, folder: &Path, pattern: &str) -> Result<Vec<SourceFile>> {
    let root = folder.canonicalize().map_err(|error| unreadable(&folder.display().to_string(), &error))?;
    // The run's specification may give the path absolute, inside the folder.
    let relative = Path::new(pattern).strip_prefix(folder).unwrap_or(Path::new(pattern));
    if relative.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(leaves(pattern));
    }
    let parts: Vec<String> = relative
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => name.to_str().map(str::to_owned),
            _ => None,
        })
        .collect();
    let mut found = vec![root.clone()];
    for (at, part) in parts.iter().enumerate() {
        let last = at + 1 == parts.len();
        let mut next = Vec::new();
        for base in found {
            if part == "**" && !last {
                folders(&root, base, 0, &mut next)?;
            } else if is_glob(part) {
                let entries = std::fs::read_dir(&base).map_err(|error| unreadable(&shown(&root, &base), &error))?;
                for entry in entries {
                    let entry = entry.map_err(|error| unreadable(&shown(&root, &base), &error))?;
                    let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
                    // As in a shell, a leading dot must be asked for.
                    if (name.starts_with('.') && !part.starts_with('.')) || !matches(part, &name) {
                        continue;
                    }
                    let path = entry.path();
                    if path.is_dir() != last {
                        next.push(path);
                    }
                }
            } else {
                let path = base.join(part);
                if last || path.is_dir() {
                    next.push(path);
                }
            }
        }
        found = next;
    }
    found.sort();
    let mut files = Vec::new();
    for path in found {
        let name = shown(&root, &path);
        let meta = match path.symlink_metadata() {
            Ok(_) => std::fs::metadata(&path).map_err(|error| unreadable(&name, &error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unreadable(&name, &error)),
        };
        confine(&name, &root, &path)?;
        if !meta.is_file() {
            return Err(not_a_file(&name));
        }
        let partitions = partitions(&name);
        files.push(SourceFile { name, path, folder: root.clone(), partitions });
    }
    if files.is_empty() {
        return Err(missing(input, &root, pattern, &parts));
    }
    Ok(files)
}

/// A folder of the domain, with the domain's own: both canonical.
pub fn find_folder(input: &str, folder: &Path, path: &str) -> Result<(PathBuf, PathBuf)> {
    let root = folder.canonicalize().map_err(|error| unreadable(&folder.display().to_string(), &error))?;
    let relative = Path::new(path).strip_prefix(folder).unwrap_or(Path::new(path));
    if relative.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(leaves(path));
    }
    let at = root.join(relative).canonicalize().ok().filter(|at| at.is_dir()).ok_or_else(|| {
        Error::environment("MW0501", format!("input `{input}`: there is no folder `{path}`"))
            .hint("paths are relative to the domain's folder")
    })?;
    if at.starts_with(&root) { Ok((root, at)) } else { Err(leaves(path)) }
}

/// The folder and all below it. Links are not followed: they could lead around in circles.
fn folders(root: &Path, base: PathBuf, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    if depth < 16 {
        let entries = std::fs::read_dir(&base).map_err(|error| unreadable(&shown(root, &base), &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&shown(root, &base), &error))?;
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            if !hidden && entry.file_type().is_ok_and(|ty| ty.is_dir()) {
                folders(root, entry.path(), depth + 1, found)?;
            }
        }
    }
    found.push(base);
    Ok(())
}

/// What Hive and Spark write where a partition has no value.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// The `key=value` folders of a path.
pub fn partitions(path: &str) -> Vec<(String, Option<String>)> {
    let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
    let pairs = folders.split('/').filter_map(|folder| folder.split_once('=')).filter(|(key, _)| !key.is_empty());
    pairs.map(|(key, value)| (unescaped(key), (value != NO_VALUE).then(|| unescaped(value)))).collect()
}

/// Without percent encoding, in which writers put what file names cannot hold.
fn unescaped(text: &str) -> String {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let code = after
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(byte) if *first == b'%' => {
                out.push(byte);
                rest = &after[2..];
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

/// Whether a path is what a glob names: `*` and `?` within one part, `**` for any number of parts.
pub fn matches_path(pattern: &str, path: &str) -> bool {
    fn rest(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern.split_first(), path.split_first()) {
            (None, None) => true,
            (Some((&"**", after)), _) if !after.is_empty() => {
                rest(after, path) || path.split_first().is_some_and(|(_, below)| rest(pattern, below))
            }
            (Some((first, after)), Some((name, below))) => {
                // As in a shell, a leading dot must be asked for.
                (first.starts_with('.') || !name.starts_with('.')) && matches(first, name) && rest(after, below)
            }
            _ => false,
        }
    }
    rest(&pattern.split('/').collect::<Vec<_>>(), &path.split('/').collect::<Vec<_>>())
}

fn missing(input: &str, root: &Path, pattern: &str, parts: &[String]) -> Error {
    let error = Error::environment("MW0501", format!("input `{input}`: no file matches `{pattern}`"));
    let folder = parts[..parts.len().saturating_sub(1)].iter().fold(root.to_owned(), |at, part| at.join(part));
    let Some(wanted) = parts.last() else { return error };
    if confine(pattern, root, &folder).is_err() {
        return error.hint("paths are relative to the domain's folder");
    }
    let near = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str().map(str::to_owned))
        .map(|name| (strsim::jaro_winkler(wanted, &name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, name)) => error.hint(format!("did you mean `{name}`?")),
        None => error.hint("paths are relative to the domain's folder"),
    }
}

pub fn confine(name: &str, root: &Path, path: &Path) -> Result<()> {
    let real = path.canonicalize().map_err(|error| unreadable(name, &error))?;
    if real.starts_with(root) { Ok(()) } else { Err(leaves(name)) }
}

fn leaves(path: &str) -> Error {
    Error::check("MW0503", format!("`{path}` leads out of the domain's folder"))
        .hint("a source reads files below its domain's folder only: no `..`, no absolute path, no link that leads out")
}

fn not_a_file(name: &str) -> Error {
    Error::check("MW0502", format!("`{name}` is not a regular file")).hint(
        "folders, pipes and devices cannot be read; a folder of files is written as a glob, such as `folder/*.csv`",
    )
}

fn unreadable(name: &str, error: &io::Error) -> Error {
    // Decompressing and decoding say themselves what is wrong.
    if let Some(own) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        return own.clone();
    }
    Error::environment("MW0502", format!("`{name}` cannot be read: {}", error.kind()))
        .hint("check that the file exists and that the user running meshwork may read it")
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

pub fn is_glob(part: &str) -> bool {
    part.contains(['*', '?'])
}

/// `*` is any run of characters, `?` any one.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if p < pattern.len() && (pattern[p] == '?' || (pattern[p] != '*' && pattern[p] == name[n])) {
            p += 1;
            n += 1;
        } else if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, n));
            p += 1;
        } else if let Some((at, from)) = star {
            // The last star takes one character more.
            p = at + 1;
            n = from + 1;
            star = Some((at, n));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(folder: &Path, pattern: &str) -> Result<Vec<String>, String> {
        find("in", folder, pattern).map(|files| files.into_iter().map(|f| f.name).collect()).map_err(|e| e.code)
    }

    #[test]
    fn globs() {
        for (pattern, name, expected) in [
            ("*.csv", "a.csv", true),
            ("leads-*.csv", "leads-2024-01.csv", true),
            ("leads-?.csv", "leads-12.csv", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxx", false),
            ("é*", "été", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn paths_of_several_parts() {
        for (pattern, path, expected) in [
            ("a/**/*.csv", "a/b.csv", true),
            ("a/**/*.csv", "a/x/y/b.csv", true),
            ("a/*/*.csv", "a/x/y/b.csv", false),
            ("**/b.csv", "b.csv", true),
            ("a/*", "a/.b", false),
        ] {
            assert_eq!(matches_path(pattern, path), expected, "{pattern} {path}");
        }
        let folder = tempfile::tempdir().expect("temp");
        fs::create_dir_all(folder.path().join("lake/year=2024/month=5")).expect("creates");
        for name in ["lake/year=2024/month=5/a.csv", "lake/b.csv"] {
            fs::write(folder.path().join(name), "x").expect("writes");
        }
        let found = names(folder.path(), "lake/**/*.csv");
        assert_eq!(found, Ok(vec!["lake/b.csv".to_owned(), "lake/year=2024/month=5/a.csv".to_owned()]));
        let value = |text: &str| Some(text.to_owned());
        assert_eq!(
            partitions("lake/year=2024/city=K%C3%B6ln/x=__HIVE_DEFAULT_PARTITION__/a=b.parquet"),
            [("year".to_owned(), value("2024")), ("city".to_owned(), value("Köln")), ("x".to_owned(), None)]
        );
    }

    #[test]
    fn only_regular_files_below_the_folder() {
        let outside = tempfile::tempdir().expect("temp");
        fs::write(outside.path().join("secret.csv"), "x").expect("writes");
        let folder = tempfile::tempdir().expect("temp");
        let at = folder.path();
        fs::create_dir_all(at.join("files/more")).expect("creates");
        for name in ["files/b.csv", "files/a.csv", "files/more/c.csv", "files/.hidden.csv"] {
            fs::write(at.join(name), "x").expect("writes");
        }
        std::os::unix::fs::symlink(outside.path().join("secret.csv"), at.join("files/link.txt")).expect("links");
        std::os::unix::fs::symlink(outside.path(), at.join("away")).expect("links");
        assert_eq!(names(at, "files/*.csv"), Ok(vec!["files/a.csv".into(), "files/b.csv".into()]));
        assert_eq!(names(at, "files/*/*.csv"), Ok(vec!["files/more/c.csv".into()]));
        for (pattern, code) in [
            ("files/none.csv", "MW0501"),
            ("none/*.csv", "MW0501"),
            ("../x.csv", "MW0503"),
            ("/etc/passwd", "MW0503"),
            ("files/link.txt", "MW0503"),
            ("away/secret.csv", "MW0503"),
            ("away/*.csv", "MW0503"),
            ("files", "MW0502"),
        ] {
            assert_eq!(names(at, pattern), Err(code.to_owned()), "{pattern}");
        }
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at.join("pipe.csv"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .expect("makes a pipe");
        assert_eq!(names(at, "pipe.csv"), Err("MW0502".to_owned()));
    }

    #[test]
    fn a_missing_file_suggests_its_neighbour() {
        let folder = tempfile::tempdir().expect("temp");
        fs::write(folder.path().join("leads.csv"), "x").expect("writes");
        let error = find("in", folder.path(), "lead.csv").expect_err("missing");
        assert_eq!(error.hints, ["did you mean `leads.csv`?"]);
    }
}
