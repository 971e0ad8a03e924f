//! States what the binary is built on and from, for `meshwork version -v`.

use std::path::Path;

const ENGINES: [&str; 9] = [
    "datafusion",
    "arrow",
    "parquet",
    "deltalake-core",
    "object_store",
    "cedar-policy",
    "sqlx",
    "libsqlite3-sys",
    "pgwire",
];

#[allow(clippy::disallowed_methods, reason = "cargo talks to build scripts by the environment")]
fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let lock = Path::new(&folder).join("../../Cargo.lock");
    let text = std::fs::read_to_string(&lock).expect("the lock file is part of the source");
    let version = |name: &str| {
        let entry =
            text.split(&format!("\nname = \"{name}\"\nversion = \"")).nth(1).and_then(|rest| rest.split('"').next());
        entry.map(|version| format!("{name} {version}"))
    };
    let engines: Vec<String> = ENGINES.iter().filter_map(|name| version(name)).collect();
    println!("cargo:rerun-if-changed={}", lock.display());
    println!("cargo:rustc-env=MESHWORK_ENGINES={}", engines.join(";"));
    // Given by whoever packages, so that two builds of one source are the same.
    for name in ["MESHWORK_COMMIT", "MESHWORK_DATE"] {
        println!("cargo:rerun-if-env-changed={name}");
        println!("cargo:rustc-env={name}={}", std::env::var(name).unwrap_or_default());
    }
}
