//! MW0100 to MW0199.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[];
