//! Keys, row filters and masks name columns of the output that can bear them.

use std::collections::BTreeSet;

use super::classifications::Classifications;
use super::literal::{misfit, name};
use super::outputs::{Output, Version};
use super::report::Report;
use crate::contract::{Field, Table};
use crate::filter::Comparison;
use crate::manifest::row_filter::PredicateManifest;
use crate::reader::shown;
use crate::types::ColumnType;

pub(super) fn check(outputs: &[Output<'_>], classifications: &Classifications, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for output in outputs {
        keys(output, report);
        filters(output, report);
        for version in &output.versions {
            if seen.insert((version.contract_path.as_str(), version.table.name.as_str())) {
                masks(version, classifications, report);
            }
        }
    }
}

fn columns(table: &Table) -> Vec<&str> {
    table.fields.iter().map(|field| field.name.as_str()).collect()
}

fn keys(output: &Output<'_>, report: &mut Report) {
    let mut before: Vec<&str> = Vec::new();
    for key in &output.at.manifest.key {
        if before.contains(&key.value.as_str()) {
            let message = format!("`{}` stands twice in the key", shown(&key.value));
            report.error("MW0147", output.path(), key.span, message).hint("Remove one of the two.");
            continue;
        }
        before.push(&key.value);
        for version in &output.versions {
            if version.table.field(&key.value).is_none() {
                let message = format!("the contract of `{}` has no field `{}`", of(output, version), shown(&key.value));
                report.error("MW0147", output.path(), key.span, message).meant(&key.value, columns(version.table));
            }
        }
    }
}

/// The output, with its major where it has several.
fn of(output: &Output<'_>, version: &Version<'_>) -> String {
    match output.versions.len() {
        1 => output.at.name.value.to_string(),
        _ => format!("{}_v{}", output.at.name.value, version.major),
    }
}

fn filters(output: &Output<'_>, report: &mut Report) {
    let mut names = BTreeSet::new();
    for filter in &output.at.manifest.row_filters {
        if !names.insert(filter.name.value.as_str()) {
            let message = format!("the row filter `{}` stands twice", filter.name.value);
            report.error("MW0135", output.path(), filter.name.span, message).hint("Give one of the two another name.");
        }
        for predicate in &filter.predicates {
            for version in &output.versions {
                predicate_on(output, version, predicate, report);
            }
        }
    }
}

fn predicate_on(output: &Output<'_>, version: &Version<'_>, predicate: &PredicateManifest, report: &mut Report) {
    let path = output.path();
    let column = &predicate.column;
    let Some(field) = version.table.field(&column.value) else {
        let message = format!("the contract of `{}` has no field `{}`", of(output, version), shown(&column.value));
        report.error("MW0133", path, column.span, message).meant(&column.value, columns(version.table));
        return;
    };
    let null_test = matches!(predicate.op.value, Comparison::IsNull | Comparison::IsNotNull);
    if !null_test && matches!(field.native, ColumnType::Binary | ColumnType::List(_) | ColumnType::Struct(_)) {
        let message = format!("a column of type {} cannot be compared", name(&field.native));
        report.error("MW0134", path, column.span, message).hint("Filter by another column, or by `is_null`.");
        return;
    }
    for literal in predicate.literals() {
        if let Some(wanted) = misfit(&literal.value, &field.native) {
            let message =
                format!("`{}` is {}: it compares with {wanted}", shown(&column.value), article(&field.native));
            report.error("MW0134", path, literal.span, message);
        }
    }
}

fn article(ty: &ColumnType) -> String {
    let name = name(ty);
    if name.starts_with(['a', 'e', 'i', 'o', 'u']) { format!("an {name}") } else { format!("a {name}") }
}

fn masks(version: &Version<'_>, classifications: &Classifications, report: &mut Report) {
    for field in &version.table.fields {
        for classification in &field.classifications {
            classified(version, field, classification, classifications, report);
        }
    }
}

fn classified(
    version: &Version<'_>,
    field: &Field,
    classification: &str,
    known: &Classifications,
    report: &mut Report,
) {
    let place = field.place.clone().unwrap_or_else(|| super::report::START.place(&version.contract_path));
    let Some(found) = known.find(classification) else {
        if known.complete {
            let message = format!("`{}` has an unknown classification `{classification}`", shown(&field.name));
            report
                .error_at("MW0152", place, message)
                .meant(classification, known.names())
                .hint(format!("Classifications stand in {}.", super::declared::CLASSIFICATIONS));
        }
        return;
    };
    let mask = found.mask_for(&field.native);
    if !mask.applies_to(&field.native) {
        let message = format!(
            "`{}` is {} and `{classification}`: the mask `{}` does not apply to this type",
            shown(&field.name),
            article(&field.native),
            super::classifications::mask_name(mask),
        );
        let family = super::classifications::family_name(&field.native);
        report.error_at("MW0153", place, message).hint(format!(
            "Give `{classification}` a mask for the type: `by_type: {{ {family}: replace-with-null }}`."
        ));
    }
}
