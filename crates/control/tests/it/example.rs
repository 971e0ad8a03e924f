//! The example mesh, as it is checked out, through a real state.

use std::path::Path;

use meshwork_control::check::{check, check_files};
use meshwork_control::mesh::MeshReader;
use meshwork_core::check::Files;
use meshwork_core::mesh::Mesh;
use meshwork_core::plan::Change;
use meshwork_core::principal::Subject;

use crate::platform::{Platform, platform};

const CUSTOMERS: &str = "domains/customers/customers/customers.contract.yaml";

/// The example's files, and the mesh that they declare.
fn acme() -> (Files, Mesh) {
    let report = check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/acme"), None);
    let mesh = report.mesh.unwrap_or_else(|| panic!("the example passes check: {:?}", report.diagnostics));
    (report.files, mesh)
}

fn edited(files: &Files, path: &str, from: &str, to: &str) -> Mesh {
    let mut files = files.clone();
    let text = files.get_mut(path).expect("the file is there");
    assert!(text.contains(from), "{path} holds {from:?}");
    *text = text.replacen(from, to, 1);
    let report = check_files(files, None);
    report.mesh.unwrap_or_else(|| panic!("still passes check: {:?}", report.diagnostics))
}

async fn applied() -> (Platform, Files, Mesh) {
    let platform = platform().await;
    let (files, mesh) = acme();
    let owner = Subject::owner(None);
    platform.mesh.apply(&owner, &owner, &mesh, 0, false).await.expect("applied");
    (platform, files, mesh)
}

async fn planned(platform: &Platform, mesh: &Mesh) -> (Vec<Change>, Vec<String>) {
    let plan = platform.mesh.plan(&Subject::owner(None), mesh, false).await.expect("planned").plan;
    (plan.changes, plan.problems.into_iter().map(|problem| problem.code).collect())
}

#[tokio::test]
async fn what_the_state_gives_back_is_what_was_applied() {
    let (platform, _, mesh) = applied().await;
    // Read from the file again, not from what this process remembers.
    let stored = MeshReader::new(std::sync::Arc::new(platform.state.clone())).applied().await.expect("read");
    assert_eq!(stored.mesh.as_ref().expect("applied").domains.len(), mesh.domains.len());
    assert_eq!(planned(&platform, &mesh).await, (vec![], vec![]));
}

#[tokio::test]
async fn a_comment_in_a_contract_is_kept_and_asks_for_no_version() {
    let (platform, files, _) = applied().await;
    let (changes, problems) = planned(&platform, &edited(&files, CUSTOMERS, "kind:", "# ours\nkind:")).await;
    assert_eq!(problems, [""; 0]);
    let [change] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!(change.name, "customers.customers v1");
    assert_eq!(change.details[0].text, "the contract's file is changed, but nothing that it says");
}

#[tokio::test]
async fn a_column_that_goes_breaks_the_product_that_names_it() {
    let (platform, files, _) = applied().await;
    let without = edited(&files, CUSTOMERS, "- name: email", "- name: mail");
    let (changes, problems) = planned(&platform, &without).await;
    assert_eq!(problems, ["MW0303"]);
    let change = changes.iter().find(|change| change.name == "customers.customers v1").expect("changed");
    assert!(change.details.iter().any(|detail| detail.breaking && detail.column.as_deref() == Some("email")));
    let affected =
        change.affects.iter().find(|one| one.consumer == "product:analytics.customer_360").expect("a reader");
    assert_eq!(affected.columns, ["email"]);
}
