//! The audit leaf: final from the first day (D23).
