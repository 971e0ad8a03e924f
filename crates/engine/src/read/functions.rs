//! The functions of a session: an allow-list, so that a function that a new version brings is unknown until it is read.
//!
//! Left out on purpose: `input_file_name`, `file_row_index` (name files), `arrow_metadata`, `with_metadata`,
//! `arrow_field` (field metadata), and every table function that reads anything.

use std::sync::Arc;

use datafusion::catalog::TableFunction;
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

/// Functions that show files, positions in them or field metadata.
const SIDE_DOORS: [&str; 6] =
    ["input_file_name", "file_row_index", "arrow_metadata", "with_metadata", "arrow_field", "version"];

pub fn scalar() -> Vec<Arc<ScalarUDF>> {
    let mut functions = SessionStateDefaults::default_scalar_functions();
    functions.retain(|function| allowed(function.name()));
    functions.extend(super::postgres::always());
    functions
}

pub fn aggregate() -> Vec<Arc<AggregateUDF>> {
    SessionStateDefaults::default_aggregate_functions()
}

pub fn window() -> Vec<Arc<WindowUDF>> {
    SessionStateDefaults::default_window_functions()
}

/// Only generators of numbers.
pub fn table() -> Vec<Arc<TableFunction>> {
    let mut functions = SessionStateDefaults::default_table_functions();
    functions.retain(|function| matches!(function.name(), "generate_series" | "range"));
    functions
}

fn allowed(name: &str) -> bool {
    !SIDE_DOORS.contains(&name)
}
