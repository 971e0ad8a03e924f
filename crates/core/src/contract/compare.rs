//! What a new version of a contract changes for its readers, and which version it must have.
//!
//! A contract is a promise to readers. What takes something away from it is *breaking*: a column that goes, a type that
//! another program must read otherwise, a guarantee that is loosened (nulls where there were none, a new value in an
//! enum, a wider range). What adds to it is *compatible*: a new column, a stricter guarantee. What neither adds nor takes
//! is a *patch*: words, examples, where the data comes from. Clauses below severity `error` never gate a publication, so
//! they promise nothing, and their changes are patches.

mod guarantee;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::contract::{Contract, Field, Sla, SlaProperty, Table};
use crate::types::ColumnType;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// `table.column`, `table`, or `sla`.
    pub path: String,
    /// The column that it is about, by its old name: readers of it are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// One sentence without its full stop: `no longer unique`.
    pub what: String,
    pub level: Level,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Patch,
    Compatible,
    Breaking,
}

/// The part of a version that must rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bump {
    None,
    Patch,
    Minor,
    Major,
}

impl fmt::Display for Bump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Patch => "patch",
            Self::Minor => "minor",
            Self::Major => "major",
        })
    }
}

/// All changes, in the order of the new contract. The version itself is not one.
pub fn compare(old: &Contract, new: &Contract) -> Vec<Change> {
    let mut changes = Changes::default();
    changes.words("contract", "name", Some(&old.name), Some(&new.name));
    changes.words("contract", "owner", old.owner.as_ref(), new.owner.as_ref());
    changes.words("contract", "description", old.description.as_ref(), new.description.as_ref());
    for (old_table, new_table) in pairs(&old.tables, &new.tables, &mut changes) {
        table(old_table, new_table, &mut changes);
    }
    sla(&old.sla, &new.sla, &mut changes);
    changes.found
}

/// What the version must rise by for these changes.
pub fn required_bump(changes: &[Change]) -> Bump {
    match changes.iter().map(|change| change.level).max() {
        None => Bump::None,
        Some(Level::Patch) => Bump::Patch,
        Some(Level::Compatible) => Bump::Minor,
        Some(Level::Breaking) => Bump::Major,
    }
}

/// Why `new` is not enough of a rise over `old`, in words; None when it is. `0.x` is no exception: its major is the major
/// of a table like any other.
pub fn check_bump(old: &Version, new: &Version, changes: &[Change]) -> Option<String> {
    let needed = required_bump(changes);
    if new < old {
        return Some(format!("the version went back from {old} to {new}"));
    }
    let least = match needed {
        Bump::None => return None,
        Bump::Patch => Version::new(old.major, old.minor, old.patch + 1),
        Bump::Minor => Version::new(old.major, old.minor + 1, 0),
        Bump::Major => Version::new(old.major + 1, 0, 0),
    };
    // A pre-release may become its release: 2.0.0-beta.1 → 2.0.0.
    let released =
        !old.pre.is_empty() && new > old && (new.major, new.minor, new.patch) >= (old.major, old.minor, old.patch);
    let enough = match needed {
        Bump::Major => new.major > old.major,
        Bump::Minor => (new.major, new.minor) > (old.major, old.minor),
        _ => new > old,
    };
    if enough || released && needed < Bump::Major {
        return None;
    }
    let reason = changes.iter().find(|change| level_of(needed) == change.level)?;
    let rest = changes.iter().filter(|change| change.level == reason.level).count() - 1;
    let more = if rest == 0 { String::new() } else { format!(" and {rest} more") };
    let kind = match needed {
        Bump::Major => "a breaking change",
        Bump::Minor => "a compatible change",
        _ => "a change",
    };
    Some(format!(
        "{} → {} is not enough for {kind} ({}: {}{more}); it must be at least {least}",
        old, new, reason.path, reason.what
    ))
}

fn level_of(bump: Bump) -> Level {
    match bump {
        Bump::Major => Level::Breaking,
        Bump::Minor => Level::Compatible,
        Bump::Patch | Bump::None => Level::Patch,
    }
}

#[derive(Default)]
struct Changes {
    found: Vec<Change>,
}

impl Changes {
    fn add(&mut self, path: &str, column: Option<&str>, level: Level, what: impl Into<String>) {
        let column = column.map(str::to_owned);
        self.found.push(Change { path: path.to_owned(), column, what: what.into(), level });
    }

    /// Something that people read and programs do not.
    fn words(&mut self, path: &str, what: &str, old: Option<&String>, new: Option<&String>) {
        let verb = match (old, new) {
            (None, None) => return,
            (Some(old), Some(new)) if old == new => return,
            (None, Some(_)) => "added",
            (Some(_), None) => "removed",
            (Some(_), Some(_)) => "changed",
        };
        self.add(path, None, Level::Patch, format!("{what} {verb}"));
    }
}

/// Tables by name. A single one on both sides is the same table under another name: its SQL name is the output's.
fn pairs<'c>(old: &'c [Table], new: &'c [Table], changes: &mut Changes) -> Vec<(&'c Table, &'c Table)> {
    if let ([only_old], [only_new]) = (old, new) {
        if only_old.name != only_new.name {
            changes.add(&only_new.name, None, Level::Patch, format!("renamed from {}", only_old.name));
        }
        return vec![(only_old, only_new)];
    }
    for gone in old.iter().filter(|o| new.iter().all(|n| n.name != o.name)) {
        changes.add(&gone.name, None, Level::Breaking, "the table is gone");
    }
    let mut pairs = Vec::new();
    for table in new {
        match old.iter().find(|o| o.name == table.name) {
            Some(old) => pairs.push((old, table)),
            None => changes.add(&table.name, None, Level::Compatible, "new table"),
        }
    }
    pairs
}

fn table(old: &Table, new: &Table, changes: &mut Changes) {
    let path = new.name.as_str();
    changes.words(path, "description", old.description.as_ref(), new.description.as_ref());
    changes.words(path, "physical name", old.physical_name.as_ref(), new.physical_name.as_ref());
    let mut renames: HashMap<&str, &str> = HashMap::new();
    let mut matched: Vec<(&Field, &Field)> = Vec::new();
    for field in &new.fields {
        let at = format!("{path}.{}", field.name);
        let renamed =
            field.renamed_from.as_deref().and_then(|from| old.field(from)).filter(|_| old.field(&field.name).is_none());
        match (old.field(&field.name), renamed) {
            (Some(before), _) => matched.push((before, field)),
            (None, Some(before)) => {
                changes.add(&at, Some(&before.name), Level::Breaking, format!("renamed from {}", before.name));
                renames.insert(&before.name, &field.name);
                matched.push((before, field));
            }
            (None, None) => changes.add(&at, None, Level::Compatible, "new column"),
        }
    }
    for gone in old.fields.iter().filter(|o| matched.iter().all(|(before, _)| before.name != o.name)) {
        changes.add(&format!("{path}.{}", gone.name), Some(&gone.name), Level::Breaking, "the column is gone");
    }
    order(path, old, new, &matched, changes);
    for (before, after) in &matched {
        field(path, before, after, changes);
    }
    key(path, old, new, &renames, changes);
    guarantee::compare(path, old, new, &renames, changes);
}

/// `SELECT *` gives columns in the order of the contract.
fn order(path: &str, old: &Table, new: &Table, matched: &[(&Field, &Field)], changes: &mut Changes) {
    let before: Vec<&str> = old
        .fields
        .iter()
        .map(|f| f.name.as_str())
        .filter(|name| matched.iter().any(|(b, _)| b.name == *name))
        .collect();
    let after: Vec<&str> = new
        .fields
        .iter()
        .filter_map(|f| matched.iter().find(|(_, a)| a.name == f.name))
        .map(|(b, _)| b.name.as_str())
        .collect();
    if before != after {
        changes.add(path, None, Level::Compatible, "the columns stand in another order");
    }
}

fn field(table: &str, old: &Field, new: &Field, changes: &mut Changes) {
    let path = format!("{table}.{}", new.name);
    let column = Some(old.name.as_str());
    if old.native != new.native {
        let level = if widens(&old.native, &new.native) { Level::Compatible } else { Level::Breaking };
        changes.add(&path, column, level, format!("type changed from {} to {}", old.native, new.native));
    } else if old.logical_type != new.logical_type {
        let what = format!("logical type changed from {} to {}", old.logical_type, new.logical_type);
        changes.add(&path, column, Level::Compatible, what);
    }
    for added in new.classifications.iter().filter(|c| !old.classifications.contains(c)) {
        // Readers who see clear values today may see masked ones tomorrow.
        changes.add(&path, column, Level::Breaking, format!("classified as {added}: it may be masked"));
    }
    for gone in old.classifications.iter().filter(|c| !new.classifications.contains(c)) {
        changes.add(&path, column, Level::Compatible, format!("no longer classified as {gone}"));
    }
    changes.words(&path, "description", old.description.as_ref(), new.description.as_ref());
    changes.words(&path, "physical name", old.physical_name.as_ref(), new.physical_name.as_ref());
    changes.words(&path, "physical type", old.physical_type.as_ref(), new.physical_type.as_ref());
    changes.words(&path, "default time zone", old.default_timezone.as_ref(), new.default_timezone.as_ref());
    changes.words(&path, "source format", old.format.as_ref(), new.format.as_ref());
    if old.tags != new.tags {
        changes.add(&path, None, Level::Patch, "tags changed");
    }
    if old.examples != new.examples {
        changes.add(&path, None, Level::Patch, "examples changed");
    }
}

/// Whether every value of the old type is one of the new, read by programs in the same way (SQL promotes it).
fn widens(old: &ColumnType, new: &ColumnType) -> bool {
    use ColumnType as T;
    let width = |ty: &T| match ty {
        T::Int8 => Some(1),
        T::Int16 => Some(2),
        T::Int32 => Some(4),
        T::Int64 => Some(8),
        _ => None,
    };
    match (old, new) {
        (T::Float32, T::Float64) => true,
        (T::Decimal { precision: p, scale: s }, T::Decimal { precision: wide, scale }) => scale == s && wide >= p,
        (T::List(old), T::List(new)) => old == new || widens(old, new),
        (T::Struct(old), T::Struct(new)) => old.iter().all(|(name, before)| {
            new.iter().any(|(other, after)| name == other && (before == after || widens(before, after)))
        }),
        (old, new) => matches!((width(old), width(new)), (Some(old), Some(new)) if old < new),
    }
}

fn key(path: &str, old: &Table, new: &Table, renames: &HashMap<&str, &str>, changes: &mut Changes) {
    let before: Vec<&str> =
        old.primary_key().into_iter().map(|name| renames.get(name).copied().unwrap_or(name)).collect();
    let after = new.primary_key();
    if before == after {
        return;
    }
    match (before.is_empty(), after.is_empty()) {
        (true, _) => changes.add(path, None, Level::Compatible, format!("primary key added: {}", after.join(", "))),
        (_, true) => changes.add(path, None, Level::Breaking, "primary key removed"),
        _ => {
            let what = format!("primary key changed from {} to {}", before.join(", "), after.join(", "));
            changes.add(path, None, Level::Breaking, what);
        }
    }
}

fn sla(old: &[Sla], new: &[Sla], changes: &mut Changes) {
    let same = |a: &Sla, b: &Sla| a.property == b.property && a.element == b.element;
    for before in old {
        let name = property(&before.property);
        let Some(after) = new.iter().find(|after| same(before, after)) else {
            let moved = new.iter().find(|after| after.property == before.property);
            let what = match moved {
                Some(_) => format!("{name} is measured on another column"),
                None => format!("{name} is no longer promised"),
            };
            let level = if matches!(before.property, SlaProperty::Other(_)) { Level::Patch } else { Level::Breaking };
            changes.add("sla", None, level, what);
            continue;
        };
        if before.value == after.value && before.text == after.text {
            continue;
        }
        let better = match before.property {
            SlaProperty::Availability | SlaProperty::Retention => Some(after.value > before.value),
            SlaProperty::Other(_) => None,
            _ => Some(after.value < before.value),
        };
        let (level, verb) = match better {
            Some(true) => (Level::Compatible, "tightened"),
            Some(false) => (Level::Breaking, "loosened"),
            None => (Level::Patch, "changed"),
        };
        changes.add("sla", None, level, format!("{name} {verb}"));
    }
    for after in new.iter().filter(|after| old.iter().all(|before| before.property != after.property)) {
        changes.add("sla", None, Level::Compatible, format!("{} is promised", property(&after.property)));
    }
}

fn property(property: &SlaProperty) -> &str {
    match property {
        SlaProperty::Freshness => "freshness",
        SlaProperty::Latency => "latency",
        SlaProperty::Retention => "retention",
        SlaProperty::Frequency => "frequency",
        SlaProperty::Availability => "availability",
        SlaProperty::Other(name) => name,
    }
}
