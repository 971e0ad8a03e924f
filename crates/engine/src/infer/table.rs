//! Rows of an opened source as the profile of a table.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use datafusion::execution::TaskContext;
use futures::StreamExt;
use meshwork_core::infer::{Catalog, ColumnProfile, ProfiledType, ProposedSource, TableProfile};
use meshwork_core::types::ColumnType;
use meshwork_core::{Error, Result};

use super::column::Seen;
use super::{Bounds, Examined};
use crate::native::column_type;
use crate::source::Source;
use crate::write::session::execution_error;
use crate::write::texts;

/// Reads `wanted` columns of it, up to the bounds. With `typed` its columns keep the types that the source gives; otherwise
/// texts get the type that all of them fit.
pub async fn examine(
    name: &str,
    source: ProposedSource,
    opened: &Arc<dyn Source>,
    wanted: &[usize],
    typed: bool,
    bounds: Bounds,
) -> Result<Examined> {
    let schema = opened.schema();
    let width = wanted.len();
    let kept = (bounds.distinct / width.max(1)).clamp(10_000, usize::try_from(bounds.rows).unwrap_or(usize::MAX));
    let text = |at: &usize| *schema.field(*at).data_type() == DataType::Utf8;
    let mut columns: Vec<Seen> = wanted.iter().map(|at| Seen::new(kept, typed || !text(at))).collect();
    let (mut rows, mut complete) = (0u64, true);
    'files: for partition in opened.partitions(wanted) {
        let mut stream = partition.execute(Arc::new(TaskContext::default()));
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(|error| execution_error(&error, &format!("`{name}`")))?;
            let left = usize::try_from(bounds.rows - rows).unwrap_or(usize::MAX);
            let cut = batch.num_rows() > left;
            let batch = if cut { batch.slice(0, left) } else { batch };
            add(&mut columns, &batch);
            rows += batch.num_rows() as u64;
            if cut {
                complete = false;
                break 'files;
            }
        }
    }
    let mut profiles = Vec::with_capacity(width);
    let mut sets = Vec::with_capacity(width);
    for (at, seen) in wanted.iter().zip(columns) {
        let field = schema.field(*at);
        let (seen, guessed, set) = seen.finish(field.name());
        let ty = match guessed {
            Some(ty) => ty,
            None => declared(field.data_type()).ok_or_else(|| unreadable(name, field.name(), field.data_type()))?,
        };
        profiles.push(ColumnProfile { name: field.name().clone(), ty, seen, ..ColumnProfile::default() });
        sets.push(set);
    }
    let profile = TableProfile {
        name: name.to_owned(),
        source,
        description: None,
        rows,
        complete,
        columns: profiles,
        catalog: Catalog::default(),
        combinations: Vec::new(),
    };
    Ok(Examined { profile, sets })
}

fn add(columns: &mut [Seen], batch: &RecordBatch) {
    for (seen, array) in columns.iter_mut().zip(batch.columns()) {
        match array.data_type() {
            DataType::Utf8 => array.as_string::<i32>().iter().for_each(|text| seen.add(text)),
            // Their values say nothing here, only whether they are there.
            ty if ty.is_nested() || matches!(ty, DataType::Binary | DataType::LargeBinary | DataType::BinaryView) => {
                (0..array.len()).for_each(|row| seen.add(array.is_valid(row).then_some("x")));
            }
            _ => {
                let rows: Vec<usize> = (0..array.len()).collect();
                texts(array, &rows).iter().for_each(|text| seen.add(text.as_deref()));
            }
        }
    }
}

fn declared(ty: &DataType) -> Option<ProfiledType> {
    let native = match ty {
        // Stored to the microsecond; a value that is finer is a failing row.
        DataType::Timestamp(_, Some(_)) => ColumnType::Timestamp,
        DataType::Timestamp(_, None) => ColumnType::LocalTimestamp,
        DataType::Time32(_) | DataType::Time64(_) => ColumnType::Text,
        other => column_type(other)?,
    };
    let time_of_day = matches!(ty, DataType::Time32(_) | DataType::Time64(_));
    let because = if time_of_day { "time".to_owned() } else { native.to_string() };
    Some(ProfiledType { native, time_of_day, declared: true, because, ..ProfiledType::default() })
}

/// All columns of a source.
pub fn all(opened: &Arc<dyn Source>) -> Vec<usize> {
    (0..opened.schema().fields().len()).collect()
}

fn unreadable(table: &str, column: &str, ty: &DataType) -> Error {
    Error::check("MW1101", format!("`{table}`: column `{column}` has the type {ty}, which cannot be stored"))
        .hint("leave the column out, or convert it to a type with a counterpart in Delta")
}
