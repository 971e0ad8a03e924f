//! The functions of a session: an allow-list, so that a function that a new version brings is unknown until it is read.
//!
//! Left out on purpose: `input_file_name`, `file_row_index` (name files), `arrow_metadata`, `with_metadata`,
//! `arrow_field` (field metadata), and every table function that reads anything.

use std::sync::Arc;

use datafusion::catalog::TableFunction;
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

/// Scalar functions that look at nothing but their arguments (and, for a few, the clock or a die).
#[rustfmt::skip]
const SCALAR: &[&str] = &[
    "abs", "acos", "acosh", "array_add", "array_any_value", "array_append", "array_avg", "array_compact",
    "array_concat", "array_dims", "array_distance", "array_distinct", "array_element", "array_except",
    "array_first", "array_has", "array_has_all", "array_has_any", "array_intersect", "array_length", "array_max",
    "array_min", "array_ndims", "array_normalize", "array_pop_back", "array_pop_front", "array_position",
    "array_positions", "array_prepend", "array_product", "array_remove", "array_remove_all", "array_remove_n",
    "array_repeat", "array_replace", "array_replace_all", "array_replace_n", "array_resize", "array_reverse",
    "array_scale", "array_slice", "array_sort", "array_subtract", "array_sum", "array_to_string", "array_union",
    "arrays_zip", "arrow_cast", "arrow_try_cast", "arrow_typeof", "ascii", "asin", "asinh", "atan", "atan2",
    "atanh", "bit_length", "blake2b", "blake2s", "blake3", "btrim", "cardinality", "cast_to_type", "cbrt", "ceil",
    "character_length", "chr", "coalesce", "concat", "concat_ws", "contains", "cos", "cosh", "cosine_distance",
    "cot", "current_date", "current_time", "date_bin", "date_part", "date_trunc", "decode", "degrees", "digest",
    "empty", "encode", "ends_with", "exp", "factorial", "find_in_set", "flatten", "floor", "from_unixtime", "gcd",
    "generate_series", "get_field", "greatest", "initcap", "inner_product", "isnan", "iszero", "lcm", "least",
    "left", "levenshtein", "ln", "log", "log10", "log2", "lower", "lpad", "ltrim", "make_array", "make_date",
    "make_time", "map", "map_entries", "map_extract", "map_keys", "map_values", "md5", "named_struct", "nanvl",
    "now", "nullif", "nvl", "nvl2", "octet_length", "overlay", "pi", "power", "radians", "random", "range",
    "regexp_count", "regexp_instr", "regexp_like", "regexp_match", "regexp_replace", "repeat", "replace",
    "reverse", "right", "round", "rpad", "rtrim", "sha224", "sha256", "sha384", "sha512", "signum", "sin", "sinh",
    "split_part", "sqrt", "starts_with", "string_to_array", "strpos", "struct", "substr", "substr_index", "tan",
    "tanh", "to_char", "to_date", "to_hex", "to_local_time", "to_time", "to_timestamp", "to_timestamp_micros",
    "to_timestamp_millis", "to_timestamp_nanos", "to_timestamp_seconds", "to_unixtime", "translate", "trunc",
    "try_cast_to_type", "union_extract", "union_tag", "upper", "uuid",
];

pub fn scalar() -> Vec<Arc<ScalarUDF>> {
    let mut functions = SessionStateDefaults::default_scalar_functions();
    functions.retain(|function| SCALAR.contains(&function.name()));
    let mut functions: Vec<_> = functions.into_iter().map(super::bounded::bounded).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A new version of the library brings new functions: each is judged before it is allowed.
    #[test]
    fn every_function_is_either_allowed_or_known_and_left_out() {
        let known = ["arrow_field", "arrow_metadata", "file_row_index", "input_file_name", "version", "with_metadata"];
        let mut left_out: Vec<String> = SessionStateDefaults::default_scalar_functions()
            .iter()
            .map(|function| function.name().to_owned())
            .filter(|name| !SCALAR.contains(&name.as_str()))
            .collect();
        left_out.sort();
        assert_eq!(left_out, known);
        let tables: Vec<String> = table().iter().map(|function| function.name().to_owned()).collect();
        assert_eq!(tables, ["generate_series", "range"]);
    }
}
