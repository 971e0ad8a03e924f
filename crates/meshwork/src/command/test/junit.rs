//! Test reports in the XML that continuous integration reads.

use std::collections::BTreeMap;
use std::fmt::Write;

use meshwork_control::trial::CaseReport;

pub fn render(reports: &[CaseReport]) -> String {
    let mut suites: BTreeMap<&str, Vec<&CaseReport>> = BTreeMap::new();
    for report in reports {
        suites.entry(&report.product).or_default().push(report);
    }
    let count =
        |reports: &[&CaseReport], which: fn(&&CaseReport) -> bool| reports.iter().copied().filter(which).count();
    let failed: fn(&&CaseReport) -> bool = |report| !report.failures.is_empty();
    let broken: fn(&&CaseReport) -> bool = |report| report.error.is_some();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for (product, cases) in suites {
        let (tests, failures, errors) = (cases.len(), count(&cases, failed), count(&cases, broken));
        let name = escaped(product);
        let _ = writeln!(
            out,
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">"
        );
        for case in cases {
            let (test, file) = (escaped(&case.name), escaped(&case.place.path));
            let line = case.place.line;
            let _ = write!(out, "    <testcase classname=\"{name}\" name=\"{test}\" file=\"{file}\" line=\"{line}\">");
            for failure in &case.failures {
                let message = format!("{}: {}", failure.output, failure.message);
                let text = escaped(&failure.lines.join("\n"));
                let _ = write!(out, "<failure message=\"{}\">{text}</failure>", escaped(&message));
            }
            if let Some(error) = &case.error {
                let text = escaped(&error.hints.join("\n"));
                let _ = write!(
                    out,
                    "<error type=\"{}\" message=\"{}\">{text}</error>",
                    error.code,
                    escaped(&error.message)
                );
            }
            out.push_str("</testcase>\n");
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

/// XML has no place for control characters at all.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshwork_control::trial::Failure;
    use meshwork_core::error::Place;

    #[test]
    fn hostile_names_stay_text() {
        let place = Place { path: "a.test.yaml".to_owned(), line: 3, column: 1 };
        let failure = Failure {
            output: "out".to_owned(),
            message: "a < b".to_owned(),
            place: place.clone(),
            lines: vec!["- {}".to_owned(), "+ \u{1b}[2J".to_owned()],
        };
        let report = CaseReport {
            product: "shop.orders".to_owned(),
            name: "\"><x/>".to_owned(),
            place,
            failures: vec![failure],
            error: None,
        };
        let text = render(&[report]);
        assert!(text.contains("failures=\"1\" errors=\"0\""), "{text}");
        assert!(text.contains("name=\"&quot;&gt;&lt;x/&gt;\"") && text.contains("a &lt; b"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }
}
