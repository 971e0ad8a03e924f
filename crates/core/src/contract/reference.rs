//! Foreign keys: which table and columns a reference names.

use crate::contract::draft::{ReferenceDraft, TableDraft};
use crate::quality::Rule;
use crate::reader::{Findings, shown};

/// `to` is one text a column. The table that comes out is `domain.output`, or `output` of the same domain.
pub fn resolve(
    findings: &Findings<'_>,
    tables: &[TableDraft<'_>],
    draft: &ReferenceDraft,
    columns: &[String],
) -> Option<Rule> {
    let mut to_table: Option<String> = None;
    let mut to_columns = Vec::new();
    for to in &draft.to {
        if to.contains('#') {
            return Some(Rule::NotEvaluated { because: "it references another contract file by path".to_owned() });
        }
        let Some((table, column)) = target(tables, to) else {
            let hint = "Write `output.column` or `domain.output.column`.";
            findings.error_hinting("MW0226", draft.at, format!("`{}` names no column of a table", shown(to)), hint);
            return None;
        };
        if to_table.as_ref().is_some_and(|known| *known != table) {
            let message = format!(
                "one reference goes to both `{}` and `{}`",
                shown(to_table.as_deref().unwrap_or_default()),
                shown(&table)
            );
            findings.error("MW0226", draft.at, message);
            return None;
        }
        to_table = Some(table);
        to_columns.push(column);
    }
    if to_columns.len() != columns.len() || columns.is_empty() {
        let message = format!("{} columns cannot reference {}", columns.len(), to_columns.len());
        findings.error("MW0226", draft.at, message);
        return None;
    }
    Some(Rule::References { columns: columns.to_vec(), to: to_table?, to_columns })
}

fn target(tables: &[TableDraft<'_>], to: &str) -> Option<(String, String)> {
    if to.contains('/') {
        let parts: Vec<&str> = to.trim_start_matches('/').split('/').collect();
        let ["schema", table, "properties", column] = parts.as_slice() else { return None };
        let table = tables.iter().find(|t| t.id.as_deref() == Some(table) || t.name == **table)?;
        let field = table.fields.iter().find(|f| f.id.as_deref() == Some(column) || f.name.value == **column)?;
        return Some((table.name.clone(), field.name.value.clone()));
    }
    let (table, column) = to.rsplit_once('.')?;
    let parts = table.split('.').count();
    (parts <= 2 && table.split('.').all(|part| !part.is_empty()) && !column.is_empty())
        .then(|| (table.to_owned(), column.to_owned()))
}
