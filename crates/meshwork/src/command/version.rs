//! `meshwork version`

use meshwork_core::error::Result;
use serde_json::{Map, Value, json};

use super::Context;
use crate::exit;

/// `name version` of what this binary is built on, as its lock file says; see `build.rs`.
const ENGINES: &str = env!("MESHWORK_ENGINES");
/// Of the source, and of the build; empty where they were not stated.
const COMMIT: &str = env!("MESHWORK_COMMIT");
const DATE: &str = env!("MESHWORK_DATE");

pub fn run(context: &Context) -> Result<u8> {
    let printer = &context.printer;
    match (printer.is_for_people(), context.config.verbose > 0) {
        (true, verbose) => printer.raw(&text(verbose)),
        (false, verbose) => printer.item(&document(verbose)),
    }
    Ok(exit::OK)
}

/// Also for `--version -v`.
pub fn text(verbose: bool) -> String {
    let mut text = format!("meshwork {}\n", env!("CARGO_PKG_VERSION"));
    if verbose {
        let stated = [("commit", COMMIT), ("built", DATE)].into_iter().filter(|(_, value)| !value.is_empty());
        let width = engines().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in stated.chain(engines()) {
            text += &format!("{name:<width$}  {value}\n");
        }
    }
    text
}

fn document(verbose: bool) -> Value {
    let mut document = json!({"name": "meshwork", "version": env!("CARGO_PKG_VERSION")});
    if verbose {
        let engines: Map<String, Value> = engines().map(|(name, version)| (name.to_owned(), version.into())).collect();
        let stated = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
        document["commit"] = stated(COMMIT);
        document["built"] = stated(DATE);
        document["engines"] = Value::Object(engines);
    }
    document
}

fn engines() -> impl Iterator<Item = (&'static str, &'static str)> {
    ENGINES.split(';').filter_map(|pair| pair.split_once(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_those_of_the_lock_file() {
        let lock = include_str!("../../../../Cargo.lock");
        assert_eq!(engines().count(), 9);
        for (name, version) in engines() {
            assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n")), "{name} {version}");
        }
    }
}
