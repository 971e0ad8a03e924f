//! MW1000 to MW1099.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[];
