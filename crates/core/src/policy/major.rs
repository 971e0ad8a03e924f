//! What `domain.output` means (D3).

use std::collections::BTreeSet;

use crate::agreement::Agreement;
use crate::effect::Timestamp;
use crate::error::{Error, Result};
use crate::product::Output;

/// The major that a table name stands for, for one reader.
///
/// `named` is the major of `domain.output_vN`. Else the agreement in force pins it, and the owner's domain reads the
/// newest that is published (or, before the first publication, the newest declared).
pub(super) fn resolve(
    table: &str,
    output: &Output,
    named: Option<u32>,
    agreement: Option<&Agreement>,
    published: &BTreeSet<u32>,
    now: Timestamp,
) -> Result<u32> {
    let newest = output.newest().map(|(major, _)| major).unwrap_or_default();
    let (major, pinned) = match (named, agreement) {
        (Some(major), _) => (major, false),
        (None, Some(agreement)) => (agreement.major, true),
        (None, None) => {
            (output.versions.keys().rev().find(|m| published.contains(m)).copied().unwrap_or(newest), false)
        }
    };
    let Some(version) = output.versions.get(&major) else {
        return Err(Error::conflict("MW0708", format!("version {major} of {table} is no longer served"))
            .hint(format!("read {table}_v{newest}, or ask the owner to move your agreement to version {newest}")));
    };
    if let Some(sunset) = version.sunset
        && pinned
        && major != newest
        && now.date_naive() > sunset
    {
        return Err(Error::conflict(
            "MW0708",
            format!("your agreement pins version {major} of {table}, whose sunset was {sunset}"),
        )
        .hint(format!("read {table}_v{newest}, or ask the owner to move your agreement to version {newest}")));
    }
    Ok(major)
}
