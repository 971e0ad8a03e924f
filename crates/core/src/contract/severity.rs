//! Severities as people write them.

use crate::contract::look::spanned_text;
use crate::error::Severity;
use crate::reader::{Findings, shown};
use crate::yaml::Node;

/// ODCS leaves the words open. A word that nobody knows counts as `error`: better a publication too few.
pub fn read(findings: &Findings<'_>, node: &Node) -> Severity {
    let Some(word) = spanned_text(node, "severity") else { return Severity::Error };
    match word.value.to_lowercase().as_str() {
        "error" | "critical" | "blocker" | "fatal" | "high" | "major" => Severity::Error,
        "warning" | "warn" | "medium" | "minor" => Severity::Warning,
        "info" | "information" | "low" | "notice" => Severity::Info,
        _ => {
            findings.warning(
                "MW0234",
                word.span,
                format!("the severity `{}` is not known; it counts as `error`", shown(&word.value)),
                "Write `error`, `warning` or `info`.",
            );
            Severity::Error
        }
    }
}
