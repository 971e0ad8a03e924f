//! MW0700 to MW0799.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[];
