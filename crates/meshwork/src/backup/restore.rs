//! Unpacking into an empty folder, and proving that what was unpacked is what was packed and can be used.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use meshwork_core::error::{Error, Result};
use sha2::{Digest, Sha256};

use super::{ABOUT, About, CHECKSUMS, Checksums, FORMAT, Packed, Root, damaged, hex, io};

/// JSON of the archive itself: what would be larger is none of ours.
const JSON_LIMIT: u64 = 1 << 30;

/// What was unpacked.
#[derive(Debug)]
pub struct Restored {
    pub mesh: String,
    pub at: meshwork_core::effect::Timestamp,
    pub files: usize,
    pub bytes: u64,
    /// Storage roots as they were and as they are now.
    pub roots: Vec<(String, String)>,
}

/// Unpacks `archive` so that `folder`, which must be new or empty, is the mesh folder. Storage roots outside of the old mesh
/// folder go where `moved` says, else to where they were. Leaves nothing behind on an error.
pub fn unpack(archive: &Path, folder: &Path, moved: &BTreeMap<String, PathBuf>) -> Result<Restored> {
    let mut made = Made(Vec::new());
    let restored = Unpacking { folder, moved, made: &mut made }.run(archive)?;
    made.0.clear();
    Ok(restored)
}

/// Folders that were empty before; emptied again on the way out unless cleared.
struct Made(Vec<PathBuf>);

impl Drop for Made {
    fn drop(&mut self) {
        for folder in &self.0 {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

struct Unpacking<'a> {
    folder: &'a Path,
    moved: &'a BTreeMap<String, PathBuf>,
    made: &'a mut Made,
}

impl Unpacking<'_> {
    fn run(&mut self, archive: &Path) -> Result<Restored> {
        let file = File::open(archive).map_err(|error| io("reading", archive, &error))?;
        let decoder = zstd::Decoder::new(file).map_err(|error| io("reading", archive, &error))?;
        let mut tar = tar::Archive::new(decoder);
        let broken = |error: std::io::Error| damaged(&format!("it ends early or is not one of ours ({error})"));
        let mut entries = tar.entries().map_err(broken)?;
        let first = entries.next().ok_or_else(|| damaged("it is empty"))?.map_err(broken)?;
        let (name, about) = text(first)?;
        if name != ABOUT {
            return Err(damaged("it does not begin with `backup.json`"));
        }
        let mut found = Checksums::new();
        found.insert(name, packed(&about));
        let about: About = serde_json::from_slice(&about).map_err(|_| damaged("`backup.json` is not understood"))?;
        if about.format > FORMAT {
            return Err(damaged(&format!(
                "version {} of `meshwork` wrote it, which this one is older than",
                about.version
            )));
        }
        self.claim(self.folder)?;
        let mut targets = Vec::new();
        for root in &about.roots {
            if let Some(packed) = &root.packed {
                targets.push((packed.clone(), self.target(root)?));
            }
        }
        let mut promised = None;
        for entry in entries {
            let entry = entry.map_err(broken)?;
            let name = name_of(&entry)?;
            if name == CHECKSUMS {
                let (_, bytes) = text(entry)?;
                let sums: Checksums =
                    serde_json::from_slice(&bytes).map_err(|_| damaged("`checksums.json` is not understood"))?;
                promised = Some(sums);
                continue;
            }
            let target = self.place(&name, &targets)?;
            let mode = entry.header().mode().unwrap_or(0o600) & 0o777;
            found.insert(name, write(entry, &target, mode)?);
        }
        let promised = promised.ok_or_else(|| damaged("it was cut off: `checksums.json` is missing"))?;
        if let Some(differs) = difference(&promised, &found) {
            return Err(damaged(&format!("`{differs}` is not what was packed")));
        }
        let roots = about.roots.iter().map(|root| {
            let now = targets.iter().find(|(packed, _)| Some(packed) == root.packed.as_ref());
            let now = now.and_then(|(_, path)| url::Url::from_directory_path(path).ok());
            (root.url.clone(), now.map_or_else(|| root.url.clone(), |url| url.to_string()))
        });
        Ok(Restored {
            mesh: about.mesh.to_string(),
            at: about.at,
            files: found.len(),
            bytes: found.values().map(|packed| packed.bytes).sum(),
            roots: roots.collect(),
        })
    }

    fn claim(&mut self, folder: &Path) -> Result<()> {
        let occupied = match std::fs::read_dir(folder) {
            Ok(mut listing) => listing.next().is_some(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            Err(error) => return Err(io("reading", folder, &error)),
        };
        if occupied {
            return Err(Error::conflict("MW1090", format!("{} is not empty", folder.display())).hint(
                "restore into a new folder; a storage root that lies elsewhere is moved with `--storage OLD=NEW`",
            ));
        }
        std::fs::create_dir_all(folder).map_err(|error| io("making", folder, &error))?;
        self.made.0.push(folder.to_owned());
        Ok(())
    }

    fn target(&mut self, root: &Root) -> Result<PathBuf> {
        if let Some(inside) = &root.inside {
            return Ok(self.folder.join(relative(inside)?));
        }
        let was = url::Url::parse(&root.url).ok().and_then(|url| url.to_file_path().ok());
        let was = was.ok_or_else(|| damaged(&format!("`{}` is not a folder", root.url)))?;
        let key = was.to_string_lossy().trim_end_matches('/').to_owned();
        let path = self.moved.get(&key).cloned().unwrap_or(was);
        self.claim(&path)?;
        Ok(path)
    }

    fn place(&self, name: &str, targets: &[(String, PathBuf)]) -> Result<PathBuf> {
        if let Some(rest) = name.strip_prefix("state/") {
            return Ok(self.folder.join(".meshwork").join(relative(rest)?));
        }
        if let Some(rest) = name.strip_prefix("mesh/") {
            return Ok(self.folder.join(relative(rest)?));
        }
        let target = targets
            .iter()
            .find_map(|(packed, path)| Some((name.strip_prefix(packed.as_str())?.strip_prefix('/')?, path)));
        let (rest, path) = target.ok_or_else(|| damaged(&format!("`{name}` belongs nowhere")))?;
        Ok(path.join(relative(rest)?))
    }
}

/// A path that stays where it is put.
fn relative(name: &str) -> Result<PathBuf> {
    let path = Path::new(name);
    let stays = !name.is_empty() && path.components().all(|part| matches!(part, Component::Normal(_)));
    if stays { Ok(path.to_owned()) } else { Err(damaged(&format!("`{}` leads elsewhere", name.escape_debug()))) }
}

fn name_of(entry: &tar::Entry<'_, impl Read>) -> Result<String> {
    if !entry.header().entry_type().is_file() {
        return Err(damaged("it holds something that is not a file"));
    }
    let name = entry.path().ok().and_then(|path| path.to_str().map(str::to_owned));
    name.ok_or_else(|| damaged("a name in it is not UTF-8"))
}

fn text(entry: tar::Entry<'_, impl Read>) -> Result<(String, Vec<u8>)> {
    let name = name_of(&entry)?;
    let mut bytes = Vec::new();
    entry.take(JSON_LIMIT).read_to_end(&mut bytes).map_err(|error| damaged(&format!("`{name}`: {error}")))?;
    Ok((name, bytes))
}

fn packed(bytes: &[u8]) -> Packed {
    Packed { bytes: bytes.len() as u64, sha256: hex(&Sha256::digest(bytes)) }
}

fn write(mut entry: tar::Entry<'_, impl Read>, path: &Path, mode: u32) -> Result<Packed> {
    let failed = |error: std::io::Error| io("writing", path, &error);
    if let Some(folder) = path.parent() {
        let private = folder.ends_with(".meshwork") || folder.ends_with(".meshwork/secrets");
        let mode = if private { 0o700 } else { 0o777 };
        std::fs::DirBuilder::new().recursive(true).mode(mode).create(folder).map_err(failed)?;
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(mode).open(path).map_err(failed)?;
    let (mut digest, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        let count = entry.read(&mut buffer).map_err(|error| damaged(&format!("it ends early ({error})")))?;
        if count == 0 {
            break;
        }
        digest.update(&buffer[..count]);
        file.write_all(&buffer[..count]).map_err(failed)?;
        bytes += count as u64;
    }
    file.sync_all().map_err(failed)?;
    Ok(Packed { bytes, sha256: hex(&digest.finalize()) })
}

fn difference(promised: &Checksums, found: &Checksums) -> Option<String> {
    let changed = promised.iter().find(|(name, packed)| found.get(*name) != Some(*packed)).map(|(name, _)| name);
    changed.or_else(|| found.keys().find(|name| !promised.contains_key(*name))).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        for bad in ["", "../x", "/etc/passwd", "a/../../x", "./a/.."] {
            assert!(relative(bad).is_err(), "{bad}");
        }
        assert_eq!(relative("a/b.txt").expect("inside"), PathBuf::from("a/b.txt"));
    }
}
