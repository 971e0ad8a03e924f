//! Which agreement is in force (D16): exactly one, chosen by purpose. Several are never added together.

use std::collections::BTreeSet;

use crate::agreement::Agreement;
use crate::effect::Timestamp;
use crate::error::{Error, Result};
use crate::principal::{Grantee, Subject};

/// The live agreements of this subject among `agreements` (all of one output).
pub(super) fn live<'a>(subject: &Subject, agreements: &'a [Agreement], now: Timestamp) -> Vec<&'a Agreement> {
    agreements.iter().filter(|a| a.is_live(now) && a.grantee.covers(subject)).collect()
}

/// `at_home` says that the subject may read without any agreement, as a member of the owner's domain; then a purpose that
/// none of its agreements has, or a choice it did not make, leaves it with just that.
pub(super) fn in_force<'a>(
    table: &str,
    wanted: Option<&str>,
    live: &[&'a Agreement],
    at_home: bool,
) -> Result<Option<&'a Agreement>> {
    let purposes: BTreeSet<&str> = live.iter().map(|a| a.purpose.as_str()).collect();
    let list = || purposes.iter().map(|p| format!("`{p}`")).collect::<Vec<_>>().join(", ");
    let purpose = match (wanted, purposes.len()) {
        (_, 0) => return Ok(None),
        (None, 1) => purposes.first().copied().unwrap_or_default(),
        (Some(wanted), _) if purposes.contains(wanted) => wanted,
        _ if at_home => return Ok(None),
        (Some(wanted), _) => {
            return Err(Error::forbidden("MW0703", format!("no agreement on {table} is for the purpose `{wanted}`"))
                .hint(format!("you may read {table} for: {}", list())));
        }
        (None, _) => {
            return Err(Error::usage(
                "MW0704",
                format!("several agreements on {table}: say for which purpose you read it"),
            )
            .hint(format!("the purposes are: {}", list()))
            .hint("choose one with `--purpose`, the header `Meshwork-Purpose`, or `SET meshwork.purpose = '…'`"));
        }
    };
    Ok(live.iter().copied().filter(|a| a.purpose == purpose).max_by_key(|a| rank(a)))
}

/// Of several agreements for one purpose: the lowest major (D3), then the one made out to the reader itself rather than
/// to a team, then the newest.
fn rank(agreement: &Agreement) -> impl Ord + use<> {
    let personal = !matches!(agreement.grantee, Grantee::Team(_));
    (std::cmp::Reverse(agreement.major), personal, agreement.granted_at, agreement.id.clone())
}
