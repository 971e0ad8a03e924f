//! Where a statement ends: at a `;` that stands neither in quotes nor in a comment.

use super::directive;

/// The parts of what was typed: directives, and statements without their `;`. A rest without `;` is a part, too.
pub fn split(text: &str) -> Vec<String> {
    if directive::is_one(text.trim_start()) {
        return vec![text.trim().to_owned()];
    }
    let mut parts = Vec::new();
    let mut begin = 0;
    for end in ends(text).0 {
        parts.push(&text[begin..end]);
        begin = end + 1;
    }
    parts.push(&text[begin..]);
    parts.into_iter().map(str::trim).filter(|part| !is_blank(part)).map(str::to_owned).collect()
}

/// Whether Enter ends the input: a directive, nothing at all, or a text whose last statement is ended.
pub fn is_complete(text: &str) -> bool {
    if directive::is_one(text.trim_start()) || text.trim().is_empty() {
        return true;
    }
    let (ends, closed) = ends(text);
    closed && ends.last().is_some_and(|end| is_blank(&text[end + 1..]))
}

/// Only blanks and comments.
fn is_blank(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after).trim_start();
        } else if let Some(comment) = rest.strip_prefix("/*") {
            match comment.split_once("*/") {
                Some((_, after)) => rest = after.trim_start(),
                None => return false,
            }
        } else {
            return rest.is_empty();
        }
    }
}

/// Byte offsets of the ending semicolons, and whether no quote or comment is left open at the end.
fn ends(text: &str) -> (Vec<usize>, bool) {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let skipped = match bytes[at] {
            b';' => {
                found.push(at);
                Some(1)
            }
            quote @ (b'\'' | b'"') => rest[1..].find(char::from(quote)).map(|end| end + 2),
            b'-' if rest.starts_with("--") => Some(rest.find('\n').unwrap_or(rest.len())),
            b'/' if rest.starts_with("/*") => rest.find("*/").map(|end| end + 2),
            b'$' => match dollar_tag(rest) {
                Some(tag) => rest[tag.len()..].find(tag).map(|end| end + 2 * tag.len()),
                None => Some(1),
            },
            _ => Some(rest.chars().next().map_or(1, char::len_utf8)),
        };
        match skipped {
            Some(length) => at += length,
            None => return (found, false),
        }
    }
    (found, true)
}

/// `$$` or `$name$`, with which PostgreSQL's other kind of text begins.
fn dollar_tag(text: &str) -> Option<&str> {
    let end = text[1..].find('$')? + 2;
    let name = &text[1..end - 1];
    let valid =
        name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    valid.then(|| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_end_statements() {
        assert_eq!(split("select 1; select 2 ;"), ["select 1", "select 2"]);
        assert_eq!(
            split("select ';' , \"a;b\", $$;$$, $t$;$$;$t$; -- c;\n/* ; */"),
            ["select ';' , \"a;b\", $$;$$, $t$;$$;$t$"]
        );
        assert_eq!(split("select 'it''s; so'"), ["select 'it''s; so'"]);
        assert_eq!(split("select $1;"), ["select $1"]);
        assert_eq!(split(".schema a.b;"), [".schema a.b;"]);
        assert!(split(" ;; -- nothing").is_empty());
    }

    #[test]
    fn input_goes_on_until_it_is_complete() {
        for complete in ["", "  ", ".help", "\\d x", "select 1;", "select 1; -- done", "select 'ä;';\n"] {
            assert!(is_complete(complete), "{complete}");
        }
        for open in
            ["select 1", "select ';", "select 1; select 2", "/* a;", "select \";", "select $$;", "select 1 -- ;"]
        {
            assert!(!is_complete(open), "{open}");
        }
    }
}
