//! A mesh folder read into memory. The folder is hostile input (D27): only regular files inside of it are read, within
//! budgets, and nothing that could block is opened.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use meshwork_core::check::{self, Checked, Files};
use meshwork_core::diagnostic::visible;
use meshwork_core::error::{Diagnostic, Place};
use meshwork_core::mesh::Mesh;

/// What is read of a folder.
#[derive(Debug, Default)]
pub struct Checkout {
    pub files: Files,
    /// Only when nothing is wrong, SQL aside.
    pub mesh: Option<Mesh>,
    /// By place.
    pub diagnostics: Vec<Diagnostic>,
}

/// How much a folder may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Entries looked at below `domains` and `governance`, data files included.
    pub entries: usize,
    /// Bytes of one file that is read.
    pub file_bytes: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Folders within folders.
    pub depth: usize,
}

impl Limits {
    pub const DEFAULT: Self = Self { entries: 200_000, file_bytes: 1 << 20, bytes: 64 << 20, depth: 16 };
}

/// Reads and checks a mesh folder, all but its SQL.
pub fn load(dir: &Path) -> Checkout {
    let (files, checked) = load_checked(dir);
    Checkout { files, mesh: checked.mesh, diagnostics: checked.diagnostics }
}

/// The files, and everything that checking them gave, with what was wrong in reading them.
pub(crate) fn load_checked(dir: &Path) -> (Files, Checked) {
    let (files, found) = read(dir, Limits::DEFAULT);
    // A folder that cannot be read at all is one finding, not also a missing mesh.yaml.
    let unreadable = files.is_empty() && found.iter().any(|d| d.place.path.is_empty());
    let mut checked = if unreadable { Checked::default() } else { check::check(&files) };
    if !found.is_empty() {
        hide_consequences(&mut checked.diagnostics, &found);
        checked.mesh = None;
        checked.diagnostics.extend(found);
        check::sort(&mut checked.diagnostics);
    }
    (files, checked)
}

/// A file that was refused is not also "missing".
fn hide_consequences(diagnostics: &mut Vec<Diagnostic>, refused: &[Diagnostic]) {
    diagnostics.retain(|d| !(d.code == "MW0120" && refused.iter().any(|r| r.place.path == d.place.path)));
}

/// The manifests, contracts, SQL and policies below `dir`. Nothing is read outside of it.
pub fn read(dir: &Path, limits: Limits) -> (Files, Vec<Diagnostic>) {
    let mut walk = Walk {
        root: PathBuf::new(),
        limits,
        files: BTreeMap::new(),
        found: Vec::new(),
        entries: 0,
        bytes: 0,
        exhausted: false,
    };
    match dir.canonicalize() {
        Ok(root) if root.is_dir() => {
            walk.root = root;
            walk.top();
        }
        Ok(_) => walk.refuse("", "MW0120", format!("`{}` is not a folder", shown(dir)), "Name a folder by `-C DIR`."),
        Err(error) => {
            let message = format!("the folder `{}` cannot be read: {error}", shown(dir));
            walk.refuse("", "MW0125", message, "Name another folder by `-C DIR`.");
        }
    }
    (walk.files, walk.found)
}

fn shown(path: &Path) -> String {
    visible(&path.to_string_lossy())
}

struct Walk {
    /// Canonical.
    root: PathBuf,
    limits: Limits,
    files: Files,
    found: Vec<Diagnostic>,
    entries: usize,
    bytes: u64,
    /// A budget is used up: nothing more is read.
    exhausted: bool,
}

impl Walk {
    fn top(&mut self) {
        self.entry("mesh.yaml", 0, true);
        self.entry("domains", 0, false);
        self.entry("governance", 0, false);
    }

    fn refuse(&mut self, path: &str, code: &str, message: impl Into<String>, hint: &str) {
        let place = Place { path: path.to_owned(), line: 0, column: 0 };
        self.found.push(Diagnostic::error(code, place, 0, message).hint(hint));
    }

    fn folder(&mut self, path: &str, depth: usize) {
        if depth > self.limits.depth {
            let message = format!("folders are nested deeper than {} levels", self.limits.depth);
            return self.refuse(path, "MW0126", message, "Move it out of the mesh folder.");
        }
        let listing = match std::fs::read_dir(self.root.join(path)) {
            Ok(listing) => listing,
            Err(error) => return self.unreadable(path, &error),
        };
        let mut names = Vec::new();
        for entry in listing {
            self.entries += 1;
            if self.entries > self.limits.entries {
                self.exhausted = true;
                let message = format!("there are more than {} files below this folder", self.limits.entries);
                return self.refuse(path, "MW0126", message, "Keep data outside of `domains` and `governance`.");
            }
            match entry {
                Ok(entry) => names.push(entry.file_name()),
                Err(error) => return self.unreadable(path, &error),
            }
        }
        names.sort();
        for name in names {
            if self.exhausted {
                return;
            }
            let Some(name) = name.to_str() else {
                let lossy = visible(&name.to_string_lossy());
                if is_read(&lossy) {
                    let message = format!("the name of the file `{lossy}` is not UTF-8");
                    self.refuse(path, "MW0125", message, "Rename it.");
                }
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            if name.chars().any(char::is_control) && is_read(name) {
                let message = format!("the name of the file `{}` holds a control character", visible(name));
                self.refuse(path, "MW0125", message, "Rename it.");
                continue;
            }
            self.entry(&format!("{path}/{name}"), depth + 1, is_read(name));
        }
    }

    /// `wanted`: whether a file of this name would be read.
    fn entry(&mut self, path: &str, depth: usize, wanted: bool) {
        let full = self.root.join(path);
        let metadata = match std::fs::symlink_metadata(&full) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => return self.unreadable(path, &error),
        };
        if metadata.is_symlink() {
            return self.link(path, depth, wanted);
        }
        if metadata.is_dir() {
            return self.folder(path, depth);
        }
        if wanted {
            self.file(path, &full, &metadata);
        }
    }

    /// A link is followed where it stays inside the mesh folder and leads to a file.
    fn link(&mut self, path: &str, depth: usize, wanted: bool) {
        let target = match self.root.join(path).canonicalize() {
            Ok(target) => target,
            Err(error) if wanted || error.kind() != ErrorKind::NotFound => return self.unreadable(path, &error),
            Err(_) => return,
        };
        if !target.starts_with(&self.root) {
            let hint = "Copy what it leads to into the mesh folder.";
            return self.refuse(path, "MW0125", "this symbolic link leads out of the mesh folder", hint);
        }
        match std::fs::metadata(&target) {
            Err(error) => self.unreadable(path, &error),
            Ok(metadata) if metadata.is_dir() && depth > 0 => {
                let hint = "Put the folder itself here.";
                self.refuse(path, "MW0125", "symbolic links to folders are not followed", hint);
            }
            Ok(metadata) if metadata.is_dir() => self.folder(path, depth),
            Ok(metadata) if wanted => self.file(path, &target, &metadata),
            Ok(_) => {}
        }
    }

    fn file(&mut self, path: &str, full: &Path, metadata: &Metadata) {
        if let Some(kind) = irregular(metadata) {
            let message = format!("this is {kind}, not a file");
            return self.refuse(path, "MW0125", message, "Put a regular file here.");
        }
        match self.contents(full) {
            Ok(Contents::Bytes(bytes)) => self.take(path, bytes),
            Ok(Contents::Irregular(kind)) => {
                let message = format!("this is {kind}, not a file");
                self.refuse(path, "MW0125", message, "Put a regular file here.");
            }
            Ok(Contents::TooLarge) => {
                let message = format!("the file has more than {} bytes", self.limits.file_bytes);
                self.refuse(path, "MW0102", message, "Split it, or move data out of it.");
            }
            Err(error) => self.unreadable(path, &error),
        }
    }

    fn contents(&self, full: &Path) -> std::io::Result<Contents> {
        // Without blocking on a pipe that took the file's place, without following a link that did.
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NOCTTY;
        let flags = i32::try_from(flags.bits()).unwrap_or(0);
        let file = File::options().read(true).custom_flags(flags).open(full)?;
        if let Some(kind) = irregular(&file.metadata()?) {
            return Ok(Contents::Irregular(kind));
        }
        let mut bytes = Vec::new();
        file.take(self.limits.file_bytes + 1).read_to_end(&mut bytes)?;
        let too_large = u64::try_from(bytes.len()).unwrap_or(u64::MAX) > self.limits.file_bytes;
        Ok(if too_large { Contents::TooLarge } else { Contents::Bytes(bytes) })
    }

    fn take(&mut self, path: &str, bytes: Vec<u8>) {
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.bytes > self.limits.bytes {
            self.exhausted = true;
            let message = format!("the manifests have more than {} bytes together", self.limits.bytes);
            return self.refuse(path, "MW0126", message, "Split the mesh, or move data out of it.");
        }
        match String::from_utf8(bytes) {
            Ok(text) => {
                self.files.insert(path.to_owned(), text);
            }
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
                let number = |n| u32::try_from(n).unwrap_or(u32::MAX);
                let place = Place { path: path.to_owned(), line: number(line), column: number(column) };
                let message = "the file is not UTF-8 text from here on";
                let hint = "Save the file in UTF-8 encoding.";
                self.found.push(Diagnostic::error("MW0101", place, 0, message).hint(hint));
            }
        }
    }

    fn unreadable(&mut self, path: &str, error: &std::io::Error) {
        let hint = if error.kind() == ErrorKind::PermissionDenied {
            "Allow yourself to read it."
        } else {
            "Repair or remove it."
        };
        self.refuse(path, "MW0125", format!("this cannot be read: {error}"), hint);
    }
}

enum Contents {
    Bytes(Vec<u8>),
    TooLarge,
    Irregular(&'static str),
}

/// Files that have a meaning in a mesh; others (data above all) are only counted.
fn is_read(name: &str) -> bool {
    [".yaml", ".yml", ".sql", ".cedar"].iter().any(|extension| name.ends_with(extension))
}

fn irregular(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    if kind.is_file() {
        None
    } else if kind.is_fifo() {
        Some("a pipe")
    } else if kind.is_socket() {
        Some("a socket")
    } else if kind.is_block_device() || kind.is_char_device() {
        Some("a device")
    } else if kind.is_dir() {
        Some("a folder")
    } else {
        Some("neither a file nor a folder")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn mesh() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("mesh.yaml"), "name: acme\n").unwrap();
        fs::create_dir_all(dir.path().join("domains/m/leads")).unwrap();
        fs::write(dir.path().join("domains/m/domain.yaml"), "domain: m\nowner: m_team\n").unwrap();
        dir
    }

    /// `code path message` of everything that was refused in reading.
    fn refused(dir: &Path, limits: Limits) -> Vec<String> {
        let (_, found) = read(dir, limits);
        found.into_iter().map(|d| format!("{} {} {}", d.code, d.place, d.message)).collect()
    }

    #[test]
    fn reads_what_has_a_meaning() {
        let dir = mesh();
        let root = dir.path();
        for (path, text) in [
            ("domains/m/leads/leads.sql", "SELECT 1"),
            ("domains/m/leads/data.csv", "a,b"),
            ("domains/m/.hidden.yaml", "x: 1"),
            ("other.yaml", "x: 1"),
        ] {
            fs::write(root.join(path), text).unwrap();
        }
        symlink(root.join("domains/m/leads/leads.sql"), root.join("domains/m/leads/inside.sql")).unwrap();
        let (files, found) = read(root, Limits::DEFAULT);
        assert_eq!(found, []);
        assert_eq!(
            files.keys().collect::<Vec<_>>(),
            ["domains/m/domain.yaml", "domains/m/leads/inside.sql", "domains/m/leads/leads.sql", "mesh.yaml"]
        );
        assert!(load(root).mesh.is_some_and(|mesh| mesh.name == "acme"));
    }

    #[test]
    fn what_is_no_file_of_the_mesh_is_refused_without_blocking() {
        let dir = mesh();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret.yaml"), "password: x").unwrap();
        let at = |name: &str| dir.path().join("domains/m/leads").join(name);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("a_pipe.yaml"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("b_socket.yaml")).unwrap();
        symlink("/dev/zero", at("c_device.yaml")).unwrap();
        symlink(outside.path().join("secret.yaml"), at("d_outside.yaml")).unwrap();
        symlink("../../../../../../../../../../etc/passwd", at("e_dots.sql")).unwrap();
        symlink(at("f_loop.yaml"), at("f_loop.yaml")).unwrap();
        symlink(outside.path(), at("g_folder")).unwrap();
        symlink(dir.path().join("domains"), at("h_circle")).unwrap();
        symlink("nowhere", at("i_dangling.yaml")).unwrap();
        let found = refused(dir.path(), Limits::DEFAULT);
        let expected = [
            "a_pipe.yaml this is a pipe, not a file",
            "b_socket.yaml this is a socket, not a file",
            "c_device.yaml this symbolic link leads out of the mesh folder",
            "d_outside.yaml this symbolic link leads out of the mesh folder",
            "e_dots.sql this symbolic link leads out of the mesh folder",
            "f_loop.yaml this cannot be read: ",
            "g_folder this symbolic link leads out of the mesh folder",
            "h_circle symbolic links to folders are not followed",
            "i_dangling.yaml this cannot be read: ",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(&format!("MW0125 domains/m/leads/{expected}")), "{found} / {expected}");
        }
        assert!(load(dir.path()).mesh.is_none());
    }

    #[test]
    fn names_that_are_no_text() {
        use std::os::unix::ffi::OsStrExt;
        let dir = mesh();
        let at = |name: &[u8]| dir.path().join("domains/m").join(std::ffi::OsStr::from_bytes(name));
        fs::write(at(b"caf\xe9.yaml"), "x: 1").unwrap();
        fs::write(at(b"data-\xff.csv"), "").unwrap();
        fs::write(at(b"bell\x07\x1b[2J.sql"), "SELECT 1").unwrap();
        assert_eq!(
            refused(dir.path(), Limits::DEFAULT),
            [
                "MW0125 domains/m the name of the file `bell\\u{7}\\u{1b}[2J.sql` holds a control character",
                "MW0125 domains/m the name of the file `caf\u{fffd}.yaml` is not UTF-8",
            ]
        );
    }

    #[test]
    fn mesh_yaml_itself_may_be_hostile() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/dev/stdin", dir.path().join("mesh.yaml")).unwrap();
        let codes: Vec<String> = load(dir.path()).diagnostics.into_iter().map(|d| d.code).collect();
        assert_eq!(codes, ["MW0125"]);
    }

    #[test]
    fn budgets() {
        let dir = mesh();
        let file = dir.path().join("domains/m/big.yaml");
        fs::write(&file, vec![b'x'; 2 << 20]).unwrap();
        assert_eq!(
            refused(dir.path(), Limits::DEFAULT),
            ["MW0102 domains/m/big.yaml the file has more than 1048576 bytes"]
        );
        fs::remove_file(&file).unwrap();
        for n in 0..20 {
            fs::write(dir.path().join(format!("domains/m/{n}.csv")), "").unwrap();
        }
        let few = Limits { entries: 10, ..Limits::DEFAULT };
        assert_eq!(refused(dir.path(), few), ["MW0126 domains/m there are more than 10 files below this folder"]);
        let small = Limits { bytes: 20, ..Limits::DEFAULT };
        assert_eq!(
            refused(dir.path(), small),
            ["MW0126 domains/m/domain.yaml the manifests have more than 20 bytes together"]
        );
        fs::create_dir_all(dir.path().join(["domains"; 30].join("/"))).unwrap();
        assert!(refused(dir.path(), Limits::DEFAULT)[0].contains("nested deeper than 16 levels"));
    }

    #[test]
    fn text_in_another_encoding() {
        let dir = mesh();
        fs::write(dir.path().join("domains/m/leads/q.sql"), b"SELECT 1\n  -- caf\xe9").unwrap();
        assert_eq!(
            refused(dir.path(), Limits::DEFAULT),
            ["MW0101 domains/m/leads/q.sql:2:9 the file is not UTF-8 text from here on"]
        );
    }

    #[test]
    fn no_folder_no_mesh() {
        let dir = tempfile::tempdir().unwrap();
        let codes = |dir: &Path| load(dir).diagnostics.into_iter().map(|d| d.code).collect::<Vec<_>>();
        assert_eq!(codes(dir.path()), ["MW0120"]);
        assert_eq!(codes(&dir.path().join("nowhere")), ["MW0125"]);
        fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(codes(&dir.path().join("file")), ["MW0120"]);
    }
}
