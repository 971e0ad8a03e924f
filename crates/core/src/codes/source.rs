//! MW0500 to MW0599.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[];
