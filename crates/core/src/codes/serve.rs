//! MW0900 to MW0999.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[];
