//! Keys of several columns, for tables where no single one is a key: a second look at the rows.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use datafusion::execution::TaskContext;
use futures::StreamExt;
use meshwork_core::Result;
use meshwork_core::infer::TableProfile;
use meshwork_core::types::ColumnType;

use crate::source::Source;
use crate::write::session::execution_error;
use crate::write::texts;

/// Larger tables are not looked at again.
const MOST_ROWS: u64 = 1_000_000;
/// With fewer rows chance makes keys.
const FEWEST_ROWS: u64 = 50;
/// Combinations that are tried.
const MOST: usize = 12;

/// The smallest combinations of columns whose values never come together twice, by the columns' places.
pub async fn unique(profile: &TableProfile, opened: &Arc<dyn Source>, places: &[usize]) -> Result<Vec<Vec<String>>> {
    let mut candidates = candidates(profile);
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let mut wanted: Vec<usize> = candidates.iter().flat_map(|(columns, _)| columns.iter().copied()).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let place = |column: usize| wanted.binary_search(&column).unwrap_or(0);
    // The profile's columns stand elsewhere in the source.
    let of_source: Vec<usize> = wanted.iter().filter_map(|at| places.get(*at).copied()).collect();
    for partition in opened.partitions(&of_source) {
        let mut stream = partition.execute(Arc::new(TaskContext::default()));
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(|error| execution_error(&error, &format!("`{}`", profile.name)))?;
            let rows: Vec<usize> = (0..batch.num_rows()).collect();
            let columns: Vec<Vec<u64>> =
                batch.columns().iter().map(|array| texts(array, &rows).iter().map(hash).collect()).collect();
            candidates.retain_mut(|(combined, seen)| {
                rows.iter().all(|row| {
                    let key: Vec<u64> = combined.iter().map(|column| columns[place(*column)][*row]).collect();
                    seen.insert(hash(&key))
                })
            });
            if candidates.is_empty() {
                return Ok(Vec::new());
            }
        }
    }
    let fewest = candidates.iter().map(|(columns, _)| columns.len()).min().unwrap_or(0);
    let name = |at: &usize| profile.columns[*at].name.clone();
    let smallest = candidates.into_iter().filter(|(columns, _)| columns.len() == fewest);
    Ok(smallest.map(|(columns, _)| columns.iter().map(name).collect()).collect())
}

fn hash<T: std::hash::Hash>(value: T) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}

/// Pairs, then triples, that have enough combinations for every row, of columns that can be part of a key.
fn candidates(profile: &TableProfile) -> Vec<(Vec<usize>, HashSet<u64>)> {
    if !profile.complete || !(FEWEST_ROWS..=MOST_ROWS).contains(&profile.rows) {
        return Vec::new();
    }
    let parts: Vec<(usize, u64)> = profile
        .columns
        .iter()
        .enumerate()
        .filter(|(_, column)| {
            let plain = !matches!(
                column.ty.native,
                ColumnType::Float32
                    | ColumnType::Float64
                    | ColumnType::Binary
                    | ColumnType::List(_)
                    | ColumnType::Struct(_)
            );
            let whole = !matches!(column.ty.native, ColumnType::Decimal { scale, .. } if scale > 0);
            plain && whole && column.seen.nulls == 0 && column.seen.lengths.1 <= 40
        })
        .filter_map(|(at, column)| Some((at, column.seen.distinct.filter(|distinct| *distinct > 1)?)))
        .take(12)
        .collect();
    let enough = |counts: &[u64]| {
        counts.iter().try_fold(1u64, |product, n| product.checked_mul(*n)).is_none_or(|p| p >= profile.rows)
    };
    let mut found = Vec::new();
    for (at, (a, of_a)) in parts.iter().enumerate() {
        for (b, of_b) in &parts[at + 1..] {
            if enough(&[*of_a, *of_b]) {
                found.push(vec![*a, *b]);
            }
        }
    }
    if found.is_empty() {
        for (at, (a, of_a)) in parts.iter().enumerate() {
            for (next, (b, of_b)) in parts.iter().enumerate().skip(at + 1) {
                for (c, of_c) in &parts[next + 1..] {
                    if enough(&[*of_a, *of_b, *of_c]) {
                        found.push(vec![*a, *b, *c]);
                    }
                }
            }
        }
    }
    found.truncate(MOST);
    found.into_iter().map(|columns| (columns, HashSet::new())).collect()
}
