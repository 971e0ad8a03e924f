//! Which files of the mesh folder change, in bursts: editors save in several steps.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use meshwork_core::error::{Error, Result};
use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// Quiet for this long, and a burst is over.
const QUIET: Duration = Duration::from_millis(120);
/// A burst that does not end is taken up all the same.
const LONGEST: Duration = Duration::from_secs(2);

pub struct Watch {
    changes: mpsc::UnboundedReceiver<PathBuf>,
    _watcher: notify::RecommendedWatcher,
}

impl Watch {
    /// Of everything below the folder but what lies in `except`, in hidden folders, and editors' own files.
    pub fn of(folder: &Path, except: Vec<PathBuf>) -> Result<Self> {
        let failed = |error: notify::Error| {
            Error::environment("MW1070", format!("{} cannot be watched: {error}", folder.display()))
                .hint("`meshwork dev --once` builds once; on Linux, fs.inotify.max_user_watches limits what is watched")
        };
        let (sender, changes) = mpsc::unbounded_channel();
        let root = folder.to_path_buf();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            if matches!(event.kind, EventKind::Access(_)) {
                return;
            }
            for path in event.paths.into_iter().filter(|path| matters(&root, &except, path)) {
                let _ = sender.send(path);
            }
        })
        .map_err(failed)?;
        watcher.watch(folder, RecursiveMode::Recursive).map_err(failed)?;
        Ok(Self { changes, _watcher: watcher })
    }

    /// The files of the next burst.
    pub async fn next(&mut self) -> BTreeSet<PathBuf> {
        let mut changed = BTreeSet::new();
        match self.changes.recv().await {
            Some(path) => changed.insert(path),
            None => std::future::pending().await,
        };
        let burst = async {
            while let Ok(Some(path)) = tokio::time::timeout(QUIET, self.changes.recv()).await {
                changed.insert(path);
            }
        };
        let _ = tokio::time::timeout(LONGEST, burst).await;
        changed
    }
}

fn matters(root: &Path, except: &[PathBuf], path: &Path) -> bool {
    let Ok(inside) = path.strip_prefix(root) else { return false };
    let hidden = inside.components().any(|part| part.as_os_str().to_string_lossy().starts_with('.'));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // Backups and probes that editors make beside what they save.
    let passing = name.ends_with('~') || name.ends_with(".swp") || name == "4913" || name.starts_with('#');
    !(hidden || passing || except.iter().any(|folder| path.starts_with(folder)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_meshs_own_files_matter() {
        let root = Path::new("/mesh");
        let except = [PathBuf::from("/mesh/data")];
        let matters = |path: &str| matters(root, &except, Path::new(path));
        for path in ["/mesh/mesh.yaml", "/mesh/domains/sales/orders/orders.sql", "/mesh/domains/sales/files/a.csv"] {
            assert!(matters(path), "{path}");
        }
        for path in [
            "/mesh/.meshwork/dev/data/x.parquet",
            "/mesh/.git/index",
            "/mesh/data/x.parquet",
            "/mesh/domains/sales/orders/.orders.sql.swp",
            "/mesh/domains/sales/orders/orders.sql~",
            "/mesh/domains/sales/orders/4913",
            "/elsewhere",
        ] {
            assert!(!matters(path), "{path}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_burst_comes_as_one_with_renames_and_removals() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("there");
        std::fs::write(root.join("old.sql"), "SELECT 1").expect("written");
        let mut watch = Watch::of(&root, Vec::new()).expect("watched");
        std::fs::write(root.join("new.tmp"), "SELECT 2").expect("written");
        std::fs::rename(root.join("new.tmp"), root.join("new.sql")).expect("renamed");
        std::fs::remove_file(root.join("old.sql")).expect("removed");
        let changed = tokio::time::timeout(Duration::from_secs(10), watch.next()).await.expect("a burst");
        assert!(changed.contains(&root.join("new.sql")) && changed.contains(&root.join("old.sql")), "{changed:?}");
    }
}
