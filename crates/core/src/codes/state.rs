//! MW0400 to MW0499.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[];
