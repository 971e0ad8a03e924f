//! MW0200 to MW0299.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[];
