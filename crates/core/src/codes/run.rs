//! MW0600 to MW0699.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[];
