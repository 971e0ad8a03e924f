//! Output ports: what a contract's change means for readers, and how far versions must rise for it (D2).

use semver::Version;

use crate::contract::compare::{Bump, Level, compare};
use crate::product::{Output, OutputVersion, Product};

use super::Detail;
use super::identity::predecessor;

/// Within one major.
pub(super) fn changes(old: &OutputVersion, new: &OutputVersion) -> Vec<Detail> {
    let found = compare(&old.contract, &new.contract);
    let mut details: Vec<Detail> = found
        .into_iter()
        .map(|change| Detail {
            text: format!("{}: {}", change.path, change.what),
            column: change.column,
            breaking: change.level == Level::Breaking,
        })
        .collect();
    if details.is_empty() && old.contract.text != new.contract.text {
        let text = "the contract's file is changed, but nothing that it says".to_owned();
        details.push(Detail { text, column: None, breaking: false });
    }
    details
}

/// The largest rise among a product's ports, with the port that needs it.
pub(super) fn largest_rise(old: &Product, new: &Product) -> (Bump, String) {
    let mut largest = (Bump::None, String::new());
    let mut consider = |bump: Bump, port: String| {
        if bump > largest.0 {
            largest = (bump, port);
        }
    };
    let mut continued = Vec::new();
    for output in new.outputs.values() {
        match predecessor(&old.outputs, &new.outputs, &output.name, output.renamed_from.as_ref()) {
            None => consider(Bump::Minor, format!("output `{}` is new", output.name)),
            Some(former) => {
                continued.push(&former.name);
                consider(rise_of(former, output), format!("output `{}`", output.name));
            }
        }
    }
    for gone in old.outputs.keys().filter(|name| !continued.contains(name)) {
        consider(Bump::Major, format!("output `{gone}` is gone"));
    }
    largest
}

fn rise_of(old: &Output, new: &Output) -> Bump {
    let renamed = if old.name == new.name { Bump::None } else { Bump::Major };
    let gone = old.versions.keys().any(|major| !new.versions.contains_key(major));
    let versions = new.versions.iter().map(|(major, version)| match old.versions.get(major) {
        Some(before) => rise(&before.contract.version, &version.contract.version),
        None => Bump::Major,
    });
    let removed = if gone { Bump::Major } else { Bump::None };
    versions.chain([renamed, removed]).max().unwrap_or(Bump::None)
}

/// How far one version is above another.
pub(super) fn rise(old: &Version, new: &Version) -> Bump {
    if new <= old {
        Bump::None
    } else if new.major > old.major {
        Bump::Major
    } else if new.minor > old.minor {
        Bump::Minor
    } else {
        Bump::Patch
    }
}
