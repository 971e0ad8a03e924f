//! Which versions of which tables are being read now: vacuum keeps them, whatever their age.
//!
//! One process holds the state, and everything that reads tables at its word tells it here: statements while they run,
//! runs for their inputs and for what they build on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use meshwork_core::error::{Error, Result};

use crate::port::data::GovernedTable;

#[derive(Clone, Debug, Default)]
pub struct Readers(Arc<Mutex<Table>>);

/// A version of a table, by the table's URL.
pub type TableVersion = (String, u64);

#[derive(Debug, Default)]
struct Table {
    held: BTreeMap<TableVersion, usize>,
    /// By URL: up to this version only these are still to be read.
    kept: BTreeMap<String, (u64, BTreeSet<u64>)>,
    pauses: usize,
}

/// Keeps versions until it is dropped.
#[derive(Debug)]
pub struct Hold {
    readers: Readers,
    versions: Vec<TableVersion>,
}

/// Keeps everything until it is dropped.
#[derive(Debug)]
pub struct Pause(Readers);

/// What reading a table reads.
pub fn versions(table: &GovernedTable) -> impl Iterator<Item = TableVersion> + '_ {
    std::iter::once(table).chain(table.below()).map(|table| (table.location.url(), table.delta_version))
}

impl Readers {
    /// Keeps versions for a reader. Fails for one that has been given up.
    pub fn hold(&self, versions: impl IntoIterator<Item = TableVersion>) -> Result<Hold> {
        let versions: Vec<TableVersion> = versions.into_iter().collect();
        let mut table = self.lock();
        let gone = |(url, version): &&TableVersion| {
            table.kept.get(url).is_some_and(|(upto, kept)| version <= upto && !kept.contains(version))
        };
        if versions.iter().any(|version| gone(&version)) {
            return Err(Error::conflict("MW0697", "a version of a table that this reads has just been given up")
                .hint("run it again: it is then answered over what is kept"));
        }
        for version in &versions {
            *table.held.entry(version.clone()).or_default() += 1;
        }
        drop(table);
        Ok(Hold { readers: self.clone(), versions })
    }

    /// Keeps the versions of governed tables, and of those below views among them.
    pub fn hold_tables<'a>(&self, tables: impl IntoIterator<Item = &'a GovernedTable>) -> Result<Hold> {
        self.hold(tables.into_iter().flat_map(versions))
    }

    /// Gives up every version of a table but these and newer ones. Returns the others that somebody still reads.
    pub fn give_up(&self, url: &str, kept: &[u64]) -> Vec<u64> {
        let Some(upto) = kept.iter().max() else { return self.held(url) };
        let mut table = self.lock();
        table.kept.insert(url.to_owned(), (*upto, kept.iter().copied().collect()));
        drop(table);
        self.held(url).into_iter().filter(|version| !kept.contains(version)).collect()
    }

    /// Gives up every version of a table but these, whatever is made of it. Returns the others that somebody still reads.
    pub fn close(&self, url: &str, kept: &[u64]) -> Vec<u64> {
        self.lock().kept.insert(url.to_owned(), (u64::MAX, kept.iter().copied().collect()));
        self.held(url).into_iter().filter(|version| !kept.contains(version)).collect()
    }

    /// A table is built anew where one was closed.
    pub fn open(&self, url: &str) {
        let mut table = self.lock();
        if table.kept.get(url).is_some_and(|(upto, _)| *upto == u64::MAX) {
            table.kept.remove(url);
        }
    }

    /// The versions of a table that are being read.
    pub fn held(&self, url: &str) -> Vec<u64> {
        let table = self.lock();
        let of_table = table.held.keys().filter(|(held, _)| held == url);
        of_table.map(|(_, version)| *version).collect()
    }

    /// Keeps everything, also what was given up, until the answer is dropped.
    pub fn pause(&self) -> Pause {
        self.lock().pauses += 1;
        Pause(self.clone())
    }

    pub fn is_paused(&self) -> bool {
        self.lock().pauses > 0
    }

    /// How many versions are being read.
    pub fn count(&self) -> usize {
        self.lock().held.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut table = self.readers.lock();
        for version in &self.versions {
            if let Some(count) = table.held.get_mut(version) {
                *count -= 1;
                if *count == 0 {
                    table.held.remove(version);
                }
            }
        }
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        self.0.lock().pauses -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(version: u64) -> TableVersion {
        ("file:///t".to_owned(), version)
    }

    #[test]
    fn what_is_read_is_kept_and_what_was_given_up_is_not_read_anew() {
        let readers = Readers::default();
        let hold = readers.hold([at(1), at(4)]).unwrap();
        let again = readers.hold([at(1)]).unwrap();
        assert_eq!(readers.give_up("file:///t", &[3, 4]), [1]);
        assert_eq!(readers.hold([at(1)]).unwrap_err().code, "MW0697");
        assert_eq!(readers.hold([at(2)]).unwrap_err().code, "MW0697");
        assert!(readers.hold([at(3)]).is_ok() && readers.hold([at(9)]).is_ok());
        drop(hold);
        assert_eq!(readers.give_up("file:///t", &[3, 4]), [1]);
        drop(again);
        assert_eq!((readers.give_up("file:///t", &[3, 4]), readers.count()), (vec![], 0));
    }

    #[test]
    fn of_a_closed_table_nothing_new_is_read_until_it_is_built_anew() {
        let readers = Readers::default();
        let hold = readers.hold([at(7)]).unwrap();
        assert_eq!(readers.close("file:///t", &[5]), [7]);
        assert_eq!(readers.hold([at(8)]).unwrap_err().code, "MW0697");
        assert!(readers.hold([at(5)]).is_ok());
        drop(hold);
        assert!(readers.close("file:///t", &[]).is_empty());
        assert!(readers.hold([at(5)]).is_err());
        readers.open("file:///t");
        assert!(readers.hold([at(0)]).is_ok());
        // What was only given up stays so.
        readers.give_up("file:///t", &[5]);
        readers.open("file:///t");
        assert!(readers.hold([at(4)]).is_err());
    }

    #[test]
    fn a_hold_that_is_refused_holds_nothing() {
        let readers = Readers::default();
        readers.give_up("file:///t", &[5]);
        assert!(readers.hold([at(5), at(4)]).is_err());
        assert_eq!(readers.count(), 0);
        let pause = readers.pause();
        assert!(readers.is_paused());
        drop(pause);
        assert!(!readers.is_paused());
    }
}
