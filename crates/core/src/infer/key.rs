//! Keys: what identifies a row, and what refers to another table.

use super::name::{singular, words};
use super::{ColumnProfile, ForeignKey, TableProfile};
use crate::types::ColumnType;

/// A primary key with how sure it is and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub columns: Vec<String>,
    pub confidence: f64,
    pub because: String,
}

/// With fewer rows, that no value comes twice says nothing.
const FEW: u64 = 8;

pub fn primary(table: &TableProfile, types: &[ColumnType]) -> Option<Key> {
    if !table.catalog.primary_key.is_empty() {
        let because = format!("{} declares it", table.catalog.said_by);
        return Some(Key { columns: table.catalog.primary_key.clone(), confidence: 1.0, because });
    }
    if !table.complete {
        return None;
    }
    let candidates = table.columns.iter().zip(types).enumerate().filter(|(_, (column, ty))| {
        let seen = &column.seen;
        seen.unique && seen.rows > 0 && seen.nulls == 0 && can_be_key(ty) && seen.lengths.1 <= 64
    });
    let best = candidates
        .map(|(at, (column, _))| (hint(column, table, at), at, column))
        .filter(|(hint, _, column)| *hint >= 2 || column.seen.rows >= FEW && *hint > 0)
        .max_by_key(|(hint, at, _)| (*hint, std::cmp::Reverse(*at)));
    let Some((hint, _, column)) = best else {
        let columns = table.combinations.first()?;
        let because = format!("these values never come together twice in {} rows", counted(table.rows));
        return Some(Key { columns: columns.clone(), confidence: 0.6, because });
    };
    let few = if column.seen.rows < FEW { 0.2 } else { 0.0 };
    let confidence = [0.5, 0.75, 0.9, 0.97][hint.min(3)] - few;
    let because = format!("{} distinct values in {} rows", counted(column.seen.present()), counted(column.seen.rows));
    Some(Key { columns: vec![column.name.clone()], confidence, because })
}

fn can_be_key(ty: &ColumnType) -> bool {
    matches!(ty, ColumnType::Int16 | ColumnType::Int32 | ColumnType::Int64 | ColumnType::Text)
        || matches!(ty, ColumnType::Decimal { scale: 0, .. })
}

/// How much the name and place of a column say that it is the key: 3 surely, 0 not at all.
fn hint(column: &ColumnProfile, table: &TableProfile, at: usize) -> usize {
    let words = words(&column.name);
    let own = table.name.rsplit(['.', '/']).next().unwrap_or_default();
    let own = super::name::words(own).last().map(|word| singular(word)).unwrap_or_default();
    let last = words.last().map(String::as_str).unwrap_or_default();
    let is_id = matches!(last, "id" | "key" | "uuid" | "guid" | "no" | "number" | "code" | "nr");
    let first = words.first().map(|word| singular(word)).unwrap_or_default();
    match (is_id, words.len()) {
        (true, 1) => 3,
        (true, _) if !own.is_empty() && first == own => 3,
        (true, _) if at == 0 => 2,
        _ if at == 0 => 1,
        (true, _) => 1,
        _ => 0,
    }
}

/// A reference with how sure it is and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    pub key: ForeignKey,
    pub confidence: f64,
    pub because: String,
}

/// Columns of `tables[of]` that refer to a table of the same source. `contains` tells whether all values of a column of
/// one table (by index) stand in a column of another; `None` where it is not known.
pub fn references(
    tables: &[TableProfile],
    keys: &[Option<Key>],
    of: usize,
    contains: &dyn Fn((usize, usize), (usize, usize)) -> Option<bool>,
) -> Vec<Reference> {
    let table = &tables[of];
    let declared = |key: &ForeignKey| Reference {
        key: key.clone(),
        confidence: 1.0,
        because: format!("{} declares it", table.catalog.said_by),
    };
    let mut found: Vec<Reference> = table.catalog.foreign_keys.iter().map(declared).collect();
    for (at, column) in table.columns.iter().enumerate() {
        if found.iter().any(|f| f.key.columns == [column.name.clone()]) {
            continue;
        }
        let candidate = tables.iter().enumerate().filter(|(to, _)| *to != of).find_map(|(to, target)| {
            let key = keys[to].as_ref()?;
            let [key] = key.columns.as_slice() else { return None };
            let place = target.columns.iter().position(|c| c.name == *key)?;
            let named = names(&column.name, &target.name, key);
            (named > 0.0 && contains((of, at), (to, place)) == Some(true)).then_some((target, key, named))
        });
        if let Some((target, key, confidence)) = candidate {
            let all = column.seen.present();
            found.push(Reference {
                key: ForeignKey {
                    columns: vec![column.name.clone()],
                    table: target.name.clone(),
                    to_columns: vec![key.clone()],
                },
                confidence,
                because: format!("all {} values stand there", counted(all)),
            });
        }
    }
    found
}

/// Whether a column is called as if it referred to this key: `artist_id` → `artists.id`, `carrier` → `airlines.carrier`.
fn names(column: &str, table: &str, key: &str) -> f64 {
    let (column, key) = (words(column).join("_"), words(key).join("_"));
    let own = table.rsplit(['.', '/']).next().unwrap_or_default();
    let own = words(own).iter().map(|word| singular(word)).collect::<Vec<_>>().join("_");
    let generic = matches!(key.as_str(), "id" | "key" | "code" | "name" | "uuid" | "no" | "number");
    if column == key && !generic {
        return 0.95;
    }
    if column == format!("{own}_{key}") || column == format!("{own}_id") {
        return 0.95;
    }
    if column == own || column.ends_with(&format!("_{own}_id")) || (!generic && column.ends_with(&format!("_{key}"))) {
        return 0.85;
    }
    0.0
}

/// `26,115`
pub fn counted(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_by_name() {
        for (column, table, key, refers) in [
            ("artist_id", "artists", "id", true),
            ("ArtistId", "public.artist", "artist_id", true),
            ("carrier", "airlines", "carrier", true),
            ("support_rep_id", "employee", "employee_id", false),
            ("manager_employee_id", "employee", "employee_id", true),
            ("name", "artists", "name", false),
            ("id", "artists", "id", false),
        ] {
            assert_eq!(names(column, table, key) > 0.0, refers, "{column} {table}.{key}");
        }
        assert_eq!(counted(26_115), "26,115");
        assert_eq!(counted(7), "7");
    }
}
