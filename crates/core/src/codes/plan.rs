//! MW0300 to MW0399.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[];
