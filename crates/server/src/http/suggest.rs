//! "Did you mean": the nearest of the known names, if one is near.

pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min()
        .map(|(_, name)| name)
}

/// From serde's "unknown field `a`, expected one of `b`, `c`": the nearest of those expected.
pub fn from_serde(message: &str) -> Option<&str> {
    let (before, expected) = message.split_once(", expected ")?;
    let written = quoted(before.strip_prefix("unknown ")?).next()?;
    nearest(written, quoted(expected))
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_is_suggested() {
        assert_eq!(nearest("limt", ["limit", "cursor"]), Some("limit"));
        assert_eq!(nearest("colour", ["limit", "cursor"]), None);
        assert_eq!(from_serde("unknown field `sqll`, expected one of `sql`, `purpose`"), Some("sql"));
        assert_eq!(from_serde("invalid type: map"), None);
    }
}
