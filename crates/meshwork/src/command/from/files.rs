//! Files that exist: which tables they hold, and how they come into the domain's folder, outside of which no run reads.

use std::path::{Path, PathBuf};

use meshwork_core::error::{Error, Result};
use meshwork_core::name::Name;
use meshwork_engine::infer::{Bounds, Examined, Pattern, file, patterns};

/// What a folder's files end in to be looked at; one that is named itself may end in anything.
const ENDINGS: &[&str] = &["csv", "tsv", "json", "jsonl", "ndjson", "geojson", "parquet"];
const COMPRESSED: &[&str] = &["gz", "zst", "bz2", "xz"];

pub struct Found {
    /// In words.
    pub title: String,
    /// The name of what it belongs to, and its own.
    pub area: String,
    pub name: String,
    /// Absolute.
    folder: PathBuf,
    names: Vec<String>,
}

impl Found {
    pub fn at(path: &Path) -> Result<Self> {
        let missing = |error: std::io::Error| {
            Error::not_found("MW1100", format!("{}: {error}", path.display()))
                .hint("`--from` takes a file, a folder, `postgres://…`, or a dbt project's target/manifest.json")
        };
        let path = path.canonicalize().map_err(missing)?;
        let last = |path: &Path| path.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            let mut names: Vec<String> = std::fs::read_dir(&path)
                .map_err(missing)?
                .flatten()
                .filter(|entry| entry.path().is_file())
                .filter_map(|entry| entry.file_name().into_string().ok())
                .filter(|name| is_data(name))
                .collect();
            names.sort();
            if names.is_empty() {
                return Err(Error::not_found("MW1100", format!("{} holds no file of data", path.display()))
                    .hint(format!("looked for files that end in {}", ENDINGS.join(", "))));
            }
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            return Ok(Self { title: format!("the folder {name}"), area: name.clone(), name, folder: path, names });
        }
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let file = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let stem = last(Path::new(file.split('.').next().unwrap_or(&file)));
        Ok(Self { title: format!("the file {file}"), area: stem.clone(), name: stem, folder, names: vec![file] })
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
        let mut examined = Vec::new();
        for pattern in self.patterns() {
            heard(&pattern.path);
            let shown = Path::new(&place).join(&pattern.path).to_string_lossy().into_owned();
            examined.push(file(&self.folder, &pattern, &shown, bounds).await?);
        }
        Ok(examined)
    }

    fn patterns(&self) -> Vec<Pattern> {
        patterns(&self.names)
    }

    /// Copies them into the domain's folder, where they do not lie in it.
    pub fn take_over(&self, domain: &Path, product: &Name) -> Result<()> {
        let (place, inside) = self.shown(domain, product);
        if inside {
            return Ok(());
        }
        let target = domain.join(place);
        let io = |error: std::io::Error| Error::environment("MW1026", format!("{}: {error}", target.display()));
        std::fs::create_dir_all(&target).map_err(io)?;
        for name in &self.names {
            let file = target.join(name);
            if file.exists() {
                return Err(Error::conflict(
                    "MW1023",
                    format!("{} exists already; nothing was written", file.display()),
                ));
            }
            std::fs::copy(self.folder.join(name), &file).map_err(io)?;
            // A copy of a file that cannot be written to could not be brought up to date.
            let mut rights = std::fs::metadata(&file).map_err(io)?.permissions();
            std::os::unix::fs::PermissionsExt::set_mode(&mut rights, 0o644);
            std::fs::set_permissions(&file, rights).map_err(io)?;
        }
        Ok(())
    }
}

fn is_data(name: &str) -> bool {
    if name.starts_with('.') {
        return false;
    }
    let mut parts = name.rsplit('.').map(str::to_ascii_lowercase);
    let last = parts.next().unwrap_or_default();
    let ending = if COMPRESSED.contains(&last.as_str()) { parts.next().unwrap_or_default() } else { last };
    ENDINGS.contains(&ending.as_str())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_data() {
        for (name, expected) in [
            ("a.csv", true),
            ("a.CSV", true),
            ("a.json.gz", true),
            ("a.parquet", true),
            ("README.md", false),
            (".a.csv", false),
            ("a.gz", false),
        ] {
            assert_eq!(is_data(name), expected, "{name}");
        }
    }
}
