//! Modes of outputs: what `append` and `merge` need of the output, its contract and its inputs (D7).

use super::index::Index;
use super::inputs::{Inputs, Reads};
use super::outputs::Output;
use super::quarantine;
use super::report::Report;
use crate::Severity;
use crate::manifest::product::{InputManifest, OutputManifest};
use crate::product::{Incremental, Merge, MissingRows, Mode, SourceKind};
use crate::quality::Rule;
use crate::reader::{Spanned, shown};

pub(super) fn check(outputs: &[Output<'_>], inputs: &Inputs<'_>, index: &Index<'_>, report: &mut Report) {
    for output in outputs {
        quarantine::check(output, report);
        options(output, report);
        let mode = mode(output.at.manifest);
        if mode == Mode::Merge {
            key(output, report);
        }
        if mode.grows() {
            incremental(output, mode, inputs, index, report);
        }
    }
    ways(outputs, report);
}

pub(super) fn mode(manifest: &OutputManifest) -> Mode {
    manifest.mode.as_ref().map(|mode| mode.value).unwrap_or_default()
}

/// The manifest's words for the merge.
pub(super) fn merge(manifest: &OutputManifest) -> Merge {
    Merge {
        delete_when: manifest.delete_when.as_ref().map(|text| text.value.clone()),
        missing_rows: manifest.missing_rows.as_ref().map(|choice| choice.value).unwrap_or_default(),
        order_by: manifest.order_by.iter().map(|column| column.value.clone()).collect(),
    }
}

/// What only a merge has.
fn options(output: &Output<'_>, report: &mut Report) {
    let manifest = output.at.manifest;
    let mode = mode(manifest);
    if mode == Mode::Merge {
        return;
    }
    let given = [
        ("delete_when", manifest.delete_when.as_ref().map(|text| text.span)),
        ("missing_rows", manifest.missing_rows.as_ref().map(|choice| choice.span)),
        ("order_by", manifest.order_by.first().map(|column| column.span)),
    ];
    for (key, span) in given {
        let Some(span) = span else { continue };
        let message = format!("`{key}` has no effect with `mode: {}`", mode.as_str());
        report.error("MW0173", output.path(), span, message).hint("Remove it, or use `mode: merge` with a `key`.");
    }
}

/// A merge finds the row of a key, so there must be a key and none of its columns may be null.
fn key(output: &Output<'_>, report: &mut Report) {
    let manifest = output.at.manifest;
    if let (Some(mode), true) = (&manifest.mode, manifest.key.is_empty()) {
        let message = format!("the output `{}` has `mode: merge` and no `key`", output.at.name.value);
        report
            .error("MW0148", output.path(), mode.span, message)
            .hint("Add `key: [column]` with the columns that identify a row.");
    }
    for version in &output.versions {
        for key in &manifest.key {
            let gated = version.table.clauses.iter().any(|clause| {
                clause.severity == Severity::Error
                    && matches!(&clause.rule, Rule::Required { column } if *column == key.value)
            });
            if version.table.field(&key.value).is_some() && !gated {
                let message = format!(
                    "`{}` is in the key of a merge, and `{}` lets it be null",
                    shown(&key.value),
                    version.contract_path
                );
                let hint = format!("Declare it in the contract: `required: true` at `{}`.", shown(&key.value));
                report.error("MW0177", output.path(), key.span, message).hint(hint);
            }
        }
    }
}

/// The input by which a table grows.
fn incremental(output: &Output<'_>, mode: Mode, inputs: &Inputs<'_>, index: &Index<'_>, report: &mut Report) {
    let (path, product) = (output.path(), output.at.product_manifest);
    let Some(written) = &output.at.manifest.mode else { return };
    let declared: Vec<_> = product.inputs.iter().filter_map(|(name, input)| Some((name, input, way(input)?))).collect();
    if declared.is_empty() && product.inputs_complete {
        let message = format!(
            "the output `{}` has `mode: {}`, and no input says how to tell what is new in it",
            output.at.name.value,
            mode.as_str()
        );
        let hint = match product.inputs.first() {
            Some((name, InputManifest::Product(_))) => {
                format!("Add `incremental: publication` to the input `{}`.", name.value)
            }
            Some((name, InputManifest::Source(source))) if is_database(&source.source.value) => {
                format!(
                    "Add `incremental: cursor(column)` to the input `{}`, with a column that only rises.",
                    name.value
                )
            }
            Some((name, _)) => format!("Add `incremental: files` to the input `{}`.", name.value),
            None => "Add an input with `incremental: files`, `publication` or `cursor(column)`.".to_owned(),
        };
        report.error("MW0170", path, written.span, message).hint(hint);
    }
    for (name, _, way) in declared {
        if matches!(way.value, Incremental::Cursor(_))
            && merge(output.at.manifest).missing_rows == MissingRows::Delete
            && let Some(missing) = &output.at.manifest.missing_rows
        {
            let message = format!(
                "`missing_rows: delete` needs the whole input `{}`, of which `{}` reads new rows only",
                name.value, way.value
            );
            report
                .error("MW0175", path, missing.span, message)
                .hint("Use `delete_when`, or `mode: full`, which reads everything.");
        }
        if mode == Mode::Append
            && way.value == Incremental::Publication
            && let Some(Reads::Output { domain, product, output: upstream, .. }) =
                inputs.of(output.at.product, &name.value)
            && let Some(upstream_mode) = mode_of(index, domain, upstream.as_str())
            && upstream_mode.is_stored()
            && upstream_mode != Mode::Append
        {
            let message = format!(
                "`mode: append` cannot follow `{domain}.{product}`: its output `{upstream}` has `mode: {}`, which changes rows",
                upstream_mode.as_str()
            );
            report.error("MW0172", path, way.span, message).hint("Use `mode: merge` with a `key`, or `mode: full`.");
        }
    }
}

pub(super) fn mode_of(index: &Index<'_>, domain: &str, output: &str) -> Option<Mode> {
    index.outputs.iter().find(|((d, name), _)| *d == domain && *name == output).map(|(_, at)| mode(at.manifest))
}

pub(super) fn way(input: &InputManifest) -> Option<&Spanned<Incremental>> {
    match input {
        InputManifest::Source(source) => source.incremental.as_ref(),
        InputManifest::Product(product) => product.incremental.as_ref(),
    }
}

fn is_database(kind: &SourceKind) -> bool {
    kind.files().is_none() || matches!(kind, SourceKind::Sqlite { .. } | SourceKind::Delta { .. })
}

/// Each way fits its input, and some output of the product grows by it.
fn ways(outputs: &[Output<'_>], report: &mut Report) {
    let mut seen: Vec<&str> = Vec::new();
    for output in outputs {
        let path = output.path();
        if seen.contains(&path) {
            continue;
        }
        seen.push(path);
        let product = output.at.product_manifest;
        let grows = product.outputs.iter().any(|(_, output)| mode(output).grows());
        for (name, input) in &product.inputs {
            let Some(way) = way(input) else { continue };
            let fits = match (input, &way.value) {
                (InputManifest::Source(source), Incremental::Files) => !is_database(&source.source.value),
                (InputManifest::Source(_), Incremental::Publication) => false,
                (InputManifest::Product(_), Incremental::Files) => false,
                (_, Incremental::Publication | Incremental::Cursor(_)) => true,
            };
            if !fits {
                let (what, instead) = match input {
                    InputManifest::Product(_) => ("another product's output", "`publication` or `cursor(column)`"),
                    InputManifest::Source(source) if is_database(&source.source.value) => {
                        ("a table of a database", "`cursor(column)`")
                    }
                    InputManifest::Source(_) => ("files", "`files` or `cursor(column)`"),
                };
                let message =
                    format!("the input `{}` is {what}: `{}` cannot tell what is new in it", name.value, way.value);
                report.error("MW0171", path, way.span, message).hint(format!("Use {instead}."));
            }
            if !grows {
                let message =
                    format!("`incremental` of the input `{}` has no effect: every output has `mode: full`", name.value);
                report
                    .error("MW0174", path, way.span, message)
                    .hint("Remove it, or give an output `mode: append` or `mode: merge`.");
            }
        }
    }
}
