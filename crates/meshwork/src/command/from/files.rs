//! Files that exist: which tables they hold, and how they come into the domain's folder, outside of which no run reads.

use std::path::{Path, PathBuf};

use meshwork_control::port::data::FilesSpec;
use meshwork_core::error::{Error, Result};
use meshwork_core::name::Name;
use meshwork_engine::infer::{Bounds, ENDINGS, Examined, Located, Pattern, is_data, located, names, tables};
use meshwork_engine::source::file::SourceFile;
use meshwork_engine::source::{Access, Secrets, copy_sqlite};

use super::AT_MOST;

pub struct Found {
    /// In words.
    pub title: String,
    /// The name of what it belongs to, and its own.
    pub area: String,
    pub name: String,
    /// Absolute.
    folder: PathBuf,
    patterns: Vec<Pattern>,
    /// What belongs to them, by its path in the folder.
    members: Vec<String>,
    /// Folders that are left alone.
    pub left: Vec<String>,
}

impl Found {
    pub fn at(path: &Path) -> Result<Self> {
        let missing =
            |error: std::io::Error| Error::not_found("MW1100", format!("{}: {error}", path.display())).hint(AT_MOST);
        let path = path.canonicalize().map_err(missing)?;
        let file = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let parent = path.parent().map(Path::to_path_buf).unwrap_or_default();
        if !path.is_dir() {
            let stem = file.split('.').next().unwrap_or(&file).to_owned();
            let pattern = Pattern { path: file.clone(), name: stem.clone(), delta: false };
            return Ok(Self {
                title: format!("the file {file}"),
                area: stem.clone(),
                name: stem,
                folder: parent,
                patterns: vec![pattern],
                members: vec![file],
                left: Vec::new(),
            });
        }
        let names = names(&path)?;
        let (patterns, left) = tables(&names);
        let whole = |kind: &str, pattern: Pattern, members: Vec<String>| Self {
            title: format!("the {kind} {file}"),
            area: file.clone(),
            name: file.clone(),
            folder: parent.clone(),
            patterns: vec![pattern],
            members: members.iter().map(|name| format!("{file}/{name}")).collect(),
            left: Vec::new(),
        };
        match patterns.as_slice() {
            [] => Err(Error::not_found("MW1100", format!("{} holds no file of data", path.display()))
                .hint(format!("looked for files that end in {}, and for Delta tables", ENDINGS.join(", ")))),
            [table] if table.delta && table.path.is_empty() => {
                let pattern = Pattern { path: file.clone(), name: file.clone(), delta: true };
                Ok(whole("Delta table", pattern, names))
            }
            [table] if table.name.is_empty() => {
                let pattern = Pattern { path: format!("{file}/{}", table.path), name: file.clone(), delta: false };
                Ok(whole("folder", pattern, names.into_iter().filter(|name| is_data(name)).collect()))
            }
            _ => {
                // Of a folder below: all of a Delta table, the data of others.
                let belongs = |name: &String| match name.split_once('/') {
                    None => is_data(name),
                    Some((folder, _)) => patterns.iter().any(|pattern| {
                        pattern.delta && pattern.path == folder
                            || is_data(name) && pattern.path.split_once('/').is_some_and(|(of, _)| of == folder)
                    }),
                };
                let members = names.iter().filter(|name| belongs(name)).cloned().collect();
                let title = format!("the folder {file}");
                Ok(Self { title, area: file.clone(), name: file.clone(), folder: path, patterns, members, left })
            }
        }
    }

    /// The one table that they are, for commands that look at one.
    pub fn one(&self, name: &str) -> Result<Located> {
        let pattern = only(&self.patterns, &self.title)?;
        Ok(Located { name: name.to_owned(), ..self.located(pattern, &pattern.path) })
    }

    fn located(&self, pattern: &Pattern, shown: &str) -> Located {
        let files = FilesSpec::Folder { folder: self.folder.clone(), path: pattern.path.clone() };
        Located { name: pattern.name.clone(), files, shown: shown.to_owned(), delta: pattern.delta }
    }

    /// Where the domain's manifest would name them: as they lie, where that is below its folder already.
    fn shown(&self, domain: &Path, product: &Name) -> (String, bool) {
        let domain = domain.canonicalize().unwrap_or_else(|_| domain.to_owned());
        match self.folder.strip_prefix(&domain) {
            Ok(inside) => (inside.to_string_lossy().into_owned(), true),
            Err(_) => (format!("{product}/data"), false),
        }
    }

    pub async fn examine(
        &self,
        domain: &Path,
        product: &Name,
        bounds: Bounds,
        heard: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Vec<Examined>> {
        let (place, _) = self.shown(domain, product);
        let access = Access::here("init", Secrets::default());
        let mut examined = Vec::new();
        for pattern in &self.patterns {
            let shown = Path::new(&place).join(&pattern.path).to_string_lossy().into_owned();
            examined.extend(located(&self.located(pattern, &shown), &access, bounds, heard).await?);
        }
        Ok(examined)
    }

    /// Copies them into the domain's folder, where they do not lie in it.
    pub async fn take_over(&self, domain: &Path, product: &Name) -> Result<()> {
        let (place, inside) = self.shown(domain, product);
        if inside {
            return Ok(());
        }
        let target = domain.join(place);
        let io = |error: std::io::Error| Error::environment("MW1026", format!("{}: {error}", target.display()));
        for name in &self.members {
            let (from, to) = (self.folder.join(name), target.join(name));
            if to.exists() {
                return Err(Error::conflict("MW1023", format!("{} exists already; nothing was written", to.display())));
            }
            std::fs::create_dir_all(to.parent().unwrap_or(&target)).map_err(io)?;
            if is_sqlite(&from).map_err(io)? {
                copy_sqlite(&SourceFile::own(&from)?, &to).await?;
            } else {
                std::fs::copy(&from, &to).map_err(io)?;
            }
            // A copy of a file that cannot be written to could not be brought up to date.
            let mut rights = std::fs::metadata(&to).map_err(io)?.permissions();
            std::os::unix::fs::PermissionsExt::set_mode(&mut rights, 0o644);
            std::fs::set_permissions(&to, rights).map_err(io)?;
        }
        Ok(())
    }
}

/// The one table among what was found, for commands that look at one.
pub(super) fn only<'p>(patterns: &'p [Pattern], title: &str) -> Result<&'p Pattern> {
    let [pattern] = patterns else {
        let names: Vec<&str> = patterns.iter().map(|pattern| pattern.path.as_str()).collect();
        return Err(Error::usage("MW1111", format!("{title} holds several tables"))
            .hint(format!("name one of {}", names.join(", "))));
    };
    Ok(pattern)
}

/// A database may be written to while it is copied.
fn is_sqlite(path: &Path) -> std::io::Result<bool> {
    use std::io::Read;
    let mut start = Vec::new();
    std::fs::File::open(path)?.take(16).read_to_end(&mut start)?;
    Ok(start == b"SQLite format 3\0")
}

/// The text of a dbt manifest, if the file is one.
pub fn dbt_manifest(path: &Path) -> Result<Option<String>> {
    use std::io::Read;
    let Ok(mut file) = std::fs::File::open(path) else { return Ok(None) };
    if path.extension().is_none_or(|ending| ending != "json") || !file.metadata().is_ok_and(|meta| meta.is_file()) {
        return Ok(None);
    }
    let mut start = [0; 4096];
    let read = file.read(&mut start).unwrap_or(0);
    if !String::from_utf8_lossy(&start[..read]).contains("dbt_schema_version") {
        return Ok(None);
    }
    std::fs::read_to_string(path)
        .map(Some)
        .map_err(|error| Error::environment("MW1104", format!("{} cannot be read: {error}", path.display())))
}
