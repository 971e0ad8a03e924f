//! Samples that fit together: rows with equal keys are in or out of the sample together, whatever table they stand in.

use serde::{Deserialize, Serialize};

use crate::contract::Table;
use crate::quality::Rule;

/// How much of a table is read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sample {
    /// At most that many rows.
    Rows(u64),
    /// Between 0 and 1.
    Share(f64),
}

/// Reads `10000`, `1%`, `all` (which is no sample).
pub fn parse(text: &str) -> Result<Option<Sample>, String> {
    let text = text.trim();
    let refused = || format!("`{text}` is not a sample: write a number of rows, a share such as `1%`, or `all`");
    if text == "all" {
        return Ok(None);
    }
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.trim().parse().map_err(|_| refused())?;
        return match percent {
            100.0 => Ok(None),
            _ if percent > 0.0 && percent < 100.0 => Ok(Some(Sample::Share(percent / 100.0))),
            _ => Err(refused()),
        };
    }
    let rows: u64 = text.replace('_', "").parse().map_err(|_| refused())?;
    if rows == 0 { Err(refused()) } else { Ok(Some(Sample::Rows(rows))) }
}

/// The columns that rows are chosen by, of those that are there: what refers to another table first, so that rows come
/// with those that they refer to; then the key; without either, the whole row.
pub fn key<'a>(table: &'a Table, columns: &[&'a str]) -> Vec<&'a str> {
    let there = |wanted: &[String]| -> Option<Vec<&'a str>> {
        let found: Vec<&str> = columns.iter().copied().filter(|column| wanted.iter().any(|w| w == column)).collect();
        (!found.is_empty() && found.len() == wanted.len()).then_some(found)
    };
    let references = table.clauses.iter().filter_map(|clause| match &clause.rule {
        Rule::References { columns, .. } => Some(columns.clone()),
        _ => None,
    });
    let primary: Vec<String> = table.primary_key().into_iter().map(str::to_owned).collect();
    let unique = table.clauses.iter().filter_map(|clause| match &clause.rule {
        Rule::Unique { columns } => Some(columns.clone()),
        _ => None,
    });
    let mut wanted = references.chain([primary]).chain(unique);
    wanted.find_map(|wanted| there(&wanted)).unwrap_or_else(|| columns.to_vec())
}

/// An expression in SQL: eight hexadecimal digits that depend on these columns' values alone.
pub fn hash(columns: &[&str]) -> String {
    let parts: Vec<String> = columns
        .iter()
        .map(|column| format!("coalesce(CAST(\"{}\" AS VARCHAR), '')", column.replace('"', "\"\"")))
        .collect();
    format!("substr(md5(concat_ws('|', {})), 1, 8)", parts.join(", "))
}

/// The order in which rows are taken, in SQL: by their key, and where they share it, by whatever of them can be compared as text.
pub fn order(table: &Table, columns: &[&str]) -> String {
    use crate::types::ColumnType as T;
    let opaque = |column: &str| {
        let field = table.field(column);
        field.is_some_and(|field| matches!(field.native, T::Binary | T::List(_) | T::Struct(_)))
    };
    let plain: Vec<&str> = columns.iter().copied().filter(|column| !opaque(column)).collect();
    let by_key = hash(&key(table, columns));
    if plain.is_empty() { by_key } else { format!("{by_key}, {}", hash(&plain)) }
}

/// Below this lies the share of all hashes.
pub fn threshold(share: f64) -> String {
    format!("{:08x}", (share.clamp(0.0, 1.0) * f64::from(u32::MAX)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_write_it() {
        assert_eq!(parse("10_000"), Ok(Some(Sample::Rows(10_000))));
        assert_eq!(parse("2.5 %"), Ok(Some(Sample::Share(0.025))));
        assert_eq!(parse("all"), Ok(None));
        assert_eq!(parse("100%"), Ok(None));
        for wrong in ["0", "-1", "0%", "101%", "some", ""] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_are_thresholds_of_the_hash() {
        assert_eq!(
            (threshold(0.0).as_str(), threshold(0.5).as_str(), threshold(1.0).as_str()),
            ("00000000", "7fffffff", "ffffffff")
        );
        assert_eq!(hash(&["a\"b"]), "substr(md5(concat_ws('|', coalesce(CAST(\"a\"\"b\" AS VARCHAR), ''))), 1, 8)");
    }
}
