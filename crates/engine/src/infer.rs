//! Profiles of data that exists, for `core::infer`: every column's values in one pass, within bounds.
//!
//! Nothing here guesses on behalf of a run: what is found is written into manifests, where people see it.

mod column;
mod combination;
mod file;
mod folder;
mod mysql;
mod postgres;
mod sqlite;
mod table;

use std::collections::HashSet;

use meshwork_core::infer::TableProfile;

pub use file::{Described, Located, describe, located};
pub use folder::{ENDINGS, Pattern, is_data, names, tables};
pub use mysql::mysql;
pub use postgres::{Wanted, postgres};

/// How much is read of one table.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub rows: u64,
    /// Distinct values that are kept, of all columns together, as hashes.
    pub distinct: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { rows: 2_000_000, distinct: 30_000_000 }
    }
}

/// A table and the hashes of each column's values, where these could be kept.
#[derive(Debug)]
pub struct Examined {
    pub profile: TableProfile,
    sets: Vec<Option<HashSet<u64>>>,
}

impl Examined {
    /// A table that is described and was not read.
    pub fn unread(profile: TableProfile) -> Self {
        let sets = vec![None; profile.columns.len()];
        Self { profile, sets }
    }
}

/// Whether every value of a column stands in another one; `None` where not all values are known. Tables and columns by
/// their places.
pub fn contains(tables: &[Examined], of: (usize, usize), to: (usize, usize)) -> Option<bool> {
    let set = |(table, column): (usize, usize)| tables.get(table)?.sets.get(column)?.as_ref();
    let (inner, outer) = (set(of)?, set(to)?);
    (tables[of.0].profile.complete && tables[to.0].profile.complete && !inner.is_empty())
        .then(|| inner.is_subset(outer))
}
