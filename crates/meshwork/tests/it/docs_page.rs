//! The API's page in a real browser; what is checked stands in `tests/browser/docs.cjs`.

use std::path::Path;
use std::process::Command;

use crate::mesh::{Mesh, cache};

#[test]
fn the_docs_page_works_and_is_accessible() {
    let browser = cache().join("browser");
    assert!(browser.join("ready").exists(), "playwright is not installed, and this test needs it: scripts/browser");
    let mesh = Mesh::published();
    let server = mesh.serve();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/docs.cjs");
    let mut node = Command::new("node");
    node.arg(script).args([&server.http, &server.token]).env("NODE_PATH", browser.join("node_modules"));
    let output = node.output().expect("node");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
