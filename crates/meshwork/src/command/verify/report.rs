//! Reports for other tools: JUnit, which every CI shows, and SARIF, which code hosts show beside the contract's lines.

use std::fmt::Write;

use meshwork_core::contract::{Contract, Table};
use meshwork_core::error::Severity;
use meshwork_core::quality::{ClauseResult, Outcome};
use meshwork_engine::verify::Verified;
use serde_json::{Value, json};

pub struct Tested<'a> {
    pub contract: &'a Contract,
    pub table: &'a Table,
    pub data: &'a str,
    pub verified: &'a Verified,
}

impl Tested<'_> {
    pub fn junit(&self) -> String {
        let clauses = &self.verified.clauses;
        let count = |holds: &dyn Fn(&ClauseResult) -> bool| clauses.iter().filter(|c| holds(c)).count();
        let gates = |clause: &ClauseResult| clause.severity == Severity::Error;
        let failures = count(&|c| c.outcome == Outcome::Fail && gates(c));
        let errors = count(&|c| matches!(c.outcome, Outcome::Error { .. }) && gates(c));
        let skipped = count(&|c| matches!(c.outcome, Outcome::NotEvaluated { .. }));
        let mut out = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\">\n",
            xml(&format!("{} on {}", self.table.name, self.data)),
            clauses.len(),
        );
        for clause in clauses {
            let _ = write!(
                out,
                "    <testcase classname=\"{}\" name=\"{}\"",
                xml(&self.contract.path),
                xml(&clause.clause)
            );
            let message = xml(&clause.message);
            let _ = match &clause.outcome {
                Outcome::Pass => writeln!(out, "/>"),
                Outcome::NotEvaluated { .. } => writeln!(out, "><skipped message=\"{message}\"/></testcase>"),
                // What only warns does not fail a build.
                _ if !gates(clause) => writeln!(out, "><system-out>{message}</system-out></testcase>"),
                Outcome::Error { .. } => writeln!(out, "><error message=\"{message}\"/></testcase>"),
                Outcome::Fail => {
                    writeln!(out, "><failure message=\"{message}\">{}</failure></testcase>", xml(&samples(clause)))
                }
            };
        }
        out.push_str("  </testsuite>\n</testsuites>\n");
        out
    }

    pub fn sarif(&self) -> String {
        let rules: Vec<Value> =
            self.verified.clauses.iter().map(|clause| json!({"id": clause.clause, "name": clause.clause})).collect();
        let results: Vec<Value> = self
            .verified
            .clauses
            .iter()
            .filter(|clause| matches!(clause.outcome, Outcome::Fail | Outcome::Error { .. }))
            .map(|clause| {
                let place = self.table.clauses.iter().find(|c| c.id == clause.clause).and_then(|c| c.place.as_ref());
                let region = match place {
                    Some(place) if place.line > 0 => {
                        json!({"startLine": place.line, "startColumn": place.column.max(1)})
                    }
                    _ => json!({"startLine": 1}),
                };
                json!({
                    "ruleId": clause.clause,
                    "level": match clause.severity {
                        Severity::Error => "error",
                        Severity::Warning => "warning",
                        Severity::Info => "note",
                    },
                    "message": {"text": format!("{}: {}", clause.clause, clause.message)},
                    "locations": [{"physicalLocation": {
                        "artifactLocation": {"uri": self.contract.path},
                        "region": region,
                    }}],
                })
            })
            .collect();
        let log = json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{
                "tool": {"driver": {
                    "name": "meshwork", "version": env!("CARGO_PKG_VERSION"), "rules": rules,
                }},
                "results": results,
            }],
        });
        serde_json::to_string_pretty(&log).unwrap_or_default() + "\n"
    }
}

fn samples(clause: &ClauseResult) -> String {
    let mut out = String::new();
    for sample in &clause.samples {
        let place = match (&sample.source, sample.row) {
            (Some(source), Some(row)) => format!("{source}:{row}"),
            (Some(source), None) => source.clone(),
            _ => String::new(),
        };
        let values: Vec<String> = sample
            .values
            .iter()
            .map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("null")))
            .collect();
        let _ = writeln!(out, "{place} {}", values.join(" "));
    }
    out
}

/// A text within XML, also in an attribute. Characters that XML 1.0 cannot hold become a question mark.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push('\t'),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_within_xml() {
        assert_eq!(xml("a<b> & \"c\"\n\u{1}"), "a&lt;b&gt; &amp; &quot;c&quot;&#10;?");
    }
}
