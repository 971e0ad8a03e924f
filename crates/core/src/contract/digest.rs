//! What "the contract changed" means (D6): a digest of what it says, not of where or in which form it says it.

use std::fmt::Write;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::contract::Contract;

/// Left out: places, ids that are given at apply, the form, the file.
const SILENT: &[&str] = &["place", "id", "dialect", "path", "text", "digest"];

/// SHA-256 (hex) over the RFC 8785 canonical JSON.
pub fn digest(contract: &Contract) -> String {
    let mut value = serde_json::to_value(contract).unwrap_or_default();
    strip(&mut value, true);
    // Contracts hold no number that JSON cannot; were there one, a digest of plain JSON still tells contracts apart.
    let canonical = serde_json_canonicalizer::to_vec(&value).unwrap_or_else(|_| value.to_string().into_bytes());
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(&canonical) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// `text` is also what an SLA of another property says; only the contract's own is its file.
fn strip(value: &mut Value, top: bool) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !SILENT.contains(&key.as_str()) || key == "text" && !top);
            map.values_mut().for_each(|value| strip(value, false));
            // What is promised does not depend on the order of the clauses.
            if let Some(Value::Array(clauses)) = map.get_mut("clauses") {
                clauses.sort_by_cached_key(|clause| serde_json_canonicalizer::to_string(clause).unwrap_or_default());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|value| strip(value, false)),
        _ => {}
    }
}
