//! Outputs without data files of their own: what `view` and `external` need, and what means nothing for them.

use std::collections::BTreeMap;

use super::index::Index;
use super::inputs::{Inputs, Reads};
use super::modes::{mode, mode_of, way};
use super::outputs::Output;
use super::report::Report;
use crate::manifest::product::InputManifest;
use crate::product::{Incremental, Mode, OnViolation, Scheme, SourceKind};
use crate::publication::VIEW_DEPTH;

pub(super) fn check(outputs: &[Output<'_>], inputs: &Inputs<'_>, index: &Index<'_>, report: &mut Report) {
    for output in outputs {
        match mode(output.at.manifest) {
            Mode::View => view(output, report),
            Mode::External => external(output, report),
            Mode::Full | Mode::Append | Mode::Merge => {}
        }
    }
    let mut seen: Vec<&str> = Vec::new();
    for output in outputs {
        if !seen.contains(&output.path()) {
            seen.push(output.path());
            followed(output, inputs, index, report);
        }
    }
    depth(outputs, inputs, index, report);
}

fn view(output: &Output<'_>, report: &mut Report) {
    meaningless(output, report);
    let product = output.at.product_manifest;
    let is_product = |input: &InputManifest| matches!(input, InputManifest::Product(_));
    if product.inputs_complete && !product.inputs.iter().any(|(_, input)| is_product(input)) {
        let message =
            format!("the output `{}` has `mode: view`, and the product reads no other product", named(output));
        let hint =
            "Add an input `{ product: domain.product, version: 1 }`, or use `mode: full`, which may read sources.";
        report.error("MW0183", output.path(), at_mode(output), message).hint(hint);
        return;
    }
    // A source that the SQL names is found where the SQL is read; without SQL it is the only input.
    let default = output.versions.iter().any(|version| version.sql_path.is_none());
    if let ([(name, input)], true) = (product.inputs.as_slice(), default)
        && !is_product(input)
    {
        let message = format!("the view `{}` would read the source `{}`", named(output), name.value);
        report
            .error("MW0183", output.path(), at_mode(output), message)
            .hint("Use `mode: full`, or `mode: external` for Delta and Parquet.");
    }
}

fn external(output: &Output<'_>, report: &mut Report) {
    meaningless(output, report);
    let (manifest, product) = (output.at.manifest, output.at.product_manifest);
    let written = manifest.sql.iter().chain(manifest.versions.iter().filter_map(|(_, version)| version.sql.as_ref()));
    for sql in written {
        let message = format!("the external table `{}` has `sql`", named(output));
        report
            .error("MW0186", output.path(), sql.span, message)
            .hint("Remove it: columns are found by their names, or by `physicalName` of the contract.");
    }
    // Several inputs, or none, are found where the default query is made.
    let [(name, input)] = product.inputs.as_slice() else { return };
    let refused = match input {
        InputManifest::Product(_) => Some("another product's output".to_owned()),
        InputManifest::Source(source) => match &source.source.value {
            SourceKind::Delta { files, .. } | SourceKind::Parquet { files } => {
                (files.scheme() == Scheme::Http).then(|| "behind a web server".to_owned())
            }
            other => Some(format!("a source of type `{}`", other.word())),
        },
    };
    if let Some(what) = refused {
        let message = format!("`{}` cannot be registered: the input `{}` is {what}", named(output), name.value);
        report.error("MW0185", output.path(), at_mode(output), message).hint(
            "Name a source of type `delta` or `parquet` in the domain's folder or in a bucket, or use `mode: full`.",
        );
    }
}

/// Keys of the output that could have no effect.
fn meaningless(output: &Output<'_>, report: &mut Report) {
    let manifest = output.at.manifest;
    let quarantines = manifest.on_violation.as_ref().filter(|choice| choice.value == OnViolation::Quarantine);
    let given = [
        ("key", manifest.key.first().map(|column| column.span)),
        ("on_violation: quarantine", quarantines.map(|choice| choice.span)),
    ];
    for (what, span) in given {
        let Some(span) = span else { continue };
        let message = format!("`{what}` means nothing with `mode: {}`", mode(manifest).as_str());
        report
            .error("MW0184", output.path(), span, message)
            .hint("Remove it: nothing is stored, so nothing is merged or put aside.");
    }
}

/// No input of the product follows the data files of a table that has none.
fn followed(output: &Output<'_>, inputs: &Inputs<'_>, index: &Index<'_>, report: &mut Report) {
    for (name, input) in &output.at.product_manifest.inputs {
        let Some(way) = way(input).filter(|way| way.value == Incremental::Publication) else { continue };
        if let Some(Reads::Output { domain, output: upstream, .. }) = inputs.of(output.at.product, &name.value)
            && let Some(mode) = mode_of(index, domain, upstream.as_str()).filter(|mode| !mode.is_stored())
        {
            let message = format!(
                "the input `{}` cannot be followed by its publications: `{domain}.{upstream}` has `mode: {}`",
                name.value,
                mode.as_str()
            );
            report
                .error("MW0187", output.path(), way.span, message)
                .hint("Use `incremental: cursor(column)`, or `mode: full` and no `incremental`.");
        }
    }
}

/// Views over views are answered all at once.
fn depth(outputs: &[Output<'_>], inputs: &Inputs<'_>, index: &Index<'_>, report: &mut Report) {
    let views: Vec<&Output<'_>> = outputs.iter().filter(|output| mode(output.at.manifest) == Mode::View).collect();
    let mut depths: BTreeMap<(&str, &str), usize> =
        views.iter().map(|view| ((view.domain, view.at.name.value.as_str()), 1)).collect();
    // Each round settles the views that are one step further from the tables; circles are reported elsewhere.
    for _ in 0..=VIEW_DEPTH {
        for view in &views {
            let below = view.at.product_manifest.inputs.iter().filter_map(|(name, _)| {
                let Some(Reads::Output { domain, output, .. }) = inputs.of(view.at.product, &name.value) else {
                    return None;
                };
                mode_of(index, domain, output.as_str()).filter(|mode| *mode == Mode::View)?;
                depths.get(&(*domain, output.as_str())).copied()
            });
            let deepest = below.max().unwrap_or(0);
            depths.insert((view.domain, view.at.name.value.as_str()), deepest + 1);
        }
    }
    for view in views {
        let depth = depths[&(view.domain, view.at.name.value.as_str())];
        // The first one that is too deep: what stands on it would only say the same again.
        if depth == VIEW_DEPTH + 1 {
            let message = format!("`{}` is the {depth}th view over views", named(view));
            let hint = format!("At most {VIEW_DEPTH} may stand one over another: make one of them `mode: full`.");
            report.error("MW0188", view.path(), at_mode(view), message).hint(hint);
        }
    }
}

fn named(output: &Output<'_>) -> String {
    format!("{}.{}", output.domain, output.at.name.value)
}

fn at_mode(output: &Output<'_>) -> crate::yaml::Span {
    output.at.manifest.mode.as_ref().map_or(output.at.name.span, |mode| mode.span)
}

#[cfg(test)]
mod tests {
    use super::super::{Files, check};

    /// One stored product `p0` over files, then products `p1`, `p2`, … of these modes, each over the one before.
    fn chain(modes: &[&str], source: &str) -> Files {
        let mut files = Files::from([
            ("mesh.yaml".to_owned(), "name: acme\n".to_owned()),
            ("domains/d/domain.yaml".to_owned(), "domain: d\nowner: d_team\n".to_owned()),
        ]);
        for (at, mode) in modes.iter().enumerate() {
            let input = match at {
                0 => source.to_owned(),
                at => format!("{{ product: d.p{}, version: 1 }}", at - 1),
            };
            files.insert(
                format!("domains/d/p{at}/product.yaml"),
                format!(
                    "product: p{at}\nversion: 1.0.0\nstatus: active\ninputs:\n  below: {input}\noutputs:\n  \
                     o{at}: {{ contract: c.yaml, mode: {mode} }}\n"
                ),
            );
            let contract = "schema: c\nversion: 1.0.0\nowner: d\nfields:\n  - { name: a, type: string }\n";
            files.insert(format!("domains/d/p{at}/c.yaml"), contract.to_owned());
        }
        files
    }

    fn found(modes: &[&str], source: &str) -> Vec<String> {
        let found = check(&chain(modes, source)).diagnostics;
        found.into_iter().map(|d| format!("{} {}", d.code, d.place.path.replace("domains/d/", ""))).collect()
    }

    const CSV: &str = "{ source: { type: csv, path: a.csv } }";
    const DELTA: &str = "{ source: { type: delta, path: a } }";

    #[test]
    fn views_stand_over_products_and_external_tables_over_delta_and_parquet() {
        let none: [&str; 0] = [];
        assert_eq!(found(&["full", "view", "view", "full"], CSV), none);
        assert_eq!(found(&["external", "view"], DELTA), none);
        assert_eq!(found(&["external"], "{ source: { type: parquet, path: 'a/**/*.parquet' } }"), none);
        assert_eq!(found(&["view"], CSV), ["MW0183 p0/product.yaml"]);
        assert_eq!(found(&["external"], CSV), ["MW0185 p0/product.yaml"]);
        let web = "{ source: { type: parquet, path: 'https://example.org/a.parquet' } }";
        assert_eq!(found(&["external"], web), ["MW0185 p0/product.yaml"]);
        assert_eq!(found(&["full", "external"], CSV), ["MW0185 p1/product.yaml"]);
    }

    #[test]
    fn nothing_follows_files_that_are_not_there() {
        for mode in ["view", "external"] {
            let mut files = chain(&["full", mode, "append"], if mode == "view" { CSV } else { DELTA });
            if mode == "external" {
                files = chain(&["external", "append"], DELTA);
            }
            let last = format!("domains/d/p{}/product.yaml", if mode == "view" { 2 } else { 1 });
            let text = files[&last].replace("version: 1 }", "version: 1, incremental: publication }");
            files.insert(last.clone(), text);
            let codes: Vec<String> = check(&files).diagnostics.into_iter().map(|d| d.code).collect();
            assert_eq!(codes, ["MW0187"], "{mode}");
        }
    }

    #[test]
    fn views_over_views_end_somewhere() {
        let mut modes = vec!["full"];
        modes.extend(["view"; 8]);
        assert!(found(&modes, CSV).is_empty());
        modes.extend(["view"; 3]);
        assert_eq!(found(&modes, CSV), ["MW0188 p9/product.yaml"]);
    }
}
