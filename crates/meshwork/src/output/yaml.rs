//! JSON values as block YAML, for reading.

use serde_json::Value;

pub fn render(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => object(map, 0, &mut out),
        Value::Array(items) if !items.is_empty() => array(items, 0, &mut out),
        scalar => out.push_str(&format!("{}\n", inline(scalar))),
    }
    out
}

fn object(map: &serde_json::Map<String, Value>, depth: usize, out: &mut String) {
    for (key, value) in map {
        out.push_str(&format!("{}{}:", "  ".repeat(depth), text(key)));
        below(value, depth, out);
    }
}

/// What stands after a key: on its line, or as a block below it.
fn below(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            object(map, depth + 1, out);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            array(items, depth + 1, out);
        }
        scalar => out.push_str(&format!(" {}\n", inline(scalar))),
    }
}

fn array(items: &[Value], depth: usize, out: &mut String) {
    for item in items {
        let mut block = String::new();
        match item {
            Value::Object(map) if !map.is_empty() => object(map, depth + 1, &mut block),
            Value::Array(inner) if !inner.is_empty() => array(inner, depth + 1, &mut block),
            scalar => block.push_str(&format!("{}{}\n", "  ".repeat(depth + 1), inline(scalar))),
        }
        // The first line of the block moves up beside the dash.
        out.push_str(&format!("{}- {}", "  ".repeat(depth), block.trim_start()));
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(string) => text(string),
        other => other.to_string(),
    }
}

/// Plain where no reader could take it for something else, else as a JSON string, which is YAML too.
fn text(string: &str) -> String {
    let first = string.chars().next();
    let plain_start = first.is_some_and(|c| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let plain = plain_start
        && string.chars().all(|c| c.is_alphanumeric() || " _-./@(){}".contains(c) || c == '+')
        && !string.ends_with(' ')
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&string.to_ascii_lowercase().as_str());
    if plain { string.to_owned() } else { Value::String(string.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_values_read_as_blocks() {
        let of = |value| render(&value);
        assert_eq!(of(json!({"name": {"first": "leads"}})), "name:\n  first: leads\n");
        assert_eq!(
            of(json!({"list": [{"a": []}, "x: y", 3, [true]]})),
            "list:\n  - a: []\n  - \"x: y\"\n  - 3\n  - - true\n"
        );
        assert_eq!(of(json!({"on": "no"})), "\"on\": \"no\"\n");
        assert_eq!(of(json!(null)), "null\n");
    }
}
