//! The short form as a table.

use crate::contract::shape::Shape::{
    Any, Boolean, Either, List, Number, Object as Map, Scalar, Text, TextOrNumber, Whole,
};
use crate::contract::shape::{Object, Rest, key};

pub static CONTRACT: Object = Object {
    name: "the contract",
    rest: Rest::Refused,
    keys: &[
        key("schema", Text, "The name of the table.").required(),
        key("version", TextOrNumber, "Semantic version; its major is the major of the table.").required(),
        key("owner", Text, "The team that answers for it."),
        key("id", Text, "Given at the first apply where it is absent."),
        key("description", Text, ""),
        key("physical_name", Text, "The table in the source, where it has another name."),
        key("sla", Map(&SLA), "Promises that are watched: they never block a publication."),
        key("fields", List(&Map(&FIELD)), "The columns.").required(),
        key("quality", List(&Map(&QUALITY)), "What every publication must hold to."),
    ],
};

const PROMISE: crate::contract::shape::Shape = Either(&[Text, Number, Map(&MEASURED)]);

static SLA: Object = Object {
    name: "the sla",
    rest: Rest::Taken,
    keys: &[
        key("freshness", PROMISE, "Age of the newest data: `15 minutes`, or { value, element }."),
        key("latency", PROMISE, "From the event to its publication."),
        key("retention", PROMISE, ""),
        key("frequency", PROMISE, "Time between publications."),
        key("availability", PROMISE, "`99.5%`."),
    ],
};

static MEASURED: Object = Object {
    name: "the promise",
    rest: Rest::Refused,
    keys: &[
        key("value", Either(&[Text, Number]), "").required(),
        key("element", Text, "The column that it is measured on."),
    ],
};

pub static FIELD: Object = Object {
    name: "the field",
    rest: Rest::Refused,
    keys: &[
        key("name", Text, "The SQL column, exactly."),
        key("type", Text, "string, integer, number, boolean, date, timestamp, time, object or array; `decimal(10,2)`."),
        key("required", Boolean, "No nulls."),
        key("unique", Boolean, ""),
        key("primary_key", Either(&[Boolean, Whole]), "true, or the 1-based place in a key of several columns."),
        key("description", Text, ""),
        key("enum", List(&Scalar), "The only values."),
        key("min", Either(&[Number, Text]), "Smallest value, or shortest text (as `min_length`) for strings."),
        key("max", Either(&[Number, Text]), ""),
        key("exclusive_min", Either(&[Number, Text]), ""),
        key("exclusive_max", Either(&[Number, Text]), ""),
        key("multiple_of", Number, ""),
        key("min_length", Whole, ""),
        key("max_length", Whole, ""),
        key("min_items", Whole, ""),
        key("max_items", Whole, ""),
        key("pattern", Text, "Regular expression; matches anywhere unless anchored."),
        key("format", Text, "Integer width (i8 … u64), f32 or f64, date pattern, or text format (email, uuid, …)."),
        key("precision", Whole, "Digits of a decimal."),
        key("scale", Whole, "Digits after its point."),
        key("timezone", Boolean, "false: a local timestamp, without zone."),
        key("default_timezone", Text, "Zone of source text without an offset: UTC or an offset."),
        key("classification", Either(&[Text, List(&Text)]), "Names from classifications.yaml."),
        key("classifications", List(&Text), ""),
        key("tags", List(&Text), ""),
        key("examples", List(&Any), ""),
        key("references", Either(&[Text, List(&Text)]), "`output.column` or `domain.output.column`."),
        key("physical_name", Text, "The column in the source, where it has another name."),
        key("physical_type", Text, ""),
        key("renamed_from", Text, "The column's former name."),
        key("items", Either(&[Text, Map(&FIELD)]), "What an array holds."),
        key("fields", List(&Map(&FIELD)), "What an object holds."),
        key("quality", List(&Map(&QUALITY)), ""),
    ],
};

const ONE_OR_MORE: crate::contract::shape::Shape = Either(&[Text, List(&Text)]);

pub static QUALITY: Object = Object {
    name: "the quality clause",
    rest: Rest::Refused,
    keys: &[
        key("no_nulls", ONE_OR_MORE, "Columns without nulls."),
        key("unique", ONE_OR_MORE, "No two rows share these values."),
        key("range", Map(&RANGE), ""),
        key("enum", Map(&ENUM), ""),
        key("pattern", Map(&PATTERN), ""),
        key("regex", Map(&PATTERN), ""),
        key("length", Map(&LENGTH), ""),
        key("multiple_of", Map(&MULTIPLE), ""),
        key("format", Map(&FORMAT), ""),
        key("row_count", Map(&ROW_COUNT), ""),
        key("references", Map(&REFERENCES), ""),
        key("freshness", Either(&[Text, Map(&FRESHNESS)]), "The SLA under another name."),
        key("null_values", Map(&METRIC), ""),
        key("missing_values", Map(&METRIC), ""),
        key("invalid_values", Map(&METRIC), ""),
        key("duplicate_values", Map(&METRIC), ""),
        key("sql", Either(&[Text, Map(&SQL)]), "One number, or the failing rows."),
        key("text", Text, "Said, not checked."),
        key("not_evaluated", Text, "Why something that is declared elsewhere cannot be checked."),
        key("id", Text, "Keeps its name in reports when the list changes."),
        key("name", Text, ""),
        key("severity", Text, "error (the default) blocks a publication; warning and info do not."),
        key("scope", Text, "table (the default) or batch."),
        key("description", Text, ""),
        key("dimension", Text, ""),
    ],
};

/// The keys of a clause that say what it is; exactly one stands in each.
pub const CLAUSES: &[&str] = &[
    "no_nulls",
    "unique",
    "range",
    "enum",
    "pattern",
    "regex",
    "length",
    "multiple_of",
    "format",
    "row_count",
    "references",
    "freshness",
    "null_values",
    "missing_values",
    "invalid_values",
    "duplicate_values",
    "sql",
    "text",
    "not_evaluated",
];

const FIELD_NAME: crate::contract::shape::Key = key("field", Text, "");

static RANGE: Object = Object {
    name: "the range",
    rest: Rest::Refused,
    keys: &[
        FIELD_NAME.required(),
        key("min", Either(&[Number, Text]), ""),
        key("max", Either(&[Number, Text]), ""),
        key("exclusive_min", Either(&[Boolean, Number, Text]), "A bound, or true to make `min` exclusive."),
        key("exclusive_max", Either(&[Boolean, Number, Text]), "A bound, or true to make `max` exclusive."),
    ],
};

static ENUM: Object = Object {
    name: "the enum",
    rest: Rest::Refused,
    keys: &[FIELD_NAME.required(), key("values", List(&Scalar), "").required()],
};

static PATTERN: Object = Object {
    name: "the pattern",
    rest: Rest::Refused,
    keys: &[FIELD_NAME.required(), key("pattern", Text, ""), key("regex", Text, "")],
};

static LENGTH: Object = Object {
    name: "the length",
    rest: Rest::Refused,
    keys: &[FIELD_NAME.required(), key("min", Whole, ""), key("max", Whole, "")],
};

static MULTIPLE: Object = Object {
    name: "the multiple",
    rest: Rest::Refused,
    keys: &[FIELD_NAME.required(), key("factor", Number, "").required()],
};

static FORMAT: Object = Object {
    name: "the format",
    rest: Rest::Refused,
    keys: &[FIELD_NAME.required(), key("format", Text, "").required()],
};

static ROW_COUNT: Object = Object {
    name: "the row count",
    rest: Rest::Refused,
    keys: &[
        key("min", Number, ""),
        key("max", Number, ""),
        key("must_be", Number, ""),
        key("must_not_be", Number, ""),
        key("must_be_greater_than", Number, ""),
        key("must_be_greater_or_equal_to", Number, ""),
        key("must_be_less_than", Number, ""),
        key("must_be_less_or_equal_to", Number, ""),
        key("must_be_between", List(&Number), ""),
        key("must_not_be_between", List(&Number), ""),
    ],
};

static REFERENCES: Object = Object {
    name: "the reference",
    rest: Rest::Refused,
    keys: &[
        key("field", Text, ""),
        key("fields", List(&Text), ""),
        key("to", Text, "`output`, `domain.output`, or with the column at its end.").required(),
        key("to_field", Text, ""),
        key("to_fields", List(&Text), ""),
    ],
};

static FRESHNESS: Object = Object {
    name: "the freshness",
    rest: Rest::Refused,
    keys: &[key("field", Text, ""), key("max", Text, ""), key("value", Text, "")],
};

static METRIC: Object = Object {
    name: "the metric",
    rest: Rest::Refused,
    keys: &[
        key("field", Text, ""),
        key("fields", List(&Text), ""),
        key("values", List(&Scalar), "What counts as missing, or as valid."),
        key("pattern", Text, ""),
        key("unit", Text, "rows (the default) or percent."),
        key("must_be", Number, ""),
        key("must_not_be", Number, ""),
        key("must_be_greater_than", Number, ""),
        key("must_be_greater_or_equal_to", Number, ""),
        key("must_be_less_than", Number, ""),
        key("must_be_less_or_equal_to", Number, ""),
        key("must_be_between", List(&Number), ""),
        key("must_not_be_between", List(&Number), ""),
    ],
};

static SQL: Object = Object {
    name: "the SQL clause",
    rest: Rest::Refused,
    keys: &[
        key("query", Text, "`{table}` is the table as it would be after the commit, `{batch}` the rows written.")
            .required(),
        key("must", Any, "An operator with its value: { must_be: 0 }, { between: [1, 5] }, or a number."),
        key("must_be", Either(&[Number, Boolean]), ""),
        key("must_not_be", Either(&[Number, Boolean]), ""),
        key("must_be_greater_than", Number, ""),
        key("must_be_greater_or_equal_to", Number, ""),
        key("must_be_less_than", Number, ""),
        key("must_be_less_or_equal_to", Number, ""),
        key("must_be_between", List(&Number), ""),
        key("must_not_be_between", List(&Number), ""),
    ],
};
