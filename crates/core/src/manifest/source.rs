//! `source:` of an input in `product.yaml`.

use schemars::JsonSchema;

use super::incremental::incremental;
use super::product::SourceInput;
use super::text::{refuse_template, source_path};
use crate::name::Name;
use crate::product::{Absent, CsvOptions, Files, JsonOptions, Scheme, SourceKind, record_path};
use crate::reader::{Fields, Spanned, shown};
use crate::yaml::{NodeKind, Span};

#[derive(JsonSchema)]
#[schemars(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
#[allow(dead_code, reason = "the declared shape of `SourceKind`, for the JSON Schema")]
pub(super) enum SourceManifest {
    /// Comma-separated values; gzip, zstd, bzip2 and xz are recognised.
    Csv {
        /// Path or glob below the domain's folder, `s3://bucket/key` or `https://host/path`.
        path: String,
        /// A connection of domain.yaml: for S3, and for a web server that wants credentials.
        connection: Option<Name>,
        /// How the file is written.
        #[schemars(default)]
        options: CsvOptions,
    },
    /// JSON: one object a line, an array of objects, or records inside a document.
    Json {
        /// Path or glob below the domain's folder, `s3://bucket/key` or `https://host/path`.
        path: String,
        /// A connection of domain.yaml: for S3, and for a web server that wants credentials.
        connection: Option<Name>,
        /// Where the records are.
        #[schemars(default)]
        options: JsonOptions,
    },
    /// Apache Parquet; folders such as `year=2024` become columns.
    Parquet {
        /// Path or glob below the domain's folder, `s3://bucket/key` or `https://host/path`.
        path: String,
        /// A connection of domain.yaml: for S3, and for a web server that wants credentials.
        connection: Option<Name>,
    },
    /// Apache Avro object container files.
    Avro {
        /// Path or glob below the domain's folder, `s3://bucket/key` or `https://host/path`.
        path: String,
        /// A connection of domain.yaml: for S3, and for a web server that wants credentials.
        connection: Option<Name>,
    },
    /// A table or query of one SQLite file; exactly one of `table` and `query`.
    Sqlite {
        /// Path or glob below the domain's folder, `s3://bucket/key` or `https://host/path`.
        path: String,
        /// A connection of domain.yaml: for S3, and for a web server that wants credentials.
        connection: Option<Name>,
        /// The table.
        table: Option<String>,
        /// A query that only reads.
        query: Option<String>,
    },
    /// A Delta table: its folder.
    Delta {
        /// The table's folder, relative to the domain's folder, or `s3://bucket/folder`.
        path: String,
        /// For `s3://`: a connection of domain.yaml.
        connection: Option<Name>,
        /// A version of it. Default: the newest.
        version: Option<u64>,
    },
    /// A table or query of a MySQL or MariaDB database; exactly one of `table` and `query`.
    Mysql {
        /// A connection of domain.yaml.
        connection: Name,
        /// `table` or `database.table`
        table: Option<String>,
        /// A query that only reads.
        query: Option<String>,
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

const TYPES: [&str; 8] = ["csv", "json", "parquet", "avro", "sqlite", "delta", "postgres", "mysql"];

pub(super) fn read(outer: &Fields<'_>) -> Option<SourceInput> {
    let incremental = incremental(outer);
    let fields = outer.fields("source")?;
    let kind = fields.required_text("type");
    let span = kind.map_or(fields.at(), |kind| kind.span);
    let (kind, connection) = match kind?.value {
        "csv" => {
            let files = files(&fields);
            let options = fields.fields("options").map(csv_options).unwrap_or_default();
            (files.map(|files| SourceKind::Csv { files, options }), at(&fields, span))
        }
        "json" => {
            let files = files(&fields);
            let options = fields.fields("options").map(json_options).unwrap_or_default();
            (files.map(|files| SourceKind::Json { files, options }), at(&fields, span))
        }
        "parquet" => (files(&fields).map(|files| SourceKind::Parquet { files }), at(&fields, span)),
        "avro" => (files(&fields).map(|files| SourceKind::Avro { files }), at(&fields, span)),
        "sqlite" => {
            let files = files(&fields);
            let (table, query) = table_or_query(&fields, "sqlite");
            (files.map(|files| SourceKind::Sqlite { files, table, query }), at(&fields, span))
        }
        "delta" => {
            let files = files(&fields);
            if let Some(files) = files.as_ref().filter(|files| files.scheme() == Scheme::Http) {
                let message = format!("`{}`: Delta tables are not read over HTTP", shown(&files.path));
                let hint = "Name a folder of the domain, or `s3://bucket/folder`.";
                fields.findings().error_hinting("MW0118", fields.span_of("path"), message, hint);
            }
            let version = fields.u64("version").map(|version| version.value);
            (files.map(|files| SourceKind::Delta { files, version }), at(&fields, span))
        }
        "postgres" => {
            let connection = fields.required_name("connection");
            let (table, query) = table_or_query(&fields, "postgres");
            let kind = connection.map(|c| SourceKind::Postgres { connection: c.value, table, query });
            (kind, at(&fields, span))
        }
        "mysql" => {
            let connection = fields.required_name("connection");
            let (table, query) = table_or_query(&fields, "mysql");
            let kind = connection.map(|c| SourceKind::Mysql { connection: c.value, table, query });
            (kind, at(&fields, span))
        }
        later @ ("kafka" | "excel" | "iceberg") => {
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
    let connection = fields.name("connection").map(|name| name.value);
    let text = fields.required_text("path")?;
    let path = source_path(fields.findings(), text)?;
    let files = Files { path: path.value, connection };
    match files.scheme() {
        Scheme::S3 if files.connection.is_none() => {
            let hint =
                "Declare the store under `connections` of domain.yaml, and name it as `connection` of the source.";
            fields.findings().error_hinting("MW0164", text.span, "an S3 source names no connection", hint);
        }
        Scheme::Folder if files.connection.is_some() => {
            let message = "files of the domain's folder need no connection";
            fields.findings().error_hinting("MW0164", fields.span_of("connection"), message, "Remove it.");
        }
        _ => {}
    }
    Some(files)
}

/// Where the connection is named.
fn at(fields: &Fields<'_>, otherwise: Span) -> Span {
    fields.node("connection").map_or(otherwise, |node| node.span)
}

fn table_or_query(fields: &Fields<'_>, kind: &str) -> (Option<String>, Option<String>) {
    let (table, query) = (fields.text("table"), fields.text("query"));
    if table.is_some() == query.is_some() {
        let message = format!("a {kind} source has either a `table` or a `query`");
        fields.findings().error("MW0112", fields.at(), message);
    }
    for text in [table, query].into_iter().flatten() {
        refuse_template(fields.findings(), text);
    }
    let owned = |text: Option<Spanned<&str>>| text.map(|text| text.value.to_owned());
    (owned(table), owned(query))
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
