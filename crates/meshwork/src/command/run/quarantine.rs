//! What a run has set aside or released, for people.

use std::collections::BTreeMap;

use meshwork_core::run::RunReport;

use crate::output::Printer;

/// One line an output: `leads: 3 of 300 rows set aside (limit 1 %): score.range 2, key 1`.
pub fn lines(report: &RunReport, printer: &Printer) -> String {
    let mut text = String::new();
    for output in &report.outputs {
        if let Some(set_aside) = &output.quarantine {
            let (rows, all) = (set_aside.rows, set_aside.batch_rows);
            text += &format!(
                "  {} {}: {rows} of {all} rows set aside (limit {}): {}\n",
                printer.warn("!"),
                output.name,
                set_aside.limit,
                by_clause(&set_aside.clauses)
            );
            if set_aside.kept_rows > 0 {
                text += &format!("      {} rows of the table stay as they were for that\n", set_aside.kept_rows);
            }
        }
        if let Some(release) = &output.release {
            let released = release.rows.len();
            let mark = if released == release.tried { printer.good("✓") } else { printer.warn("!") };
            text += &format!("  {mark} {}: {released} of {} rows released", output.name, release.tried);
            if !release.clauses.is_empty() {
                text += &format!("; the others stay: {}", by_clause(&release.clauses));
            }
            text.push('\n');
        }
    }
    text
}

/// Rows that a release has left where they were.
pub fn stayed(report: &RunReport) -> u64 {
    let released = report.outputs.iter().filter_map(|output| output.release.as_ref());
    released.map(|release| release.tried.saturating_sub(release.rows.len())).sum()
}

fn by_clause(clauses: &BTreeMap<String, u64>) -> String {
    clauses.iter().map(|(clause, rows)| format!("{clause} {rows}")).collect::<Vec<_>>().join(", ")
}
