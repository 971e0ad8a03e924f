//! The only place where a [`Kind`] becomes an exit code.

use meshwork_core::error::Kind;

pub const OK: u8 = 0;
/// `plan --detailed-exitcode`: there are changes. The same number as a check that did not hold, on purpose: in both cases
/// something is to be done.
pub const CHANGES: u8 = 1;

pub fn code(kind: Kind) -> u8 {
    match kind {
        Kind::Check => 1,
        Kind::Usage => 2,
        Kind::Environment | Kind::Limit | Kind::Internal => 3,
        Kind::Unauthenticated | Kind::Forbidden => 4,
        Kind::NotFound | Kind::Conflict => 5,
        Kind::Partial => 6,
        Kind::Interrupted => 130,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_designs_code() {
        use Kind as K;
        let codes = [
            K::Check,
            K::Usage,
            K::Environment,
            K::Unauthenticated,
            K::Forbidden,
            K::NotFound,
            K::Conflict,
            K::Limit,
            K::Partial,
            K::Interrupted,
            K::Internal,
        ]
        .map(code);
        assert_eq!(codes, [1, 2, 3, 4, 4, 5, 5, 3, 6, 130, 3]);
    }
}
