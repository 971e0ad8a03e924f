//! Tables in a bucket that grow, whatever stops a run.

use std::collections::BTreeSet;

use super::Lake;
use crate::mesh::PRODUCT;
use crate::modes::{orders, put, to_grow};

const OWN: [&str; 4] = ["run.verdict_stored", "run.commit_ended", "run.committed", "run.published"];

/// Killed at every step: readers see the old rows or the new ones, the next run takes each file up once, and a collection
/// leaves nothing that no version names.
fn killed(mode: &str, child: &[&str]) {
    let lake = Lake::of(to_grow(mode));
    let mesh = &lake.mesh;
    mesh.ok(&["apply"]);
    mesh.ok(&["run", PRODUCT]);
    let own = OWN.iter().map(|step| ("MESHWORK_FAULT", *step));
    let steps = own.chain(child.iter().map(|step| ("MESHWORK_RUN_FAULT", *step)));
    let mut old = orders(mesh);
    for (at, (variable, step)) in steps.enumerate() {
        let (file, order) = (at + 1, at + 10);
        let mut new = old.clone();
        if mode == "merge" {
            // It also replaces an order of the first file.
            new[0] = (1, file);
            put(mesh, file, &[1, order]);
        } else {
            put(mesh, file, &[order]);
        }
        new.push((order, file));
        mesh.with_env(&[(variable, step)], &["run", PRODUCT]);
        let served = orders(mesh);
        assert!(served == old || served == new, "{mode}, {step}: {served:?} is served");
        mesh.ok(&["run", PRODUCT]);
        assert_eq!(orders(mesh), new, "{mode}, {step}");
        mesh.ok(&["collect"]);
        assert_eq!(lake.orphans(), BTreeSet::new(), "{mode}, {step}");
        old = new;
    }
    assert!(!mesh.path().join("data").exists(), "nothing lies in the mesh's own folder");
}

#[test]
fn killed_at_every_step_while_appending() {
    killed("append", &["after-first-file", "after-stage", "before-commit", "after-commit"]);
}

#[test]
fn killed_at_every_step_while_merging() {
    killed("merge", &["after-first-file", "after-merge", "after-stage", "before-commit", "after-commit"]);
}
