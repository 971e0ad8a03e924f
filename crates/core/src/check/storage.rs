//! Storage roots lie apart (D27): a domain must not be able to write where another's tables are.

use super::declared::{Declared, MESH};
use super::report::Report;
use crate::manifest::mesh::DEFAULT_STORAGE;
use crate::yaml::Span;

struct Root<'d> {
    parts: Vec<&'d str>,
    text: &'d str,
    whose: String,
    path: &'d str,
    span: Span,
}

pub(super) fn check(declared: &Declared, report: &mut Report) {
    let mesh = declared.mesh.iter().map(|mesh| {
        let (text, span) = mesh
            .storage
            .as_ref()
            .map_or((DEFAULT_STORAGE, mesh.name.span), |storage| (storage.value.as_str(), storage.span));
        Root { parts: parts(text), text, whose: "the mesh".to_owned(), path: MESH, span }
    });
    let domains = declared.domains.iter().filter_map(|domain| {
        let manifest = domain.manifest.as_ref()?;
        let storage = manifest.storage.as_ref()?;
        Some(Root {
            parts: parts(&storage.value),
            text: &storage.value,
            whose: format!("the domain `{}`", manifest.domain.value),
            path: &domain.path,
            span: storage.span,
        })
    });
    let roots: Vec<Root<'_>> = mesh.chain(domains).collect();
    for (at, root) in roots.iter().enumerate() {
        if let Some(other) = roots[..at].iter().find(|other| overlap(&other.parts, &root.parts)) {
            let message = format!("the storage root `{}` overlaps with `{}` of {}", root.text, other.text, other.whose);
            report
                .error("MW0132", root.path, root.span, message)
                .hint("Give each its own folder, none inside another; or leave `storage` out to use the mesh's.");
        }
    }
}

/// `file:///data` and `/data` are the same; a relative folder starts at the mesh folder, whose own path is not known here.
fn parts(text: &str) -> Vec<&str> {
    let path = text.strip_prefix("file://").unwrap_or(text);
    let absolute = path.starts_with('/').then_some("/");
    absolute.into_iter().chain(path.split('/').filter(|part| !matches!(*part, "" | "."))).collect()
}

fn overlap(a: &[&str], b: &[&str]) -> bool {
    a.iter().zip(b).all(|(a, b)| a == b)
}
