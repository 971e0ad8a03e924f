//! JSON objects as aligned columns or as CSV.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// A column: its title, and the way to its value (`a.b`, or a name).
#[derive(Clone, Debug)]
pub struct Column {
    title: String,
    path: String,
}

pub fn column(title: &str, path: &str) -> Column {
    Column { title: title.to_owned(), path: path.to_owned() }
}

/// Every top-level part of an object.
pub fn columns_of(item: &Value) -> Vec<Column> {
    item.as_object().into_iter().flatten().map(|(name, _)| column(name, name)).collect()
}

pub fn render(items: &[Value], columns: &[Column], color: bool) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    let head = anstyle::Style::new().bold();
    table.set_header(columns.iter().map(|column| {
        let title = column.title.to_uppercase();
        if color { format!("{head}{title}{head:#}") } else { title }
    }));
    for item in items {
        table.add_row(columns.iter().map(|column| clean(&text(item, &column.path))));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    let indent = lines.iter().all(|line| line.is_empty() || line.starts_with(' '));
    lines.iter().map(|line| format!("{}\n", if indent { line.get(1..).unwrap_or("") } else { line })).collect()
}

pub fn csv(items: &[Value], columns: &[Column]) -> String {
    let row = |cells: Vec<String>| cells.iter().map(|cell| csv_field(cell)).collect::<Vec<_>>().join(",") + "\n";
    let head = row(columns.iter().map(|column| column.title.clone()).collect());
    let rows = items.iter().map(|item| row(columns.iter().map(|column| text(item, &column.path)).collect()));
    head + &rows.collect::<String>()
}

fn step<'a>(at: &'a Value, part: &str) -> Option<&'a Value> {
    match (at, part.parse::<usize>()) {
        (Value::Array(items), Ok(index)) => items.get(index),
        (at, _) => at.get(part),
    }
}

fn text(item: &Value, path: &str) -> String {
    let found = path.split('.').try_fold(item, step);
    match found {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => {
            let plain: Vec<String> =
                items.iter().map(|i| i.as_str().map_or_else(|| i.to_string(), str::to_owned)).collect();
            plain.join(", ")
        }
        Some(value) => value.to_string(),
    }
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Quoted where needed; a leading formula character gets a `'`, so that a spreadsheet does not run it.
fn csv_field(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err();
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cells_are_aligned() {
        let items = [json!({"a": "x", "b": {"c": 12}}), json!({"a": "long", "b": {}})];
        assert_eq!(render(&items, &[column("a", "a"), column("c", "b.c")], false), "A     C\nx     12\nlong\n");
    }

    #[test]
    fn csv_quotes_and_defuses() {
        let items = [json!({"a": "x,\"y\"", "b": "=1+1"}), json!({"a": -5, "b": [1, "z"]})];
        let text = csv(&items, &[column("a", "a"), column("b", "b")]);
        assert_eq!(text, "a,b\n\"x,\"\"y\"\"\",'=1+1\n-5,\"1, z\"\n");
    }
}
