//! The parts of a JSON value as they are written, so that no digit is lost.

/// Splits the text of an object, which is known to be valid JSON, into its members.
pub fn split_object(text: &str) -> Option<Vec<(String, &str)>> {
    let bytes = text.as_bytes();
    let skip = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        at
    };
    let mut members = Vec::new();
    let mut at = skip(skip(0) + 1);
    while *bytes.get(at)? != b'}' {
        let end = end_of_value(bytes, at)?;
        let key: String = serde_json::from_str(text.get(at..end)?).ok()?;
        let value = skip(skip(end) + 1);
        let end = end_of_value(bytes, value)?;
        members.push((key, text.get(value..end)?));
        at = skip(end);
        if *bytes.get(at)? == b',' {
            at = skip(at + 1);
        }
    }
    Some(members)
}

/// Where the value that starts at `at` ends.
fn end_of_value(bytes: &[u8], mut at: usize) -> Option<usize> {
    let (mut depth, mut quoted) = (0u32, false);
    loop {
        let byte = *bytes.get(at)?;
        if quoted {
            match byte {
                b'\\' => at += 1,
                b'"' => quoted = false,
                _ => {}
            }
            at += 1;
            if !quoted && depth == 0 {
                return Some(at);
            }
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

/// Splits the text of an array, which is known to be valid JSON, into its items.
pub fn split_array(text: &str) -> Option<Vec<&str>> {
    let bytes = text.as_bytes();
    let skip = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        at
    };
    let mut items = Vec::new();
    let mut at = skip(skip(0) + 1);
    while *bytes.get(at)? != b']' {
        let end = end_of_value(bytes, at)?;
        items.push(text.get(at..end)?);
        at = skip(end);
        if *bytes.get(at)? == b',' {
            at = skip(at + 1);
        }
    }
    Some(items)
}

/// Where the value of a column stands in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    name: String,
    /// Of `a.b.0`: the keys and places of nested values. Empty for a name without dots.
    steps: Vec<String>,
}

impl Path {
    pub fn of(name: &str) -> Self {
        let steps = if name.contains('.') { name.split('.').map(str::to_owned).collect() } else { Vec::new() };
        Self { name: name.to_owned(), steps }
    }

    /// The key of the record's own members that this looks at.
    pub fn first(&self) -> &str {
        self.steps.first().unwrap_or(&self.name)
    }

    /// The value as written. A key that is called exactly so comes before a nested one; of a key that comes twice, the
    /// last counts, as in most readers.
    pub fn find<'l>(&self, members: &[(String, &'l str)]) -> Option<&'l str> {
        let last = |members: &[(String, &'l str)], key: &str| {
            members.iter().rev().find(|(k, _)| k == key).map(|(_, raw)| *raw)
        };
        if let Some(raw) = last(members, &self.name) {
            return Some(raw);
        }
        let (first, rest) = self.steps.split_first()?;
        let mut value = last(members, first)?;
        for step in rest {
            value = match value.as_bytes().first()? {
                b'{' => last(&split_object(value)?, step)?,
                b'[' => split_array(value)?.get(step.parse::<usize>().ok()?).copied()?,
                _ => return None,
            };
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_text() {
        let text = r#" { "a" : 0.10 , "b\"c":"x,}\\", "n":null,"o":{"k":[1,{"z":"]"}]},"t":true }"#;
        let found = split_object(text).expect("an object");
        let expected =
            [("a", "0.10"), ("b\"c", r#""x,}\\""#), ("n", "null"), ("o", r#"{"k":[1,{"z":"]"}]}"#), ("t", "true")];
        assert_eq!(found.iter().map(|(k, v)| (k.as_str(), *v)).collect::<Vec<_>>(), expected);
        assert_eq!(split_object("{}"), Some(Vec::new()));
    }

    #[test]
    fn nested_values_by_their_path() {
        let text = r#"{"a":{"b":{"c":1.50},"c.d":2},"x.y":3,"l":[ 10 , [20, 21] ],"n":null}"#;
        let members = split_object(text).expect("an object");
        for (path, expected) in [
            ("a.b.c", Some("1.50")),
            ("x.y", Some("3")),
            ("l.0", Some("10")),
            ("l.1.1", Some("21")),
            ("l.2", None),
            ("a.z", None),
            ("n.z", None),
            ("n", Some("null")),
            ("a.b", Some(r#"{"c":1.50}"#)),
        ] {
            assert_eq!(Path::of(path).find(&members), expected, "{path}");
        }
    }
}
