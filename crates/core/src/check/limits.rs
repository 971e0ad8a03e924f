//! A product's runs stay within what the mesh allows every run.

use super::declared::Declared;
use super::report::Report;

pub(super) fn check(declared: &Declared, report: &mut Report) {
    let Some(ceiling) = declared.mesh.as_ref().map(|mesh| mesh.limits.run.limits()) else { return };
    for product in declared.domains.iter().flat_map(|domain| &domain.products) {
        let Some(manifest) = &product.manifest else { continue };
        for (key, here, there) in manifest.limits.limits().above(&ceiling) {
            let span = manifest.limits.get(key).map_or(manifest.product.span, |limit| limit.span);
            let (here, there) = (key.shown(here), key.shown(there));
            let message =
                format!("`{}` may not raise {key} to {here}: the mesh allows {there}", manifest.product.value);
            report
                .error("MW0189", &product.path, span, message)
                .hint(format!("Lower it, or raise `limits.run.{key}` of mesh.yaml."));
        }
    }
}
