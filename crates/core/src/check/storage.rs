//! Storage roots lie apart (D27): a domain must not be able to write where another's tables are. Those on other machines
//! are where the mesh lets connections go.

use super::declared::{Declared, MESH};
use super::report::Report;
use crate::egress::Egress;
use crate::manifest::mesh::DEFAULT_STORAGE;
use crate::mesh::Connection;
use crate::storage::Storage;
use crate::yaml::Span;

struct Root<'d> {
    storage: Storage,
    whose: String,
    path: &'d str,
    span: Span,
}

pub(super) fn check(declared: &Declared, report: &mut Report) {
    let mesh = declared.mesh.iter().map(|mesh| {
        let (storage, span) = match &mesh.storage {
            Some(storage) => (storage.value.clone(), storage.span),
            None => (DEFAULT_STORAGE.into(), mesh.name.span),
        };
        Root { storage, whose: "the mesh".to_owned(), path: MESH, span }
    });
    let domains = declared.domains.iter().filter_map(|domain| {
        let manifest = domain.manifest.as_ref()?;
        let storage = manifest.storage.as_ref()?;
        let whose = format!("the domain `{}`", manifest.domain.value);
        Some(Root { storage: storage.value.clone(), whose, path: &domain.path, span: storage.span })
    });
    let roots: Vec<Root<'_>> = mesh.chain(domains).collect();
    for (at, root) in roots.iter().enumerate() {
        if let Some(other) = roots[..at].iter().find(|other| overlap(&other.storage, &root.storage)) {
            let (text, other_text) = (root.storage.as_str(), other.storage.as_str());
            let message = format!("the storage root `{text}` overlaps with `{other_text}` of {}", other.whose);
            report.error("MW0132", root.path, root.span, message).hint(match root.storage {
                Storage::Folder(_) => {
                    "Give each its own folder, none inside another; or leave `storage` out to use the mesh's."
                }
                Storage::S3(_) => {
                    "Give each its own prefix, none inside another. Their `endpoint` does not count: two may lead to one store."
                }
            });
        }
    }
    let egress = Egress(declared.mesh.as_ref().and_then(|mesh| mesh.egress.clone()));
    for root in &roots {
        let Some(store) = root.storage.as_s3() else { continue };
        if let Some((host, port)) = Connection::S3(store.connection.clone()).destination()
            && !egress.host(&host, port)
        {
            let message = format!("`{host}:{port}` is not in the mesh's `egress`");
            let hint = "The mesh's owners list in mesh.yaml which hosts may be connected to.";
            report.error("MW0165", root.path, root.span, message).hint(hint);
        }
    }
}

fn overlap(a: &Storage, b: &Storage) -> bool {
    a.parts().iter().zip(b.parts()).all(|(a, b)| *a == b)
}
