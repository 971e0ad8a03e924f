//! MW0800 to MW0899.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[];
