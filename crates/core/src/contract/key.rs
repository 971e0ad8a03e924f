//! The primary key: which columns, in which order.

use crate::contract::draft::FieldDraft;
use crate::reader::{Findings, shown};

/// The 1-based position of each field that is part of the key. Without positions, the order of the fields is the key's.
pub fn positions(findings: &Findings<'_>, fields: &[FieldDraft<'_>]) -> Vec<Option<u32>> {
    for field in fields.iter().filter(|field| !field.primary_key) {
        if let Some(at) = field.key_position {
            let message =
                format!("`{}` has a place in the primary key, but is not part of it", shown(&field.name.value));
            findings.error_hinting("MW0217", at.span, message, "Add `primaryKey: true`, or remove the position.");
        }
    }
    let members: Vec<&FieldDraft<'_>> = fields.iter().filter(|field| field.primary_key).collect();
    let placed: Vec<_> = members.iter().filter_map(|field| Some((field.key_position?, field))).collect();
    if placed.is_empty() {
        let mut next = 0;
        return fields
            .iter()
            .map(|field| {
                field.primary_key.then(|| {
                    next += 1;
                    next
                })
            })
            .collect();
    }
    for field in members.iter().filter(|field| field.key_position.is_none()) {
        let message =
            format!("`{}` is part of the primary key without a position; others have one", shown(&field.name.value));
        findings.error_hinting("MW0217", field.name.span, message, "Give every key column its position, or none.");
    }
    let count = i64::try_from(members.len()).unwrap_or(i64::MAX);
    for (index, (at, field)) in placed.iter().enumerate() {
        if placed[..index].iter().any(|(other, _)| other.value == at.value) {
            let message = format!("two columns stand at position {} of the primary key", at.value);
            findings.error("MW0217", at.span, message);
        } else if at.value < 1 || at.value > count {
            let message = format!("`{}` stands at position {} of a key of {count}", shown(&field.name.value), at.value);
            findings.error_hinting("MW0217", at.span, message, "Positions go from 1 without gaps.");
        }
    }
    fields
        .iter()
        .map(|field| match field.key_position.filter(|_| field.primary_key) {
            Some(at) => u32::try_from(at.value).ok(),
            None => field.primary_key.then_some(u32::MAX),
        })
        .collect()
}
