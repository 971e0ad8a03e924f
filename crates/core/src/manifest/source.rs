//! `source:` of an input in `product.yaml`.

use schemars::JsonSchema;

use super::incremental::incremental;
use super::product::SourceInput;
use super::text::{inner_path, refuse_template};
use crate::name::Name;
use crate::product::{Absent, CsvOptions, Files, JsonOptions, SourceKind, record_path};
use crate::reader::{Fields, Spanned, shown};
use crate::yaml::NodeKind;

#[derive(JsonSchema)]
#[schemars(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
#[allow(dead_code, reason = "the declared shape of `SourceKind`, for the JSON Schema")]
pub(super) enum SourceManifest {
    /// Comma-separated values; gzip, zstd, bzip2 and xz are recognised.
    Csv {
        /// Path or glob, relative to the domain's folder.
        path: String,
        /// How the file is written.
        #[schemars(default)]
        options: CsvOptions,
    },
    /// JSON: one object a line, an array of objects, or records inside a document.
    Json {
        /// Path or glob, relative to the domain's folder.
        path: String,
        /// Where the records are.
        #[schemars(default)]
        options: JsonOptions,
    },
    /// Apache Parquet.
    Parquet {
        /// Path or glob, relative to the domain's folder.
        path: String,
    },
    /// A table or query of a PostgreSQL database; exactly one of `table` and `query`.
    Postgres {
        /// A connection of domain.yaml.
        connection: Name,
        /// `schema.table`
        table: Option<String>,
        /// A query that only reads.
        query: Option<String>,
    },
}

const TYPES: [&str; 4] = ["csv", "json", "parquet", "postgres"];

pub(super) fn read(outer: &Fields<'_>) -> Option<SourceInput> {
    let incremental = incremental(outer);
    let fields = outer.fields("source")?;
    let kind = fields.required_text("type");
    let span = kind.map_or(fields.at(), |kind| kind.span);
    let (kind, connection) = match kind?.value {
        "csv" => {
            let files = files(&fields);
            let options = fields.fields("options").map(csv_options).unwrap_or_default();
            (files.map(|files| SourceKind::Csv { files, options }), span)
        }
        "json" => {
            let files = files(&fields);
            let options = fields.fields("options").map(json_options).unwrap_or_default();
            (files.map(|files| SourceKind::Json { files, options }), span)
        }
        "parquet" => (files(&fields).map(|files| SourceKind::Parquet { files }), span),
        "postgres" => {
            let connection = fields.required_name("connection");
            let at = connection.as_ref().map_or(span, |connection| connection.span);
            (postgres(&fields, connection.map(|c| c.value)), at)
        }
        later @ ("kafka" | "avro" | "sqlite" | "delta" | "mysql" | "excel" | "iceberg") => {
            let message = format!("sources of type `{later}` are not available in this version");
            outer.findings().error_hinting("MW0118", span, message, format!("Available: `{}`.", TYPES.join("`, `")));
            return None;
        }
        other => {
            let message = format!("`{}` is not a type of source", shown(other));
            outer.findings().unknown("MW0114", span, message, other, TYPES);
            return None;
        }
    };
    let span = fields.at();
    fields.finish();
    Some(SourceInput { source: Spanned { value: kind?, span }, incremental, connection })
}

fn files(fields: &Fields<'_>) -> Option<Files> {
    let text = fields.required_text("path")?;
    inner_path(fields.findings(), text).map(|path| Files::at(path.value))
}

fn postgres(fields: &Fields<'_>, connection: Option<Name>) -> Option<SourceKind> {
    let table = fields.text("table");
    let query = fields.text("query");
    if table.is_some() == query.is_some() {
        let message = "a postgres source has either a `table` or a `query`";
        fields.findings().error("MW0112", fields.at(), message);
    }
    for text in [table, query].into_iter().flatten() {
        refuse_template(fields.findings(), text);
    }
    let owned = |text: Option<Spanned<&str>>| text.map(|text| text.value.to_owned());
    Some(SourceKind::Postgres { connection: connection?, table: owned(table), query: owned(query) })
}

fn csv_options(fields: Fields<'_>) -> CsvOptions {
    let default = CsvOptions::default();
    let options = CsvOptions {
        delimiter: ascii_character(&fields, "delimiter").unwrap_or(default.delimiter),
        quote: match fields.text("quote") {
            Some(text) if text.value.is_empty() => None,
            _ => ascii_character(&fields, "quote").or(default.quote),
        },
        escape: ascii_character(&fields, "escape"),
        comment: ascii_character(&fields, "comment"),
        skip: skip(&fields),
        header: fields.bool("header").unwrap_or(default.header),
        encoding: encoding(&fields).unwrap_or(default.encoding),
        null: match fields.node("null").map(|node| &node.kind) {
            Some(NodeKind::Text(text)) => vec![text.clone()],
            _ => fields.texts("null").into_iter().map(|text| text.value.to_owned()).collect(),
        },
    };
    let roles = [
        ("quote", options.quote),
        ("delimiter", Some(options.delimiter)),
        ("comment", options.comment),
        ("escape", options.escape),
    ];
    for (at, (key, character)) in roles.iter().enumerate() {
        if let Some((other, _)) = roles[..at].iter().find(|(_, other)| other.is_some() && other == character) {
            let message = format!("`{key}` and `{other}` are the same character");
            fields.findings().error("MW0123", fields.span_of(key), message);
        }
    }
    fields.finish();
    options
}

fn skip(fields: &Fields<'_>) -> u32 {
    let Some(skip) = fields.u64("skip") else { return 0 };
    let lines = u32::try_from(skip.value).ok().filter(|lines| *lines <= 10_000);
    if lines.is_none() {
        fields.findings().error("MW0117", skip.span, "`skip` is at most 10,000 lines");
    }
    lines.unwrap_or(0)
}

fn encoding(fields: &Fields<'_>) -> Option<String> {
    let text = fields.text("encoding")?;
    if encoding_rs::Encoding::for_label(text.value.as_bytes()).is_none_or(|e| e == encoding_rs::REPLACEMENT) {
        let known =
            ["utf-8", "utf-16", "utf-16le", "utf-16be", "windows-1252", "iso-8859-1", "iso-8859-15", "shift_jis"];
        let message = format!("`{}` is not a text encoding", shown(text.value));
        fields.findings().unknown("MW0161", text.span, message, text.value, known);
        return None;
    }
    Some(text.value.to_ascii_lowercase())
}

fn ascii_character(fields: &Fields<'_>, key: &'static str) -> Option<char> {
    let text = fields.text(key)?;
    let mut chars = text.value.chars();
    let one = chars.next().filter(|c| c.is_ascii() && !matches!(c, '\r' | '\n') && chars.next().is_none());
    if one.is_none() {
        let message = format!("`{key}` must be one ASCII character");
        fields.findings().error_hinting("MW0123", text.span, message, "A tab is written \"\\t\".");
    }
    one
}

fn json_options(fields: Fields<'_>) -> JsonOptions {
    let options = JsonOptions {
        records: fields.text("records").and_then(|text| records(&fields, text)),
        absent: fields
            .choice("absent", &[("error", Absent::Error), ("null", Absent::Null)])
            .map(|absent| absent.value)
            .unwrap_or_default(),
    };
    fields.finish();
    options
}

/// `$`, or `$.a.b`: keys from the top of the document. A JSON pointer (`/a/b`) means the same.
fn records(fields: &Fields<'_>, text: Spanned<&str>) -> Option<String> {
    if record_path(text.value).is_none() {
        let message = format!("`{}` is not a path to records", shown(text.value));
        let hint = "Write `$` for the whole document, `$.data.items` or `/data/items` for an array inside.";
        fields.findings().error_hinting("MW0162", text.span, message, hint);
        return None;
    }
    Some(text.value.to_owned())
}
