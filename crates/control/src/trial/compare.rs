//! Expected rows against found ones, as values of the columns' types.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use meshwork_core::error::{Error, Result};
use meshwork_core::manifest::test::{Expected, Row};

use super::Failure;
use super::rows::plain;

/// Lines of a failure that are shown.
const SHOWN: usize = 20;

type Cells = Vec<Option<String>>;

pub fn rows(output: &str, expected: &Expected, wanted: &[Row], found: &[RecordBatch]) -> Result<Option<Failure>> {
    let Some(schema) = found.first().map(RecordBatch::schema) else {
        let failure = (!wanted.is_empty()).then(|| Failure {
            output: output.to_owned(),
            message: format!("{} rows were expected, none came", wanted.len()),
            place: expected.place.clone(),
            lines: Vec::new(),
        });
        return Ok(failure);
    };
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let found = texts(found)?;
    let wanted: Vec<Wanted> = wanted.iter().map(|row| Wanted::of(output, row, &schema)).collect::<Result<_>>()?;
    let pairs = if expected.ordered { in_order(&wanted, &found) } else { in_any_order(&wanted, &found) };
    let missing: Vec<&Wanted> = (0..wanted.len()).filter(|at| pairs[*at].is_none()).map(|at| &wanted[at]).collect();
    let extra: Vec<&Cells> = (0..found.len()).filter(|at| !pairs.contains(&Some(*at))).map(|at| &found[at]).collect();
    if missing.is_empty() && (extra.is_empty() || expected.subset) {
        return Ok(None);
    }
    let mut lines = Vec::new();
    for row in &missing {
        lines.push(format!("- {}   ({})", row.text(&names), row.place));
        // The row that is most like it, where that says more than the rows alone.
        let near = extra.iter().map(|cells| (row.differences(cells), cells)).min_by_key(|(n, _)| *n);
        if let Some((differing, cells)) = near.filter(|(differing, _)| *differing < row.cells.len()) {
            lines.push(format!(
                "  nearest, {differing} of {} columns differ: {}",
                row.cells.len(),
                row.changes(cells, &names)
            ));
        }
    }
    if !expected.subset {
        lines.extend(extra.iter().map(|cells| format!("+ {}", whole(cells, &names))));
    }
    let more = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    if more > 0 {
        lines.push(format!("… and {more} lines more"));
    }
    let message = format!(
        "{} of {} expected rows are missing, {} of {} found rows were not expected",
        missing.len(),
        wanted.len(),
        if expected.subset { 0 } else { extra.len() },
        found.len(),
    );
    Ok(Some(Failure { output: output.to_owned(), message, place: expected.place.clone(), lines }))
}

struct Wanted {
    /// Column and value, in the form that found values have.
    cells: Vec<(usize, Option<String>)>,
    place: meshwork_core::error::Place,
}

impl Wanted {
    fn of(output: &str, row: &Row, schema: &SchemaRef) -> Result<Self> {
        let mut cells = Vec::new();
        for (name, value) in &row.cells {
            let wrong = |why: String| {
                Error::check("MW1064", format!("expected rows of `{output}`: {why}")).at(row.place.clone())
            };
            let at =
                schema.index_of(name).map_err(|_| wrong(format!("there is no column `{}`", name.escape_debug())))?;
            let ty = schema.field(at).data_type();
            let text = plain(value).map(|text| {
                canonical(&text, ty)
                    .ok_or_else(|| wrong(format!("`{}` is not a {ty} (column `{name}`)", text.escape_debug())))
            });
            cells.push((at, text.transpose()?));
        }
        Ok(Self { cells, place: row.place.clone() })
    }

    fn is(&self, found: &Cells) -> bool {
        self.differences(found) == 0
    }

    fn differences(&self, found: &Cells) -> usize {
        self.cells.iter().filter(|(at, value)| found[*at] != *value).count()
    }

    fn text(&self, names: &[String]) -> String {
        let cells = self.cells.iter().map(|(at, value)| cell(&names[*at], value));
        format!("{{ {} }}", cells.collect::<Vec<_>>().join(", "))
    }

    fn changes(&self, found: &Cells, names: &[String]) -> String {
        let changed = self.cells.iter().filter(|(at, value)| found[*at] != *value);
        let shown = changed.map(|(at, value)| format!("{}: {} → {}", names[*at], shown(value), shown(&found[*at])));
        shown.collect::<Vec<_>>().join(", ")
    }
}

fn whole(cells: &Cells, names: &[String]) -> String {
    let cells = cells.iter().zip(names).map(|(value, name)| cell(name, value));
    format!("{{ {} }}", cells.collect::<Vec<_>>().join(", "))
}

fn cell(name: &str, value: &Option<String>) -> String {
    format!("{name}: {}", shown(value))
}

fn shown(value: &Option<String>) -> String {
    value.as_ref().map_or_else(|| "null".to_owned(), |text| text.escape_debug().to_string())
}

/// Which found row each wanted one is.
fn in_order(wanted: &[Wanted], found: &[Cells]) -> Vec<Option<usize>> {
    let mut from = 0;
    wanted
        .iter()
        .map(|row| {
            let at = (from..found.len()).find(|at| row.is(&found[*at]))?;
            from = at + 1;
            Some(at)
        })
        .collect()
}

/// Each found row is taken once; rows that say most are placed first, so that a row of few columns does not take theirs.
fn in_any_order(wanted: &[Wanted], found: &[Cells]) -> Vec<Option<usize>> {
    let mut pairs = vec![None; wanted.len()];
    let mut taken = vec![false; found.len()];
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(wanted[*at].cells.len()));
    for at in order {
        pairs[at] = (0..found.len()).find(|other| !taken[*other] && wanted[at].is(&found[*other]));
        if let Some(other) = pairs[at] {
            taken[other] = true;
        }
    }
    pairs
}

/// A text as a value of a type, in the one form that such values are shown in.
fn canonical(text: &str, ty: &DataType) -> Option<String> {
    if ty.is_nested() {
        return Some(text.to_owned());
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let given: ArrayRef = Arc::new(StringArray::from(vec![text]));
    let cast = match ty {
        // A zone by name needs a zone database; UTC is the only one there is, and its offset is none.
        DataType::Timestamp(unit, Some(_)) => {
            let offset = DataType::Timestamp(*unit, Some("+00:00".into()));
            cast_with_options(&cast_with_options(&given, &offset, &strict).ok()?, ty, &strict).ok()?
        }
        ty => cast_with_options(&given, ty, &strict).ok()?,
    };
    display(cast.as_ref()).ok()?.pop()?
}

fn display(column: &dyn Array) -> Result<Vec<Option<String>>, arrow::error::ArrowError> {
    let options = FormatOptions::new().with_display_error(true);
    let formatter = ArrayFormatter::try_new(column, &options)?;
    Ok((0..column.len()).map(|row| (!column.is_null(row)).then(|| formatter.value(row).to_string())).collect())
}

fn texts(batches: &[RecordBatch]) -> Result<Vec<Cells>> {
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter().map(|column| display(column.as_ref())).collect::<Result<Vec<_>, _>>();
        let columns = columns.map_err(|error| Error::internal("MW0816", format!("rows cannot be shown: {error}")))?;
        rows.extend(
            (0..batch.num_rows()).map(|row| columns.iter().map(|column| column[row].clone()).collect::<Cells>()),
        );
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_and_not_texts() {
        assert_eq!(canonical("1.50", &DataType::Float64), canonical("1.5", &DataType::Float64));
        assert_eq!(canonical("01", &DataType::Int64).as_deref(), Some("1"));
        assert_eq!(canonical("x", &DataType::Int64), None);
        assert_eq!(canonical("1.5", &DataType::Decimal128(9, 2)).as_deref(), Some("1.50"));
    }
}
